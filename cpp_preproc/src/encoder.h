// Masks to PNG: 8-bit grayscale, filter UP in every row. A mask minus the row above it is nearly all zeros, which
// is what the runs of deflate.h are good at. The bytes depend on the pixels only.
#pragma once

#include "deflate.h"

namespace seg {

// One per worker; keeps its memory from mask to mask.
class MaskEncoder {
  public:
    void begin(std::uint32_t width, std::uint32_t height);
    // The next row, `width` bytes. To be called `height` times.
    void row(const std::uint8_t* mask);
    // The PNG file; valid until the next begin().
    Bytes finish();

  private:
    void chunk(const char* name, Bytes payload);
    void close_chunk(std::size_t start);

    std::uint32_t width_ = 0;
    std::vector<std::uint8_t> above_;
    std::vector<std::uint8_t> filtered_;
    Output file_;
    RunDeflate deflate_;
    std::size_t data_start_ = 0;  // offset of the IDAT chunk
};

}  // namespace seg
