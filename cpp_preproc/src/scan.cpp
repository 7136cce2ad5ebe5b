#include "scan.h"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#define SEG_AVX2 [[gnu::target("avx2,bmi,popcnt")]]
#define SEG_AVX512 [[gnu::target("avx512bw,avx512vl,avx512vbmi2,bmi2,popcnt")]]
#endif

namespace seg {
namespace {

// What is looked for: in two bytes, and in vectors of them.
struct Some {
    static bool in(std::uint8_t a, std::uint8_t) { return a != 0; }
#if defined(__x86_64__)
    SEG_AVX2 static __m256i absent(__m256i a, __m256i) { return _mm256_cmpeq_epi8(a, _mm256_setzero_si256()); }
    SEG_AVX512 static std::uint64_t in(__m512i a, __m512i) { return _mm512_test_epi8_mask(a, a); }
#endif
};
struct Either {
    static bool in(std::uint8_t a, std::uint8_t b) { return (a | b) != 0; }
#if defined(__x86_64__)
    SEG_AVX2 static __m256i absent(__m256i a, __m256i b) { return Some::absent(_mm256_or_si256(a, b), b); }
    SEG_AVX512 static std::uint64_t in(__m512i a, __m512i b) { return Some::in(_mm512_or_si512(a, b), b); }
#endif
};
struct Differ {
    static bool in(std::uint8_t a, std::uint8_t b) { return a != b; }
#if defined(__x86_64__)
    SEG_AVX2 static __m256i absent(__m256i a, __m256i b) { return _mm256_cmpeq_epi8(a, b); }
    SEG_AVX512 static std::uint64_t in(__m512i a, __m512i b) { return _mm512_cmpneq_epi8_mask(a, b); }
#endif
};

constexpr std::size_t kAtOnce = 8;  // starts that are written at most, whether there are as many or not

std::uint32_t* room_for(std::size_t width, Starts& starts) {
    if (starts.size() < width + 1 + kAtOnce) starts.resize(width + 1 + kAtOnce);
    starts[0] = 0;
    return starts.data() + 1;
}

std::size_t close(std::uint32_t* end, std::size_t width, const Starts& starts) {
    *end = static_cast<std::uint32_t>(width);
    return static_cast<std::size_t>(end - starts.data());
}

// From pixel x on.
template <class What, std::size_t stride>
std::uint32_t* find_from(std::size_t x, const std::uint8_t* a, const std::uint8_t* b, std::size_t width,
                         std::uint32_t* out) {
    for (; x < width; ++x) {
        bool found = false;
        for (std::size_t i = x * stride; i < (x + 1) * stride; ++i) found |= What::in(a[i], b[i]);
        *out = static_cast<std::uint32_t>(x);
        out += found;
    }
    return out;
}

struct Plain {
    template <class What, std::size_t stride>
    static std::size_t find(const std::uint8_t* a, const std::uint8_t* b, std::size_t width, Starts& starts) {
        return close(find_from<What, stride>(1, a, b, width, room_for(width, starts)), width, starts);
    }
};

#if defined(__x86_64__)

// Of a bit for each of 64 bytes, one for each whole pixel among them, at its first byte.
template <std::size_t stride>
std::uint64_t pixel_bits(std::uint64_t bits) {
    if (stride == 2) return (bits | bits >> 1) & 0x5555555555555555;
    if (stride == 3) return (bits | bits >> 1 | bits >> 2) & 0x1249249249249249;
    if (stride == 4) return (bits | bits >> 1 | bits >> 2 | bits >> 3) & 0x1111111111111111;
    return bits;
}

struct Avx2 {
    // First a bit for each byte, then the places of those that are set: where there are any cannot be foretold, so that
    // a branch on it for every 64 bytes would cost more than both loops.
    template <class What, std::size_t stride>
    SEG_AVX2 static std::size_t find(const std::uint8_t* a, const std::uint8_t* b, std::size_t width, Starts& starts) {
        constexpr std::size_t step = 64 / stride;  // whole pixels in 64 bytes
        std::uint32_t* out = room_for(width, starts);
        const std::size_t size = width * stride;
        std::size_t x = 1;
        std::uint64_t words[64];
        while (x * stride + 64 <= size) {
            const std::size_t n = std::min<std::size_t>(64, (size - x * stride - 64) / (step * stride) + 1);
            std::uint64_t found = 0;
            for (std::size_t k = 0; k < n; ++k) {
                const std::size_t at = (x + k * step) * stride;
                words[k] = bits_of<What>(a + at, b + at);
                found |= std::uint64_t{words[k] != 0} << k;
            }
            for (; found; found &= found - 1) {
                const std::size_t k = _tzcnt_u64(found);
                out = list<stride>(pixel_bits<stride>(words[k]), x + k * step, out);
            }
            x += n * step;
        }
        return close(find_from<What, stride>(x, a, b, width, out), width, starts);
    }

  private:
    template <class What>
    SEG_AVX2 static std::uint64_t bits_of(const std::uint8_t* a, const std::uint8_t* b) {
        return half_of<What>(a, b) | std::uint64_t{half_of<What>(a + 32, b + 32)} << 32;
    }

    template <class What>
    SEG_AVX2 static std::uint32_t half_of(const std::uint8_t* a, const std::uint8_t* b) {
        const __m256i left = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
        const __m256i right = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
        return ~static_cast<std::uint32_t>(_mm256_movemask_epi8(What::absent(left, right)));
    }

    // Four at a time, wanted or not: a branch for each would be mispredicted as often as not.
    template <std::size_t stride>
    SEG_AVX2 static std::uint32_t* list(std::uint64_t bits, std::size_t x, std::uint32_t* out) {
        for (int left = __builtin_popcountll(bits); left > 0; left -= 4) {
            for (std::size_t k = 0; k < 4; ++k) {
                out[k] = static_cast<std::uint32_t>(x + static_cast<unsigned>(_tzcnt_u64(bits)) / stride);
                bits &= bits - 1;
            }
            out += std::min(left, 4);
        }
        return out;
    }
};

// For each of 64 bytes, which pixel it belongs to.
template <std::size_t stride>
struct PixelOf {
    std::uint8_t byte[64] = {};
    constexpr PixelOf() {
        for (std::size_t i = 0; i < 64; ++i) byte[i] = static_cast<std::uint8_t>(i / stride);
    }
};
template <std::size_t stride>
constexpr PixelOf<stride> kPixelOf;

struct Avx512 {
    template <class What, std::size_t stride>
    SEG_AVX512 static std::size_t find(const std::uint8_t* a, const std::uint8_t* b, std::size_t width,
                                       Starts& starts) {
        constexpr std::size_t step = 64 / stride;  // whole pixels in 64 bytes
        std::uint32_t* out = room_for(width, starts);
        const std::size_t size = width * stride;
        for (std::size_t x = 1; x < width; x += step) {
            const std::size_t at = x * stride;
            __m512i left;
            __m512i right;
            if (at + 64 <= size) {
                left = _mm512_loadu_si512(a + at);
                right = _mm512_loadu_si512(b + at);
            } else {
                const __mmask64 rest = ~std::uint64_t{0} >> (64 - (size - at));
                left = _mm512_maskz_loadu_epi8(rest, a + at);
                right = _mm512_maskz_loadu_epi8(rest, b + at);
            }
            const std::uint64_t bits = What::in(left, right);
            if (stride == 1 || bits) out = list<stride>(pixel_bits<stride>(bits), x, out);
        }
        return close(out, width, starts);
    }

  private:
    template <std::size_t stride>
    SEG_AVX512 static std::uint32_t* list(std::uint64_t bits, std::size_t x, std::uint32_t* out) {
        const __m512i pixels = _mm512_loadu_si512(kPixelOf<stride>.byte);
        const __m256i base = _mm256_set1_epi32(static_cast<int>(x));
        for (int left = __builtin_popcountll(bits);; left -= 8) {
            // Not by a cast, for which GCC 12 warns of its own header (bug 105593).
            const __m128i eight = _mm512_maskz_extracti32x4_epi32(15, _mm512_maskz_compress_epi8(bits, pixels), 0);
            const __m256i places = _mm256_add_epi32(base, _mm256_cvtepu8_epi32(eight));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), places);
            if (left <= 8) return out + left;
            out += 8;
            bits &= ~_pdep_u64(255, bits);  // without the lowest eight
        }
    }
};

#endif

template <class Form>
Scan scan_of() {
    return {{nullptr, Form::template find<Some, 1>, Form::template find<Some, 2>, Form::template find<Some, 3>,
             Form::template find<Some, 4>},
            {nullptr, Form::template find<Either, 1>, Form::template find<Either, 2>, Form::template find<Either, 3>,
             Form::template find<Either, 4>},
            Form::template find<Differ, 1>};
}

}  // namespace

std::vector<Scan> scans() {
    std::vector<Scan> found;
#if defined(__x86_64__)
    const bool bits =
        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    const bool wide = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (bits && wide && __builtin_cpu_supports("avx512vbmi2")) found.push_back(scan_of<Avx512>());
    if (bits && __builtin_cpu_supports("avx2")) found.push_back(scan_of<Avx2>());
#endif
    found.push_back(scan_of<Plain>());
    return found;
}

const Scan scan = scans().front();

}  // namespace seg
