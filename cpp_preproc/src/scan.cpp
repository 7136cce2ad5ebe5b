#include "scan.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace seg {
namespace {

// The same from pixel `pixel` on.
template <unsigned stride>
std::size_t changes_from(std::size_t pixel, const std::uint8_t* a, const std::uint8_t* b, std::size_t n,
                         std::uint16_t* out) {
    std::size_t count = 0;
    for (; pixel * stride < n; ++pixel) {
        out[count] = static_cast<std::uint16_t>(pixel);
        count += std::memcmp(a + pixel * stride, b + pixel * stride, stride) != 0;
    }
    return count;
}

template <unsigned stride>
std::size_t changes_scalar(const std::uint8_t* a, const std::uint8_t* b, std::size_t n, Positions& positions) {
    return changes_from<stride>(0, a, b, n, positions);
}

std::size_t count_scalar(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < n; ++i) count += a[i] != b[i];
    return count;
}

std::size_t zero_run_scalar(const std::uint8_t* a, std::size_t n) {
    std::size_t i = 0;
    while (i < n && a[i] == 0) ++i;
    return i;
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) __m256i load(const std::uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

// A bit for each of 32 bytes that is not the same.
__attribute__((target("avx2"))) std::uint32_t others(__m256i a, __m256i b) {
    return ~static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)));
}

// Of a bit for each byte, one for each whole pixel among them, at its first byte.
template <unsigned stride>
std::uint64_t pixel_bits(std::uint64_t bits) {
    if (stride == 2) return (bits | bits >> 1) & 0x5555555555555555;
    if (stride == 3) return (bits | bits >> 1 | bits >> 2) & 0x1249249249249249;
    if (stride == 4) return (bits | bits >> 1 | bits >> 2 | bits >> 3) & 0x1111111111111111;
    return bits;
}

template <unsigned stride>
__attribute__((target("avx2,bmi,popcnt"))) std::size_t changes_avx2(const std::uint8_t* a, const std::uint8_t* b,
                                                                    std::size_t n, Positions& positions) {
    constexpr unsigned step = 64 / stride;  // whole pixels in 64 bytes
    std::uint16_t* out = positions;
    std::size_t pixel = 0;
    for (std::size_t i = 0; i + 64 <= n; i += step * stride, pixel += step) {
        std::uint64_t bits = pixel_bits<stride>(others(load(a + i), load(b + i)) |
                                                std::uint64_t{others(load(a + i + 32), load(b + i + 32))} << 32);
        // Four positions at a time, wanted or not: a branch for each would be mispredicted as often as not.
        for (int left = __builtin_popcountll(bits); left > 0; left -= 4) {
            for (int k = 0; k < 4; ++k) {
                out[k] = static_cast<std::uint16_t>(pixel + static_cast<unsigned>(_tzcnt_u64(bits)) / stride);
                bits &= bits - 1;
            }
            out += left < 4 ? left : 4;
        }
    }
    out += changes_from<stride>(pixel, a, b, n, out);
    return static_cast<std::size_t>(out - positions);
}

__attribute__((target("avx2,popcnt"))) std::size_t count_avx2(const std::uint8_t* a, const std::uint8_t* b,
                                                              std::size_t n) {
    std::size_t count = 0;
    std::size_t i = 0;
    for (; i + 32 <= n; i += 32) count += static_cast<unsigned>(__builtin_popcount(others(load(a + i), load(b + i))));
    return count + count_scalar(a + i, b + i, n - i);
}

__attribute__((target("avx2"))) std::size_t zero_run_avx2(const std::uint8_t* a, std::size_t n) {
    std::size_t i = 0;
    for (; i + 32 <= n; i += 32)
        if (const std::uint32_t bits = others(load(a + i), _mm256_setzero_si256()))
            return i + static_cast<unsigned>(__builtin_ctz(bits));
    return i + zero_run_scalar(a + i, n - i);
}

#endif

Scan best_scan() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt"))
        return {
            {nullptr, changes_avx2<1>, changes_avx2<2>, changes_avx2<3>, changes_avx2<4>}, count_avx2, zero_run_avx2};
#endif
    return scalar_scan;
}

}  // namespace

const Scan scalar_scan = {{nullptr, changes_scalar<1>, changes_scalar<2>, changes_scalar<3>, changes_scalar<4>},
                          count_scalar,
                          zero_run_scalar};
const Scan scan = best_scan();

}  // namespace seg
