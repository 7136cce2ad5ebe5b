#include "mapper.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "scan.h"

namespace seg {
namespace {

// How a pixel lies in a row: its bytes and its key.
struct Gray8 {
    static constexpr std::size_t stride = 1;
    static std::uint32_t key(const std::uint8_t* p) { return p[0]; }
};
struct GrayAlpha8 {
    static constexpr std::size_t stride = 2;
    static std::uint32_t key(const std::uint8_t* p) { return p[0]; }
};
struct Gray16 {
    static constexpr std::size_t stride = 2;
    static std::uint32_t key(const std::uint8_t* p) { return std::uint32_t{p[0]} << 8 | p[1]; }
};
struct Rgb8 {
    static constexpr std::size_t stride = 3;
    static std::uint32_t key(const std::uint8_t* p) {
        return std::uint32_t{p[0]} | std::uint32_t{p[1]} << 8 | std::uint32_t{p[2]} << 16;
    }
};
struct Rgba8 {
    static constexpr std::size_t stride = 4;
    static std::uint32_t key(const std::uint8_t* p) { return Rgb8::key(p); }
};

constexpr std::uint8_t kZeros[kStrip] = {};
constexpr std::size_t kStripPixels = kStrip / 4;

// Goes to the pixel at p: its bytes as they stand, or added to those of the pixel before.
template <std::size_t stride, bool differences>
void advance(std::uint8_t* pixel, const std::uint8_t* p) {
    for (std::size_t c = 0; c < stride; ++c) pixel[c] = static_cast<std::uint8_t>(differences ? pixel[c] + p[c] : p[c]);
}

// Calls emit(key, x, count) for each run of equal pixels. Alpha takes part in the comparison: where only alpha
// changes, two runs of one key follow each other, which is right as well.
template <class Format, bool differences, class Emit>
void for_each_run(const std::uint8_t* row, std::size_t width, Emit emit) {
    constexpr std::size_t stride = Format::stride;
    Positions positions;
    std::uint8_t pixel[stride] = {};
    advance<stride, differences>(pixel, row);
    std::size_t start = 0;
    for (std::size_t x = 1; x < width; x += kStripPixels) {
        const std::uint8_t* p = row + x * stride;
        const std::size_t size = std::min(kStripPixels, width - x) * stride;
        const std::size_t count = scan.changes[stride](p, differences ? kZeros : p - stride, size, positions);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t next = x + positions[i];
            emit(Format::key(pixel), start, next - start);
            advance<stride, differences>(pixel, row + next * stride);
            start = next;
        }
    }
    emit(Format::key(pixel), start, width - start);
}

constexpr std::size_t kFoundBits = 16;

// The class that ADE20K's *_seg.png code in a colour; blue tells instances apart.
std::uint32_t ade20k_value(std::uint32_t key) { return (key & 255) / 10 * 256 + (key >> 8 & 255); }

// Whether samples are looked up as values, or as (or through) colours.
bool by_color(Kind kind, Read read, const Table& table) {
    const char* name = kind == Kind::palette ? "a palette image" : "a grayscale image";
    if (read == Read::ade20k) {
        if (kind != Kind::color)
            throw Error(std::string("read=ade20k: expected an RGB image with classes coded in red and green, got ") +
                        name + "; use read=auto");
        if (!table.has_values())
            throw Error(
                "read=ade20k: expected values (red / 10 * 256 + green) in the label map, got colours only; add values "
                "to the label map");
        return false;
    }
    if (kind == Kind::color) {
        if (read == Read::index)
            throw Error(
                "read=index: expected an image with one channel, got an RGB image, which stores no index; use "
                "read=auto or read=color, or label files with one channel");
        if (!table.has_colors())
            throw Error(
                "label map: expected colours for an RGB image, got values only; add the classes' colours to the label "
                "map");
        return true;
    }
    if (read == Read::color && !table.has_colors())
        throw Error(std::string("read=color: expected colours in the label map for ") + name +
                    ", got values only; use read=auto or read=index, or add colours to the label map");
    if (read == Read::index && !table.has_values())
        throw Error(std::string("read=index: expected values in the label map for ") + name +
                    ", got colours only; use read=auto or read=color, or add values to the label map");
    if (read != Read::automatic) return read == Read::color;
    return kind == Kind::palette ? table.has_colors() : !table.has_values();
}

}  // namespace

Mapper::Mapper(const Table& table, const Options& options) : table_(table), options_(options) {
    if (options.unknown == UnknownPolicy::nearest) found_.resize(std::size_t{1} << kFoundBits);
}

Answer Mapper::nearest_answer(std::uint32_t key) {
    Found& found = found_[key * 0x9e3779b1u >> (32 - kFoundBits)];
    if (found.key != key) {  // another colour may have taken the place: to find this one again costs only time
        const Table::Nearest nearest = table_.nearest(key);
        found = {key, nearest.distance <= options_.max_distance ? nearest.answer : kUnknown};
    }
    return found.answer;
}

// The colour of a gray level (which a viewer stretches to 0..255) or of a palette index.
std::uint32_t Mapper::color_of(std::uint32_t sample) const {
    if (picture_.kind == Kind::palette) return picture_.palette[sample];
    return sample * 255 / ((1u << picture_.depth) - 1) * 0x010101;
}

void Mapper::answer_by_color() {
    const bool palette = picture_.kind == Kind::palette;
    answers_.assign(picture_.pixels == Pixels::gray16 ? 65536 : 256, kInvalid);
    const std::size_t count = palette ? picture_.palette.size() : std::size_t{1} << picture_.depth;
    // A 16-bit level is an 8-bit one stored wide only if it is a multiple of 257.
    const std::size_t step = picture_.depth == 16 ? 257 : 1;
    for (std::size_t i = 0; i < count; i += step) answers_[i] = color_answer(color_of(static_cast<std::uint32_t>(i)));
    direct_ = answers_.data();
}

void Mapper::begin(const Picture& picture) {
    picture_ = picture;
    if (report_.unknown.pixels) std::fill(seen_.begin(), seen_.end(), 0);  // 2 MB: only if something was noted
    report_ = Report{};
    report_.by_color = by_color(picture.kind, options_.read, table_);
    y_ = 0;
    direct_ = nullptr;
    if (picture.kind == Kind::color) return;
    if (report_.by_color)
        answer_by_color();
    else
        direct_ = table_.values();
}

void Mapper::refuse(std::uint32_t sample, std::uint32_t x) const {
    const std::string place = std::to_string(sample) + " at x=" + std::to_string(x) + ", y=" + std::to_string(y_);
    if (picture_.kind == Kind::palette)
        throw Error("corrupt PNG: expected palette indices below " + std::to_string(picture_.palette.size()) +
                    ", the number of colours, got " + place + kExportAgain);
    throw Error("16-bit gray level: expected an 8-bit level stored wide (a multiple of 257), got " + place +
                ", which has no colour; list values in the label map, or save the label with 8 bits");
}

void Mapper::note_unknown(std::uint32_t key, std::uint32_t x, std::uint64_t count) {
    if (report_.by_color && direct_) key = color_of(key);
    if (options_.read == Read::ade20k) key = ade20k_value(key);
    Unknown& unknown = report_.unknown;
    if (!unknown.pixels) unknown = {0, 0, key, x, y_, 0};
    unknown.pixels += count;
    if (seen_.empty()) seen_.resize((1u << 24) / 64);
    std::uint64_t& word = seen_[key / 64];
    const std::uint64_t bit = std::uint64_t{1} << key % 64;
    if (word & bit) return;
    word |= bit;
    ++unknown.distinct;
    if (unknown.reach != kNoReach) unknown.reach = std::max(unknown.reach, reach_of(key));
}

unsigned Mapper::reach_of(std::uint32_t key) const {
    if (!report_.by_color) return kNoReach;
    const Table::Nearest nearest = table_.nearest(key);
    return nearest.answer == kUnknown || nearest.distance > kLongestReach ? kNoReach : nearest.distance;
}

template <class Format, class Lookup>
void Mapper::map(const Row& row, std::uint8_t* mask, Lookup lookup) {
    const auto emit = [&](std::uint32_t key, std::size_t x, std::size_t count) {
        const Answer answer = lookup(key);
        if (answer == kInvalid) refuse(key, static_cast<std::uint32_t>(x));
        if (answer == kUnknown) note_unknown(key, static_cast<std::uint32_t>(x), count);
        const auto value = static_cast<std::uint8_t>(answer > 255 ? kIgnore : answer);
        // Most runs are short: 32 bytes at once cost less than a call, and the next run writes over the excess.
        if (count <= 32 && x + 32 <= picture_.width)
            std::memset(mask + x, value, 32);
        else
            std::memset(mask + x, value, count);
        report_.counts[value] += count;
    };
    if (row.differences)
        for_each_run<Format, true>(row.pixels, picture_.width, emit);
    else
        for_each_run<Format, false>(row.pixels, picture_.width, emit);
}

void Mapper::row(const Row& row, std::uint8_t* mask) {
    const auto direct = [this](std::uint32_t key) { return direct_[key]; };
    if (picture_.width == 0) return;
    const auto hashed = [this](std::uint32_t key) { return color_answer(key); };
    const auto coded = [this](std::uint32_t key) { return table_.values()[ade20k_value(key)]; };
    const bool plain = options_.read != Read::ade20k;
    switch (picture_.pixels) {
        case Pixels::gray8:
            map<Gray8>(row, mask, direct);
            break;
        case Pixels::gray_alpha8:
            map<GrayAlpha8>(row, mask, direct);
            break;
        case Pixels::gray16:
            map<Gray16>(row, mask, direct);
            break;
        case Pixels::rgb8:
            plain ? map<Rgb8>(row, mask, hashed) : map<Rgb8>(row, mask, coded);
            break;
        case Pixels::rgba8:
            plain ? map<Rgba8>(row, mask, hashed) : map<Rgba8>(row, mask, coded);
            break;
    }
    ++y_;
}

}  // namespace seg
