// Rows as differences from the pixel on the left, which is PNG's filter SUB, whatever their filter was. In a label map
// nearly all of them are zero: runs are found, and filters undone, without most pixels ever being looked at.
#pragma once

#include "scan.h"

namespace seg {

// What remains of a plain row of `size` bytes, `stride` a pixel.
void subtract_left(const std::uint8_t* row, std::size_t size, std::size_t stride, std::uint8_t* out);

// One per worker; keeps its memory from file to file.
class Differences {
  public:
    void begin(std::uint32_t width, std::size_t stride);
    // The row below the one before, of any filter; it may be written over, and is needed until the next call. What is
    // returned lasts as long. Throws on a filter that does not exist.
    const std::uint8_t* next(std::uint8_t filter, std::uint8_t* row);

  private:
    std::uint8_t* spare();

    std::uint32_t width_ = 0;
    std::size_t stride_ = 0;
    std::size_t size_ = 0;
    const std::uint8_t* above_ = nullptr;
    std::vector<std::uint8_t> memory_;  // two rows, of which the one above may take one
    Starts starts_;
};

}  // namespace seg
