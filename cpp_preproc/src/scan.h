// The vector primitives: everything fast here rests on finding where something changes.
#pragma once

#include "bytes.h"

namespace seg {

// What differing() looks at in one call at most: positions fit 16 bits and stay in the first-level cache.
inline constexpr std::size_t kStrip = 4096;

// Room for the positions: they are written in fours, whether there are as many or not.
using Positions = std::uint16_t[kStrip + 4];

// Each has an AVX2 form and a scalar twin with the same answer; which one runs is chosen when the program starts.
// Nothing at or past n is read.
struct Scan {
    // Lists the i in [0, n) with a[i] != b[i], n <= kStrip, in rising order; returns how many.
    std::size_t (*differing)(const std::uint8_t* a, const std::uint8_t* b, std::size_t n, Positions& positions);
    // The number of leading zero bytes.
    std::size_t (*zero_run)(const std::uint8_t* a, std::size_t n);
};

extern const Scan scalar_scan;
extern const Scan scan;

}  // namespace seg
