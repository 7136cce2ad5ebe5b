// A pixel of 1 to 4 bytes as one number, the first byte lowest. Filters count in bytes, so sums wrap in each byte.
#pragma once

#include "bytes.h"

namespace seg {

template <std::size_t stride>
std::uint32_t load_pixel(const std::uint8_t* p) {
    std::uint32_t pixel = 0;
    for (std::size_t c = 0; c < stride; ++c) pixel |= std::uint32_t{p[c]} << 8 * c;
    return pixel;
}

template <std::size_t stride>
void store_pixel(std::uint8_t* p, std::uint32_t pixel) {
    for (std::size_t c = 0; c < stride; ++c) p[c] = static_cast<std::uint8_t>(pixel >> 8 * c);
}

inline constexpr std::uint32_t kHighBits = 0x80808080;

// The highest bit of each byte is added apart, so that nothing is carried into the next byte.
inline std::uint32_t add_bytes(std::uint32_t a, std::uint32_t b) {
    return ((a & ~kHighBits) + (b & ~kHighBits)) ^ ((a ^ b) & kHighBits);
}

inline std::uint32_t subtract_bytes(std::uint32_t a, std::uint32_t b) {
    return ((a | kHighBits) - (b & ~kHighBits)) ^ ((a ^ ~b) & kHighBits);
}

// Rounded down.
inline std::uint32_t mean_bytes(std::uint32_t a, std::uint32_t b) { return (a & b) + ((a ^ b) >> 1 & ~kHighBits); }

}  // namespace seg
