#include "samples.h"

#include <algorithm>

#include "adam7.h"
#include "inflate.h"

namespace {

void append_big32(Blob& out, std::uint32_t value) {
    std::uint8_t bytes[4];
    seg::store_big32(bytes, value);
    out.insert(out.end(), bytes, bytes + 4);
}

void append_chunk(Blob& out, const char* name, const Blob& payload) {
    append_big32(out, static_cast<std::uint32_t>(payload.size()));
    const std::size_t start = out.size();
    out.insert(out.end(), name, name + 4);
    out.insert(out.end(), payload.begin(), payload.end());
    append_big32(out, seg::crc32(0, {out.data() + start, out.size() - start}));
}

// A zlib stream of stored blocks.
Blob stored(const Blob& raw) {
    Blob out{0x78, 0x01};
    std::size_t at = 0;
    do {
        const std::size_t size = std::min<std::size_t>(raw.size() - at, 65535);
        const auto low = static_cast<std::uint8_t>(size);
        const auto high = static_cast<std::uint8_t>(size >> 8);
        const bool last = at + size == raw.size();
        const Blob head{std::uint8_t{last}, low, high, static_cast<std::uint8_t>(~low),
                        static_cast<std::uint8_t>(~high)};
        out.insert(out.end(), head.begin(), head.end());
        out.insert(out.end(), raw.begin() + static_cast<std::ptrdiff_t>(at),
                   raw.begin() + static_cast<std::ptrdiff_t>(at + size));
        at += size;
    } while (at < raw.size());
    std::uint32_t low = 1;
    std::uint32_t high = 0;
    for (const std::uint8_t byte : raw) {
        low = (low + byte) % 65521;
        high = (high + low) % 65521;
    }
    append_big32(out, high << 16 | low);
    return out;
}

int predict(int filter, int left, int up, int corner) {
    const int estimate = left + up - corner;
    const int a = std::abs(estimate - left);
    const int b = std::abs(estimate - up);
    const int c = std::abs(estimate - corner);
    const int predictions[] = {0, left, up, (left + up) / 2, a <= b && a <= c ? left : b <= c ? up : corner};
    return predictions[filter];
}

// Appends `height` filtered rows of few distinct pixels to `out`, and the plain rows to `raw`.
void append_rows(Random& random, const seg::Header& header, std::uint32_t width, std::uint32_t height, Blob& out,
                 Blob& raw) {
    const std::size_t step = header.step();
    const std::size_t size = header.row_bytes(width);
    const bool wide = header.depth == 16 && header.samples() >= 3;  // only colours stored wide are read
    Blob above(size);
    for (std::uint32_t y = 0; y < height; ++y) {
        Blob row(size);
        for (std::size_t i = 0; i < size; ++i)
            row[i] = i >= step && random.below(20) ? row[i - step]
                     : wide && i % 2               ? row[i - 1]
                                                   : static_cast<std::uint8_t>(random.below(256));
        if (wide)
            for (std::size_t i = 1; i < size; i += 2) row[i] = row[i - 1];
        if (y && random.below(2)) row = above;
        const int filter = static_cast<int>(random.below(5));
        out.push_back(static_cast<std::uint8_t>(filter));
        for (std::size_t i = 0; i < size; ++i) {
            const int left = i >= step ? row[i - step] : 0;
            const int corner = i >= step ? above[i - step] : 0;
            out.push_back(static_cast<std::uint8_t>(row[i] - predict(filter, left, above[i], corner)));
        }
        raw.insert(raw.end(), row.begin(), row.end());
        above = row;
    }
}

// A whole file; the pixel data stand in two chunks.
Blob join(const seg::Header& header, const Blob& data, std::size_t cut) {
    Blob file{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    Blob head;
    append_big32(head, header.width);
    append_big32(head, header.height);
    head.insert(head.end(), {header.depth, header.type, 0, 0, std::uint8_t{header.interlaced}});
    append_chunk(file, "IHDR", head);
    if (header.type == seg::kPalette) append_chunk(file, "PLTE", Blob(768, 5));
    append_chunk(file, "tEXt", {'a', 0, 'b'});
    const auto middle = data.begin() + static_cast<std::ptrdiff_t>(cut);
    append_chunk(file, "IDAT", Blob(data.begin(), middle));
    append_chunk(file, "IDAT", Blob(middle, data.end()));
    append_chunk(file, "IEND", {});
    return file;
}

}  // namespace

std::uint32_t Random::below(std::uint32_t limit) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_ % limit;
}

Sample make_sample(Random& random, seg::ColorType type, std::uint8_t depth, bool interlaced) {
    Sample sample;
    sample.header = {1 + random.below(70), 1 + random.below(20), depth, type, interlaced};
    Blob filtered;
    if (interlaced) {
        for (const seg::Pass& pass : seg::kPasses) {
            const std::uint32_t width = pass.width(sample.header);
            Blob ignored;
            if (width) append_rows(random, sample.header, width, pass.height(sample.header), filtered, ignored);
        }
    } else {
        append_rows(random, sample.header, sample.header.width, sample.header.height, filtered, sample.raw);
    }
    const Blob data = stored(filtered);
    sample.file = join(sample.header, data, random.below(static_cast<std::uint32_t>(data.size())));
    return sample;
}

Blob png_of(const seg::Header& header, const Blob& filtered) { return join(header, stored(filtered), 1); }

void mend_checksums(Blob& file) {
    std::size_t at = 8;
    while (at + 12 <= file.size()) {
        const std::uint64_t length = seg::load_big32(file.data() + at);
        if (at + 12 + length > file.size()) return;
        seg::store_big32(file.data() + at + 8 + length,
                         seg::crc32(0, {file.data() + at + 4, static_cast<std::size_t>(length + 4)}));
        at += 12 + static_cast<std::size_t>(length);
    }
}
