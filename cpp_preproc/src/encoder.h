// Masks to PNG: 8-bit grayscale. Each row is sent as it is or as its difference from the row above (filters NONE and
// UP), whichever has fewer runs, because runs are what deflate.h is good at. The bytes depend on the pixels only.
#pragma once

#include "deflate.h"
#include "scan.h"

namespace seg {

// One per worker; keeps its memory from mask to mask.
class MaskEncoder {
  public:
    void begin(std::uint32_t width, std::uint32_t height);
    // The next row, of `width` bytes. To be called `height` times.
    void row(const Runs& row);
    // The same from plain bytes.
    void row(const std::uint8_t* mask);
    // The PNG file; valid until the next begin().
    Bytes finish();

  private:
    void chunk(const char* name, Bytes payload);
    void close_chunk(std::size_t start);

    std::uint32_t width_ = 0;
    std::vector<std::uint8_t> above_;        // the last row, as differences
    std::vector<std::uint8_t> zeros_;        // what a row is told from that is sent as it is
    std::vector<std::uint8_t> differences_;  // those of a row that is given plain
    Starts starts_;                          // of its runs
    Starts up_;                              // of the runs in a row's difference from the row above
    Output file_;
    RunDeflate deflate_;
    std::size_t data_start_ = 0;  // offset of the IDAT chunk
};

}  // namespace seg
