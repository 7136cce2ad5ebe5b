#include "scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace seg {
namespace {

std::size_t differing_from(std::size_t i, const std::uint8_t* a, const std::uint8_t* b, std::size_t n,
                           std::uint16_t* out) {
    std::size_t count = 0;
    for (; i < n; ++i) {
        out[count] = static_cast<std::uint16_t>(i);
        count += a[i] != b[i];
    }
    return count;
}

std::size_t differing_scalar(const std::uint8_t* a, const std::uint8_t* b, std::size_t n, Positions& positions) {
    return differing_from(0, a, b, n, positions);
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

__attribute__((target("avx2,bmi,popcnt"))) std::size_t differing_avx2(const std::uint8_t* a, const std::uint8_t* b,
                                                                      std::size_t n, Positions& positions) {
    std::uint16_t* out = positions;
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        std::uint64_t bits =
            others(load(a + i), load(b + i)) | std::uint64_t{others(load(a + i + 32), load(b + i + 32))} << 32;
        // Four positions at a time, wanted or not: a branch for each would be mispredicted as often as not.
        for (int left = __builtin_popcountll(bits); left > 0; left -= 4) {
            for (int k = 0; k < 4; ++k) {
                out[k] = static_cast<std::uint16_t>(i + _tzcnt_u64(bits));
                bits &= bits - 1;
            }
            out += left < 4 ? left : 4;
        }
    }
    out += differing_from(i, a, b, n, out);
    return static_cast<std::size_t>(out - positions);
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
        return {differing_avx2, zero_run_avx2};
#endif
    return scalar_scan;
}

}  // namespace

const Scan scalar_scan = {differing_scalar, zero_run_scalar};
const Scan scan = best_scan();

}  // namespace seg
