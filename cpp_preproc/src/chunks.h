// The outer form of a PNG file: signature, chunks, header, palette. No pixel is touched here.
#pragma once

#include <vector>

#include "bytes.h"

namespace seg {

enum ColorType : std::uint8_t { kGray = 0, kRgb = 2, kPalette = 3, kGrayAlpha = 4, kRgba = 6 };

struct Header {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::uint8_t depth = 0;  // bits a sample: 1, 2, 4, 8, 16
    ColorType type = kGray;
    bool interlaced = false;

    unsigned samples() const;  // samples a pixel, alpha among them
    std::size_t step() const;  // bytes a pixel, at least 1: the distance that filters look back
    std::size_t row_bytes(std::uint32_t columns) const;
};

struct Chunks {
    Header header;
    std::vector<std::uint32_t> palette;  // colours as r | g << 8 | b << 16; empty unless the type is kPalette
    Bytes transparency;                  // the tRNS payload, a view into the file; empty if there is none
    std::vector<Bytes> data;             // the IDAT payloads, views into the file
    std::uint32_t frames = 0;            // of an animation; 0 if it is none
    bool first_is_frame = false;         // the image is its first frame, not a picture apart
    unsigned orientation = 1;            // EXIF's, 1..8
};

inline constexpr std::size_t kHeaderEnd = 33;  // signature 8 + IHDR length 4, name 4, payload 13, CRC 4

bool is_png(Bytes file);

// The header alone, from the first kHeaderEnd bytes; throws if it is broken or has more than max_pixels.
Header read_header(Bytes file, std::uint64_t max_pixels);

// Everything up to IEND. Checks the CRC of every critical chunk; skips the ancillary ones (gamma, text, ...) but
// transparency, orientation and animation: labels are stored numbers, which nothing may adjust. Refuses animations.
Chunks read_chunks(Bytes file, std::uint64_t max_pixels);

}  // namespace seg
