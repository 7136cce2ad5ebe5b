// PNG pixels, row by row, in the few forms that the mapper knows.
#pragma once

#include "chunks.h"
#include "differences.h"
#include "inflate.h"

namespace seg {

// How the pixels of a row lie in memory.
enum class Pixels : std::uint8_t {
    gray8,         // one byte: gray level or palette index, never scaled
    gray_alpha8,   // gray level, alpha
    gray16,        // gray level, high byte first
    gray_alpha16,  // gray level, alpha, high bytes first
    rgb8,
    rgba8,
};

std::size_t stride_of(Pixels pixels);

enum class Kind : std::uint8_t { gray, palette, color };

// What a mapper has to know of an image; made from a file or from an array.
struct Picture {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    Kind kind = Kind::color;
    Pixels pixels = Pixels::rgb8;
    unsigned depth = 8;                  // bits of a gray level
    std::vector<std::uint32_t> palette;  // r | g << 8 | b << 16
    std::vector<std::uint32_t> clear;    // palette indices, the gray level or the colour that are fully transparent
    unsigned orientation = 1;            // EXIF's, 1..8, which is not applied
};

// One per worker; keeps its memory from file to file.
class PngReader {
  public:
    // Checks and inflates the whole file; `file` is not needed afterwards.
    const Picture& open(Bytes file, std::uint64_t max_pixels);
    // The next row, from the top, as differences (see differences.h); valid until the call after. To be called
    // Picture::height times.
    const std::uint8_t* next();

  private:
    void inflate(const Chunks& chunks);
    void undo(std::uint8_t filter, std::uint8_t* row, const std::uint8_t* above, std::size_t size) const;
    bool stored_alike() const;
    std::uint8_t* deliver(std::uint8_t* row, std::uint32_t columns);
    void assemble();

    Header header_;
    Picture picture_;
    Inflater inflater_;
    Buffer joined_;     // IDAT chunks, joined
    Buffer raw_;        // inflated: a filter byte and a row, again and again
    Buffer zeros_;      // the row above the first
    Buffer delivered_;  // one row after narrowing or expanding
    Buffer whole_;      // an interlaced image, put together
    Differences differences_;
    std::size_t row_bytes_ = 0;
    std::uint32_t y_ = 0;
};

}  // namespace seg
