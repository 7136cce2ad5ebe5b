// The vector primitives: everything fast here rests on finding where something changes.
#pragma once

#include "bytes.h"

namespace seg {

// What changes looks at in one call at most: positions fit 16 bits and stay in the first-level cache.
inline constexpr std::size_t kStrip = 4096;

// Room for the positions: they are written in fours, whether there are as many or not.
using Positions = std::uint16_t[kStrip + 4];

// Lists, in rising order, the pixels i of `stride` bytes in which a and b differ, and returns how many; n is in bytes,
// n <= kStrip, a multiple of the stride.
using Changes = std::size_t (*)(const std::uint8_t* a, const std::uint8_t* b, std::size_t n, Positions& positions);

// Each has an AVX2 form and a scalar twin with the same answer; which one runs is chosen when the program starts.
// Nothing at or past n is read.
struct Scan {
    Changes changes[5];  // by stride, 1 to 4
    // In how many of n bytes a and b differ.
    std::size_t (*count)(const std::uint8_t* a, const std::uint8_t* b, std::size_t n);
    // The number of leading zero bytes.
    std::size_t (*zero_run)(const std::uint8_t* a, std::size_t n);
};

extern const Scan scalar_scan;
extern const Scan scan;

}  // namespace seg
