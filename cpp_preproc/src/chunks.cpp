#include "chunks.h"

#include <cstring>
#include <string>

#include "inflate.h"

namespace seg {
namespace {

constexpr std::uint8_t kSignature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

struct Chunk {
    std::string name;
    Bytes payload;
    std::size_t end;  // offset of the chunk after this one
    bool critical() const { return !(name[0] & 0x20); }
};

Chunk read_chunk(Bytes file, std::size_t at) {
    if (file.size - at < 12) throw Error("truncated PNG: the file ends before its IEND chunk");
    const std::uint32_t length = load_big32(file.data + at);
    Chunk chunk{std::string(reinterpret_cast<const char*>(file.data) + at + 4, 4), {file.data + at + 8, length}, 0};
    for (const char letter : chunk.name) {
        const char upper = static_cast<char>(letter & ~0x20);
        if (upper < 'A' || upper > 'Z') throw Error("corrupt PNG: a chunk has no name of four letters");
    }
    if (length > file.size - at - 12) throw Error("truncated PNG: the file ends inside chunk " + chunk.name);
    chunk.end = at + 12 + length;
    if (chunk.critical() && crc32(0, {file.data + at + 4, length + 4}) != load_big32(file.data + at + 8 + length))
        throw Error("corrupt PNG: the CRC of chunk " + chunk.name + " is wrong");
    return chunk;
}

// Whether the type, which is whatever byte the file has there, and the depth go together.
bool depth_allowed(ColorType type, unsigned depth) {
    switch (type) {
        case kGray:
            return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
        case kPalette:
            return depth == 1 || depth == 2 || depth == 4 || depth == 8;
        case kRgb:
        case kGrayAlpha:
        case kRgba:
            return depth == 8 || depth == 16;
    }
    return false;
}

Header parse_header(Bytes payload, std::uint64_t max_pixels) {
    const std::uint8_t* p = payload.data;
    Header header{load_big32(p), load_big32(p + 4), p[8], static_cast<ColorType>(p[9]), p[12] == 1};
    if (header.width == 0 || header.height == 0 || header.width >> 31 || header.height >> 31)
        throw Error("corrupt PNG: the header says " + std::to_string(header.width) + " x " +
                    std::to_string(header.height) + " pixels");
    if (!depth_allowed(header.type, header.depth))
        throw Error("corrupt PNG: colour type " + std::to_string(header.type) + " with " +
                    std::to_string(header.depth) + " bits does not exist");
    if (p[10] != 0 || p[11] != 0 || p[12] > 1)
        throw Error("corrupt PNG: unknown compression, filter or interlace method");
    if (std::uint64_t{header.width} * header.height > max_pixels)
        throw Error("too large: " + std::to_string(header.width) + " x " + std::to_string(header.height) +
                    " pixels, the limit is " + std::to_string(max_pixels) + " (max_pixels)");
    return header;
}

std::vector<std::uint32_t> parse_palette(Bytes payload) {
    if (payload.size == 0 || payload.size % 3 != 0 || payload.size > 768)
        throw Error("corrupt PNG: the palette has " + std::to_string(payload.size) + " bytes");
    std::vector<std::uint32_t> palette;
    for (std::size_t i = 0; i < payload.size; i += 3) {
        const std::uint8_t* p = payload.data + i;
        palette.push_back(std::uint32_t{p[0]} | std::uint32_t{p[1]} << 8 | std::uint32_t{p[2]} << 16);
    }
    return palette;
}

// One chunk into `chunks`; `closed` says that the run of IDAT chunks was left.
void take(const Chunk& chunk, Chunks& chunks, bool& closed) {
    if (chunk.name == "IDAT") {
        if (closed) throw Error("corrupt PNG: IDAT chunks are not consecutive");
        chunks.data.push_back(chunk.payload);
        return;
    }
    closed = !chunks.data.empty();
    if (chunk.name == "PLTE") {
        if (chunks.header.type != kPalette) return;  // for other types only a hint to old displays
        if (closed || !chunks.palette.empty()) throw Error("corrupt PNG: a palette out of place");
        chunks.palette = parse_palette(chunk.payload);
    } else if (chunk.critical()) {
        throw Error("PNG with the unexpected critical chunk " + chunk.name);
    }
}

}  // namespace

unsigned Header::samples() const {
    switch (type) {
        case kRgb:
            return 3;
        case kGrayAlpha:
            return 2;
        case kRgba:
            return 4;
        case kGray:
        case kPalette:
            break;
    }
    return 1;
}

std::size_t Header::step() const { return depth < 8 ? 1 : samples() * depth / 8; }

std::size_t Header::row_bytes(std::uint32_t columns) const {
    return (std::size_t{columns} * samples() * depth + 7) / 8;
}

bool is_png(Bytes file) { return file.size >= 8 && std::memcmp(file.data, kSignature, 8) == 0; }

Header read_header(Bytes file, std::uint64_t max_pixels) {
    if (!is_png(file)) throw Error("not a PNG file");
    const Chunk chunk = read_chunk(file, 8);
    if (chunk.name != "IHDR" || chunk.payload.size != 13)
        throw Error("corrupt PNG: it does not begin with a header of 13 bytes");
    return parse_header(chunk.payload, max_pixels);
}

Chunks read_chunks(Bytes file, std::uint64_t max_pixels) {
    Chunks chunks;
    chunks.header = read_header(file, max_pixels);
    bool closed = false;
    std::size_t at = kHeaderEnd;
    for (;;) {
        const Chunk chunk = read_chunk(file, at);
        if (chunk.name == "IEND") break;
        take(chunk, chunks, closed);
        at = chunk.end;
    }
    if (chunks.data.empty()) throw Error("corrupt PNG: there is no pixel data");
    if (chunks.header.type == kPalette && chunks.palette.empty()) throw Error("corrupt PNG: the palette is missing");
    return chunks;
}

}  // namespace seg
