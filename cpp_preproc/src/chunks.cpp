#include "chunks.h"

#include <cstring>
#include <string>

#include "inflate.h"

namespace seg {
namespace {

constexpr std::uint8_t kSignature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

Error corrupt(const std::string& what) { return Error("corrupt PNG: " + what + kExportAgain); }

struct Chunk {
    std::string name;
    Bytes payload;
    std::size_t end;  // offset of the chunk after this one
    bool critical() const { return !(name[0] & 0x20); }
};

bool checks(Bytes file, std::size_t at, std::uint32_t length) {
    return crc32(0, {file.data + at + 4, length + 4}) == load_big32(file.data + at + 8 + length);
}

// Ancillary chunks that are looked at.
bool is_heeded(const std::string& name) { return name == "tRNS" || name == "eXIf" || name == "acTL" || name == "fcTL"; }

// `at` is within the file or at its end, as is the end of the chunk that is returned: no difference below wraps round.
Chunk read_chunk(Bytes file, std::size_t at) {
    if (file.size - at < 12)
        throw Error(std::string("truncated PNG: expected chunk IEND, got the end of the file") + kExportAgain);
    const std::uint32_t length = load_big32(file.data + at);
    Chunk chunk{std::string(reinterpret_cast<const char*>(file.data) + at + 4, 4), {file.data + at + 8, length}, 0};
    for (const char letter : chunk.name) {
        const char upper = static_cast<char>(letter & ~0x20);  // not std::toupper, which asks the locale
        if (upper < 'A' || upper > 'Z') throw corrupt("expected a chunk name of four letters, got other bytes");
    }
    if (length > file.size - at - 12)
        throw Error("truncated PNG: expected " + std::to_string(length) + " bytes in chunk " + chunk.name + ", got " +
                    std::to_string(file.size - at - 12) + " to the end of the file" + kExportAgain);
    chunk.end = at + 12 + length;
    if (is_heeded(chunk.name) && !checks(file, at, length)) chunk.payload.size = 0;  // as if it were not there
    if (chunk.critical() && !checks(file, at, length))
        throw corrupt("expected the CRC that chunk " + chunk.name + " states, got another");
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
        throw corrupt("expected sides of 1..2**31 - 1 pixels in the header, got " + std::to_string(header.width) +
                      " x " + std::to_string(header.height) + " pixels");
    if (!depth_allowed(header.type, header.depth))
        throw corrupt("expected a colour type and depth that PNG has, got colour type " + std::to_string(header.type) +
                      " with " + std::to_string(header.depth) + " bits");
    if (p[10] != 0 || p[11] != 0 || p[12] > 1)
        throw corrupt("expected compression, filter and interlace methods 0, 0 and 0..1, got " + std::to_string(p[10]) +
                      ", " + std::to_string(p[11]) + " and " + std::to_string(p[12]));
    if (std::uint64_t{header.width} * header.height > max_pixels)
        throw Error("too large: expected at most " + std::to_string(max_pixels) + " pixels (max_pixels), got " +
                    std::to_string(header.width) + " x " + std::to_string(header.height) + "; raise max_pixels");
    return header;
}

std::vector<std::uint32_t> parse_palette(Bytes payload) {
    if (payload.size == 0 || payload.size % 3 != 0 || payload.size > 768)
        throw corrupt("expected a palette of 1..256 colours of 3 bytes, got " + std::to_string(payload.size) +
                      " bytes");
    std::vector<std::uint32_t> palette;
    for (std::size_t i = 0; i < payload.size; i += 3) {
        const std::uint8_t* p = payload.data + i;
        palette.push_back(std::uint32_t{p[0]} | std::uint32_t{p[1]} << 8 | std::uint32_t{p[2]} << 16);
    }
    return palette;
}

// The orientation that EXIF data state, the first directory of a TIFF file; 1 if there is none.
unsigned orientation_of(Bytes exif) {
    constexpr std::size_t kTag = 274;
    const bool little = exif.size > 0 && exif.data[0] == 'I';
    const auto number = [&](std::size_t at, std::size_t bytes) {
        std::size_t value = 0;
        if (exif.size < bytes || at > exif.size - bytes) return value;
        for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | exif.data[at + (little ? bytes - 1 - i : i)];
        return value;
    };
    if (number(2, 2) != 42) return 1;
    const std::size_t directory = number(4, 4);
    const std::size_t count = number(directory, 2);
    for (std::size_t entry = directory + 2; entry < directory + 2 + 12 * count; entry += 12) {
        const std::size_t value = number(entry + 8, 2);
        if (number(entry, 2) == kTag) return 1 <= value && value <= 8 ? static_cast<unsigned>(value) : 1;
    }
    return 1;
}

// One chunk into `chunks`; `closed` says that the run of IDAT chunks was left.
void take(const Chunk& chunk, Chunks& chunks, bool& closed) {
    if (chunk.name == "IDAT") {
        if (closed) throw corrupt("expected consecutive IDAT chunks, got another chunk between two");
        chunks.data.push_back(chunk.payload);
        return;
    }
    closed = !chunks.data.empty();
    if (chunk.name == "PLTE") {
        if (chunks.header.type != kPalette) return;  // for other types only a hint to old displays
        if (closed || !chunks.palette.empty())
            throw corrupt("expected one palette, before the pixel data, got another or a later one");
        chunks.palette = parse_palette(chunk.payload);
    } else if (chunk.name == "tRNS") {
        chunks.transparency = chunk.payload;
    } else if (chunk.name == "eXIf") {
        chunks.orientation = orientation_of(chunk.payload);
    } else if (chunk.name == "acTL" && chunk.payload.size == 8) {
        chunks.frames = load_big32(chunk.payload.data);
    } else if (chunk.name == "fcTL" && chunk.payload.size > 0 && !closed) {
        chunks.first_is_frame = true;
    } else if (chunk.critical()) {
        throw Error("PNG: expected PLTE, IDAT and IEND as critical chunks after the header, got " + chunk.name +
                    "; export the file as an ordinary PNG");
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
    if (!is_png(file)) throw Error("expected a PNG file, got one without its signature; convert it to PNG");
    const Chunk chunk = read_chunk(file, 8);
    if (chunk.name != "IHDR" || chunk.payload.size != 13)
        throw corrupt("expected a header (chunk IHDR of 13 bytes) first, got chunk " + chunk.name + " of " +
                      std::to_string(chunk.payload.size) + " bytes");
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
    if (chunks.data.empty()) throw corrupt("expected pixel data (chunk IDAT), got none");
    if (chunks.header.type == kPalette && chunks.palette.empty())
        throw corrupt("expected a palette (chunk PLTE) for colour type 3, got none");
    const std::uint64_t pictures = std::uint64_t{chunks.frames} + (chunks.frames && !chunks.first_is_frame);
    if (pictures > 1)
        throw Error("PNG: expected one picture, got an animation of " + std::to_string(pictures) +
                    " frames; save the frame that is the label as a file of its own");
    return chunks;
}

}  // namespace seg
