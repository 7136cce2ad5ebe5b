// Adam7 interlacing: an image sent as seven smaller ones (PNG specification, section 8).
#pragma once

#include "chunks.h"

namespace seg {

struct Pass {
    std::uint32_t x0, y0, dx, dy;

    std::uint32_t width(const Header& header) const { return count(header.width, x0, dx); }
    std::uint32_t height(const Header& header) const { return count(header.height, y0, dy); }

  private:
    static std::uint32_t count(std::uint32_t size, std::uint32_t start, std::uint32_t stride) {
        return size <= start ? 0 : (size - start - 1) / stride + 1;
    }
};

extern const Pass kPasses[7];

// Bytes of the inflated pixel data, filter bytes included, interlaced or not.
std::uint64_t raw_size(const Header& header);

// Writes the pixels of one row of a pass, `stride` bytes each, to their places in a row of the image.
void spread(const std::uint8_t* pixels, std::uint32_t count, const Pass& pass, std::size_t stride, std::uint8_t* row);

}  // namespace seg
