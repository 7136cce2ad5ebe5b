// The compression library behind one small door: libdeflate or zlib, chosen by CMake.
#pragma once

#include <string>

#include "bytes.h"

namespace seg {

// Who inflates, and its version: "libdeflate 1.14" or "zlib 1.2.13".
std::string inflate_name();

// CRC-32 as in PNG and zip; `crc` is the value so far, 0 at the start.
std::uint32_t crc32(std::uint32_t crc, Bytes bytes);

// Not safe for use by several threads at once; each worker owns one.
class Inflater {
  public:
    Inflater();
    ~Inflater();
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;

    // Inflates one zlib stream that must give exactly `size` bytes and carry a right Adler-32. Bytes
    // after the stream are ignored, as libpng does.
    void inflate(Bytes stream, std::uint8_t* out, std::size_t size);

  private:
    void* state_;
};

// The texts are shared so that a file fails with the same words under either library.
inline constexpr const char* kBadStream =
    "corrupt PNG: expected pixel data that inflates to what its checksum says, got other data; copy or export the file "
    "again";
inline constexpr const char* kShortStream =
    "corrupt PNG: expected pixel data for every row, got an end before the last row; copy or export the file again";
inline constexpr const char* kLongStream =
    "corrupt PNG: expected pixel data for every row, got more than the header says; copy or export the file again";

}  // namespace seg
