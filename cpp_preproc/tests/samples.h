// PNG files for the tests and the fuzzer: every colour type, depth and filter, stored without compression.
#pragma once

#include <string>
#include <utility>
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

// Every colour type in every depth that it has.
inline constexpr std::pair<seg::ColorType, std::uint8_t> kForms[] = {
    {seg::kGray, 1},    {seg::kGray, 2},      {seg::kGray, 4},       {seg::kGray, 8},    {seg::kGray, 16},
    {seg::kRgb, 8},     {seg::kRgb, 16},      {seg::kPalette, 1},    {seg::kPalette, 2}, {seg::kPalette, 4},
    {seg::kPalette, 8}, {seg::kGrayAlpha, 8}, {seg::kGrayAlpha, 16}, {seg::kRgba, 8},    {seg::kRgba, 16}};

struct Sample {
    Blob file;
    seg::Header header;
    Blob raw;  // the plain rows, without filter bytes (empty if interlaced)
};

// An image with long runs and random filters.
Sample make_sample(Random& random, seg::ColorType type, std::uint8_t depth, bool interlaced);

// A file around pixel data as it stands before compression: a filter byte and a row, again and again.
Blob png_of(const seg::Header& header, const Blob& filtered);

// Puts right the CRC of every chunk, so that a mutation gets past it.
void mend_checksums(Blob& file);
