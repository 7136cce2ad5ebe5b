// Vectors of numbers as wide as the instruction set that this translation unit is compiled for, and exp and log on
// them. Everything lies in an anonymous namespace: the same source is compiled once for each instruction set, and a
// linker that merged two of the results would run instructions that the machine may not have. For the same reason the
// kernels use no templates of the standard library.
#pragma once

#include <stdint.h>
#include <string.h>

#if !defined(SEG_LANES)
#define SEG_LANES 4  // floats in a vector of SSE2 and NEON, which every machine has
#endif

namespace {

constexpr int64_t kLanes = SEG_LANES;

typedef float Floats __attribute__((vector_size(SEG_LANES * 4)));
typedef int32_t Ints __attribute__((vector_size(SEG_LANES * 4)));
typedef uint32_t Bits __attribute__((vector_size(SEG_LANES * 4)));
typedef uint16_t Halves __attribute__((vector_size(SEG_LANES * 2)));
typedef double Doubles __attribute__((vector_size(SEG_LANES * 4)));  // as many bytes, half as many numbers

constexpr float kInfinity = __builtin_inff();

template <typename Vector, typename Scalar>
inline Vector load(const Scalar* from) {
    static_assert(alignof(Vector) >= alignof(Scalar), "a vector of other things");
    Vector value;
    memcpy(&value, from, sizeof value);
    return value;
}

template <typename Vector, typename Scalar>
inline void store(Scalar* to, Vector value) {
    memcpy(to, &value, sizeof value);
}

inline Floats all(float value) {
    return value - Floats{};  // minus zero, so that -0.0 and NaN stay what they are
}

template <typename To, typename From>
inline To as(From value) {
    static_assert(sizeof(To) == sizeof(From), "a change of type, not of size");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}

inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

inline double total(Floats value) {
    double sum = 0;
    for (int64_t i = 0; i < kLanes; ++i) sum += static_cast<double>(value[i]);
    return sum;
}

// bfloat16 is the upper half of a float.
inline Floats widen(Halves value) { return as<Floats>(__builtin_convertvector(value, Bits) << 16); }

// To nearest, ties to even; NaN stays NaN.
inline Halves narrow(Floats value) {
    const Bits bits = as<Bits>(value);
    const Bits rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    const Bits quiet = (bits >> 16) | 0x40;
    return __builtin_convertvector(value == value ? rounded : quiet, Halves);
}

// e^x for x <= 0, for minus infinity and for NaN, within 2 units in the last place (the polynomial of Cephes' expf); 0
// where the result would not be a normal number.
inline Floats exp_below(Floats x) {
    constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number in the lowest bits
    const Floats shifted = x * 1.44269504088896341F + kShift;
    const Floats n = shifted - kShift;
    Floats r = x - n * 0.693359375F;  // ln 2 in two parts, the first exact in few bits
    r = r + n * 2.12194440e-4F;
    Floats y = r * 1.9875691500E-4F + 1.3981999507E-3F;
    y = y * r + 8.3334519073E-3F;
    y = y * r + 4.1665795894E-2F;
    y = y * r + 1.6666665459E-1F;
    y = y * r + 5.0000001201E-1F;
    y = y * (r * r) + r + 1.0F;
    const Bits exponent = (as<Bits>(shifted) - as<Bits>(all(kShift)) + 127) << 23;
    y = y * as<Floats>(exponent);
    return x < all(-87.3F) ? Floats{} : y;
}

// The same for every x: infinity above 88.37.
inline Floats exp(Floats x) { return x > all(88.37F) ? all(kInfinity) : exp_below(x); }

// ln x within 2 units in the last place for normal x (Cephes' logf); -infinity at 0; infinity and NaN stay.
inline Floats log(Floats x) {
    const Bits bits = as<Bits>(x);
    // the mantissa in [sqrt(1/2), sqrt(2))
    const Bits above = (bits - 0x3F3504F3U) & 0xFF800000U;
    const Floats e = __builtin_convertvector(as<Ints>(above) >> 23, Floats);
    const Floats f = as<Floats>(bits - above) - 1.0F;
    const Floats z = f * f;
    Floats y = f * 7.0376836292E-2F - 1.1514610310E-1F;
    y = y * f + 1.1676998740E-1F;
    y = y * f - 1.2420140846E-1F;
    y = y * f + 1.4249322787E-1F;
    y = y * f - 1.6668057665E-1F;
    y = y * f + 2.0000714765E-1F;
    y = y * f - 2.4999993993E-1F;
    y = y * f + 3.3333331174E-1F;
    y = y * f * z - e * 2.12194440e-4F - z * 0.5F;
    y = f + y + e * 0.693359375F;
    y = x < all(kInfinity) ? y : x;
    return x == Floats{} ? all(-kInfinity) : y;
}

// ln(1 + x) for x > -1, precise where x is small: what rounding took from 1 + x is put back to first order.
inline Floats log1p(Floats x) {
    const Floats w = x + 1.0F;
    return log(w) + (x - (w - 1.0F)) / w;
}

// x^exponent for x >= 0.
inline Floats power(Floats x, float exponent) {
    if (exponent == 0.0F) return all(1.0F);
    if (exponent == 1.0F) return x;
    if (exponent == 2.0F) return x * x;
    return exp(log(x) * exponent);
}

}  // namespace
