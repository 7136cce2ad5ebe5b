// PNG files for the tests and the fuzzer: every colour type, depth and filter, stored without compression.
#pragma once

#include <string>
#include <vector>

#include "chunks.h"

using Blob = std::vector<std::uint8_t>;

// Numbers from a fixed seed (xorshift), so that a failure can be repeated.
class Random {
  public:
    explicit Random(std::uint32_t seed) : state_(seed * 2654435761u + 1) {}
    std::uint32_t below(std::uint32_t limit);

  private:
    std::uint32_t state_;
};

struct Sample {
    Blob file;
    seg::Header header;
    Blob raw;  // the plain rows, without filter bytes (empty if interlaced)
};

// An image with long runs and random filters.
Sample make_sample(Random& random, std::uint8_t type, std::uint8_t depth, bool interlaced);

// A file around pixel data as it stands before compression: a filter byte and a row, again and again.
Blob png_of(const seg::Header& header, const Blob& filtered);

// Puts right the CRC of every chunk, so that a mutation gets past it.
void mend_checksums(Blob& file);
