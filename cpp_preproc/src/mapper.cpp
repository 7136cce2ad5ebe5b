#include "mapper.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "pixel.h"

namespace seg {
namespace {

// Pixels as numbers, see pixel.h: how many bytes they have, their key, and whether they are fully transparent.
struct Gray8 {
    static constexpr std::size_t stride = 1;
    static std::uint32_t key(std::uint32_t pixel) { return pixel; }
    static bool clear(std::uint32_t) { return false; }
};
struct GrayAlpha8 {
    static constexpr std::size_t stride = 2;
    static std::uint32_t key(std::uint32_t pixel) { return pixel & 255; }
    static bool clear(std::uint32_t pixel) { return pixel >> 8 == 0; }
};
struct Gray16 {
    static constexpr std::size_t stride = 2;
    static std::uint32_t key(std::uint32_t pixel) { return (pixel & 255) << 8 | (pixel >> 8 & 255); }
    static bool clear(std::uint32_t) { return false; }
};
struct GrayAlpha16 {
    static constexpr std::size_t stride = 4;
    static std::uint32_t key(std::uint32_t pixel) { return Gray16::key(pixel); }
    static bool clear(std::uint32_t pixel) { return pixel >> 16 == 0; }
};
struct Rgb8 {
    static constexpr std::size_t stride = 3;
    static std::uint32_t key(std::uint32_t pixel) { return pixel; }
    static bool clear(std::uint32_t) { return false; }
};
struct Rgba8 {
    static constexpr std::size_t stride = 4;
    static std::uint32_t key(std::uint32_t pixel) { return pixel & 0xffffff; }
    static bool clear(std::uint32_t pixel) { return pixel >> 24 == 0; }
};

constexpr std::size_t kFoundBits = 16;

bool is_coded(Read read) { return read >= Read::ade20k; }

// How classes and instances share a pixel.
struct Coding {
    const char* option;
    Kind kind;
    const char* image;  // what is expected
    const char* value;  // what is looked up
};

const Coding& coding(Read read) {
    static constexpr Coding codings[] = {
        {"read=ade20k", Kind::color, "an RGB image with classes coded in red and green", "red / 10 * 256 + green"},
        {"read=red", Kind::color, "an RGB image with classes coded in red", "red"},
        {"read=id256", Kind::gray, "a grayscale image of 16 bits, class * 256 + instance", "number / 256"},
        {"read=id1000", Kind::gray, "a grayscale image of 16 bits, class * 1000 + instance", "number / 1000"},
    };
    return codings[static_cast<int>(read) - static_cast<int>(Read::ade20k)];
}

// The class that a colour or a number codes; the rest tells instances apart.
std::uint32_t coded_value(Read read, std::uint32_t key) {
    if (read == Read::red) return key & 255;
    if (read == Read::ade20k) return (key & 255) / 10 * 256 + (key >> 8 & 255);
    if (read == Read::id256) return key / 256;
    return key < 1000 ? key : key / 1000;  // Cityscapes: a class without instances is a number of its own
}

bool is_gray(std::uint32_t key) { return key == (key & 255) * 0x010101; }

// Whether samples are looked up as values, or as (or through) colours.
bool by_color(const Picture& picture, Read read, const Table& table) {
    const Kind kind = picture.kind;
    const std::string name = kind == Kind::palette ? "a palette image"
                             : kind == Kind::gray  ? "a grayscale image"
                                                   : "an RGB image";
    if (is_coded(read)) {
        const Coding& code = coding(read);
        const std::string option = code.option;
        const bool narrow = code.kind == Kind::gray && picture.depth < 16;
        if (kind != code.kind || narrow)
            throw Error(option + ": expected " + code.image + ", got " + name +
                        (kind == Kind::gray && narrow ? " of " + std::to_string(picture.depth) + " bits" : "") +
                        "; use read=auto");
        if (!table.has_values())
            throw Error(option + ": expected values (" + code.value +
                        ") in the label map, got colours only; add values to the label map");
        return false;
    }
    if (kind == Kind::color) {
        if (read == Read::index && table.has_values()) return false;  // three equal channels are one
        if (!table.has_colors())
            throw Error(
                "label map: expected colours for an RGB image, got values only; add the classes' colours to the label "
                "map, or use read=red if the values are those of red alone");
        return true;
    }
    if (read == Read::color && !table.has_colors())
        throw Error("read=color: expected colours in the label map for " + name +
                    ", got values only; use read=auto or read=index, or add colours to the label map");
    if (read == Read::index && !table.has_values())
        throw Error("read=index: expected values in the label map for " + name +
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
        const bool usable = nearest.answer != kUnknown && nearest.distance <= options_.max_distance;
        found = {key, usable ? static_cast<Answer>(nearest.answer | kNear) : kUnknown};
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
    answers_.assign(picture_.depth == 16 ? 65536 : 256, kInvalid);
    const std::size_t count = palette ? picture_.palette.size() : std::size_t{1} << picture_.depth;
    // A 16-bit level is an 8-bit one stored wide only if it is a multiple of 257.
    const std::size_t step = picture_.depth == 16 ? 257 : 1;
    for (std::size_t i = 0; i < count; i += step) answers_[i] = color_answer(color_of(static_cast<std::uint32_t>(i)));
    direct_ = answers_.data();
}

void Mapper::begin(const Picture& picture) {
    picture_ = picture;
    if (noted_) std::fill(seen_.begin(), seen_.end(), 0);  // 2 MB: only if something was noted
    noted_ = false;
    near_ = {};
    report_ = Report{};
    report_.by_color = by_color(picture, options_.read, table_);
    y_ = 0;
    mask_.resize(picture.width);
    direct_ = nullptr;
    if (picture.kind == Kind::color) return;
    if (report_.by_color)
        answer_by_color();
    else if (is_coded(options_.read))
        answer_by_code();
    else
        direct_ = table_.values();
    if (!picture.clear.empty()) mark_clear();
}

void Mapper::answer_by_code() {
    answers_.resize(65536);
    for (std::uint32_t i = 0; i < answers_.size(); ++i) answers_[i] = table_.values()[coded_value(options_.read, i)];
    direct_ = answers_.data();
}

void Mapper::mark_clear() {
    if (direct_ != answers_.data()) answers_.assign(direct_, direct_ + (picture_.depth == 16 ? 65536 : 256));
    direct_ = answers_.data();
    for (const std::uint32_t sample : picture_.clear)
        if (sample < answers_.size()) answers_[sample] |= kClear;
}

std::uint8_t Mapper::settle(Answer answer, std::uint32_t key, std::uint32_t x, std::uint64_t count) {
    const bool clear = answer & kClear;
    if (clear && !options_.keep_clear) return kIgnore;
    answer &= static_cast<Answer>(~kClear);
    if (answer == kInvalid) refuse(key, x);
    if (answer == kUnknown) {
        note_unknown(key, x, count);
        if (clear) report_.unknown.clear += count;
        return kIgnore;
    }
    const auto label = static_cast<std::uint8_t>(answer & 255);
    if (answer & kNear) note_merged(key, label);
    if (clear && label != kIgnore) report_.clear += count;
    return label;
}

void Mapper::refuse(std::uint32_t sample, std::uint32_t x) const {
    const std::string place = std::to_string(sample) + " at x=" + std::to_string(x) + ", y=" + std::to_string(y_);
    if (picture_.kind == Kind::color)
        throw Error("read=index: expected an image with one channel, or with three equal ones, got colour " +
                    std::to_string(sample & 255) + ", " + std::to_string(sample >> 8 & 255) + ", " +
                    std::to_string(sample >> 16) + place.substr(place.find(" at")) +
                    ", which is no index; use read=auto or read=color");
    if (picture_.kind == Kind::palette)
        throw Error("read by colour: expected palette indices below " + std::to_string(picture_.palette.size()) +
                    ", the number of colours in the palette, got " + place +
                    "; use read=index if the stored numbers are the classes, or export the file again");
    throw Error("16-bit gray level: expected an 8-bit level stored wide (a multiple of 257), got " + place +
                ", which has no colour; list values in the label map, or use read=index if the order of its classes "
                "gives them");
}

void Mapper::note_unknown(std::uint32_t key, std::uint32_t x, std::uint64_t count) {
    const std::uint32_t stored = key;
    if (report_.by_color && direct_) key = color_of(key);
    if (is_coded(options_.read)) key = coded_value(options_.read, key);
    if (options_.read == Read::index && picture_.kind == Kind::color) key &= 255;
    Unknown& unknown = report_.unknown;
    if (!unknown.pixels) unknown = {0, 0, key, x, y_, 0, 0, 0, 0};
    unknown.pixels += count;
    if (!first_time(key)) return;
    ++unknown.distinct;
    unknown.brightest = std::max({unknown.brightest, key & 255, key >> 8 & 255, key >> 16});
    const bool gray = report_.by_color && is_gray(key);
    const std::uint32_t level = picture_.kind == Kind::gray ? stored : key & 255;
    if (!gray)
        unknown.level = -1;
    else if (unknown.level >= 0 && level != 255)
        unknown.level = std::max(unknown.level, static_cast<int>(level));
    if (unknown.reach != kNoReach) unknown.reach = std::max(unknown.reach, reach_of(key));
}

// Whether a colour or value is seen for the first time in this image.
bool Mapper::first_time(std::uint32_t key) {
    if (seen_.empty()) seen_.resize((1u << 24) / 64);
    noted_ = true;
    std::uint64_t& word = seen_[key / 64];
    const std::uint64_t bit = std::uint64_t{1} << key % 64;
    const bool first = !(word & bit);
    word |= bit;
    return first;
}

void Mapper::note_merged(std::uint32_t key, std::uint8_t label) {
    if (!first_time(direct_ ? color_of(key) : key)) return;
    if (++near_[label] > report_.merged.distinct) report_.merged = {near_[label], label};
}

unsigned Mapper::reach_of(std::uint32_t key) const {
    if (!report_.by_color) return kNoReach;
    const Table::Nearest nearest = table_.nearest(key);
    return nearest.answer == kUnknown ? kNoReach : nearest.distance;
}

// Alpha takes part in the comparison: where only alpha changes, two runs of one key follow each other, which is right
// as well.
template <class Format, class Lookup>
std::size_t Mapper::map(const std::uint8_t* row, Lookup lookup) {
    constexpr std::size_t stride = Format::stride;
    const std::size_t count = scan.some[stride](row, row, picture_.width, starts_);
    // Plain pointers, or the compiler reads them anew after each byte that is written.
    std::uint32_t* const starts = starts_.data();
    std::uint8_t* const mask = mask_.data();
    std::uint32_t pixel = 0;
    std::uint8_t before = 0;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t x = starts[i];
        const std::uint32_t length = starts[i + 1] - x;
        pixel = add_bytes(pixel, load_pixel<stride>(row + x * stride));
        const std::uint32_t key = Format::key(pixel);
        Answer answer = lookup(key);
        if (Format::clear(pixel)) answer |= kClear;
        if (answer > 255) answer = settle(answer, key, x, length);
        const auto value = static_cast<std::uint8_t>(answer);
        report_.counts[value] += length;
        mask[x] = static_cast<std::uint8_t>(value - before);
        starts[kept] = x;
        kept += i == 0 || value != before;
        before = value;
    }
    starts[kept] = picture_.width;
    return kept;
}

void Mapper::paint(const Runs& runs, std::uint8_t* mask) const {
    std::uint8_t value = 0;
    for (std::size_t i = 0; i < runs.count; ++i) {
        const std::size_t x = runs.starts[i];
        const std::size_t length = runs.starts[i + 1] - x;
        value = static_cast<std::uint8_t>(value + runs.differences[x]);
        // Most runs are short: 32 bytes at once cost less than a call, and the next run writes over the excess.
        std::memset(mask + x, value, length <= 32 && x + 32 <= picture_.width ? 32 : length);
    }
}

Runs Mapper::row(const std::uint8_t* row) {
    if (picture_.width == 0) return {mask_.data(), starts_.data(), 0};
    std::memset(mask_.data(), 0, picture_.width);
    std::size_t count = 0;
    const auto direct = [this](std::uint32_t key) { return direct_[key]; };
    const auto hashed = [this](std::uint32_t key) { return color_answer(key); };
    const auto coded = [this](std::uint32_t key) {
        if (is_coded(options_.read)) return table_.values()[coded_value(options_.read, key)];
        return is_gray(key) ? table_.values()[key & 255] : kInvalid;
    };
    const auto keyed = [&](std::uint32_t key) {
        const Answer answer = report_.by_color ? hashed(key) : coded(key);
        return static_cast<Answer>(key == picture_.clear.front() ? answer | kClear : answer);
    };
    const bool plain = report_.by_color;
    switch (picture_.pixels) {
        case Pixels::gray8:
            count = map<Gray8>(row, direct);
            break;
        case Pixels::gray_alpha8:
            count = map<GrayAlpha8>(row, direct);
            break;
        case Pixels::gray16:
            count = map<Gray16>(row, direct);
            break;
        case Pixels::gray_alpha16:
            count = map<GrayAlpha16>(row, direct);
            break;
        case Pixels::rgb8:
            if (!picture_.clear.empty())
                count = map<Rgb8>(row, keyed);
            else
                count = plain ? map<Rgb8>(row, hashed) : map<Rgb8>(row, coded);
            break;
        case Pixels::rgba8:
            count = plain ? map<Rgba8>(row, hashed) : map<Rgba8>(row, coded);
            break;
    }
    ++y_;
    return {mask_.data(), starts_.data(), count};
}

}  // namespace seg
