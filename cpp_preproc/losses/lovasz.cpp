// Errors lie in 0..1, whose bits as floats are 0..2^30 in the same order: three passes of a radix sort by ten bits each
// put them in order. Only errors that are not below every error of a pixel of the class take part: at those behind, the
// intersection is empty already, and the loss does not change any more.
#include "lovasz.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

namespace seg::losses {
namespace {

constexpr std::uint32_t kOne = 0x3F800000U, kNaNAbove = 0x7F800000U, kOwn = 0x80000000U;
constexpr int kDigits = 3, kBits = 10;
constexpr std::uint32_t kValues = 1U << kBits;

using Histograms = std::array<std::array<std::uint32_t, kValues>, kDigits>;

std::uint32_t bits_of(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

double error_of(std::uint32_t key) {
    const std::uint32_t bits = kOne - key;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return static_cast<double>(value);
}

std::uint32_t digit_of(Item item, int digit) {
    return static_cast<std::uint32_t>(item >> (32 + kBits * digit)) & (kValues - 1);
}

struct Errors {
    std::int64_t own = 0;
    std::uint32_t least_own = kOne;  // bits of the least error of a pixel of the class
    bool nan = false;
};

Errors look_at(const float* errors, std::int64_t pixels) {
    std::int64_t own = 0;
    std::uint32_t least = kOne, nan = 0;
    for (std::int64_t i = 0; i < pixels; ++i) {
        const std::uint32_t bits = bits_of(errors[i]), size = bits & ~kOwn;
        own += bits >> 31;
        least = std::min(least, (bits & kOwn) != 0 ? size : kOne);
        nan |= static_cast<std::uint32_t>(size > kNaNAbove);
    }
    return {own, least, nan != 0};
}

// The items that take part, in the order of the pixels; the slopes of all others are 0.
std::int64_t collect(float* errors, std::int64_t pixels, std::uint32_t least, Item* items, Histograms& histograms) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < pixels; ++i) {
        const std::uint32_t bits = bits_of(errors[i]), size = bits & ~kOwn;
        errors[i] = 0;
        const std::uint32_t taken =
            static_cast<std::uint32_t>(size >= least) & static_cast<std::uint32_t>(size <= kOne);
        const auto place = static_cast<std::uint32_t>(i);
        items[count] = static_cast<Item>(kOne - size) << 32 | place << 1 | bits >> 31;
        count += taken;  // and not a branch, which would be guessed wrong half of the time
    }
    for (std::int64_t i = 0; i < count; ++i)
        for (int d = 0; d < kDigits; ++d) ++histograms[static_cast<std::size_t>(d)][digit_of(items[i], d)];
    return count;
}

// Returns where the sorted items are.
const Item* sorted(Item* items, Item* other, std::int64_t count, Histograms& histograms) {
    for (int d = 0; d < kDigits; ++d) {
        auto& places = histograms[static_cast<std::size_t>(d)];
        std::uint32_t next = 0;
        for (std::uint32_t& place : places) next += std::exchange(place, next);
        for (std::int64_t i = 0; i < count; ++i) other[places[digit_of(items[i], d)]++] = items[i];
        std::swap(items, other);
    }
    return items;
}

// 1 / union at a pixel of the class, (intersection / union) / (union - 1) at another: the differences of the Jaccard
// loss in closed form.
double add_slopes(const Item* items, std::int64_t count, std::int64_t own, float* slopes) {
    double value = 0;
    std::int64_t found = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        const bool of_class = (items[i] & 1) != 0;
        found += of_class;
        const auto left = static_cast<double>(own - found), all = static_cast<double>(own + i + 1 - found);
        const double slope = of_class ? 1 / all : left / (all * (all - 1));
        value += slope * error_of(static_cast<std::uint32_t>(items[i] >> 32));
        slopes[static_cast<std::uint32_t>(items[i]) >> 1] = static_cast<float>(of_class ? -slope : slope);
    }
    return value;
}

// Of a class without a pixel the loss is the largest error.
double add_largest(float* errors, std::int64_t pixels) {
    std::int64_t largest = -1;
    for (std::int64_t i = 0; i < pixels; ++i) {
        const bool labelled = bits_of(errors[i]) <= kOne;
        if (labelled && (largest < 0 || errors[i] > errors[largest])) largest = i;
    }
    const double value = largest < 0 ? 0 : static_cast<double>(errors[largest]);
    std::fill(errors, errors + pixels, 0.0F);
    if (largest >= 0) errors[largest] = 1;
    return value;
}

}  // namespace

ClassLoss lovasz_slopes(float* errors, std::int64_t pixels, Item* scratch) {
    const Errors look = look_at(errors, pixels);
    double value = 0;
    if (look.own == 0) {
        value = add_largest(errors, pixels);
    } else {
        Histograms histograms{};
        const std::int64_t count = collect(errors, pixels, look.least_own, scratch, histograms);
        value = add_slopes(sorted(scratch, scratch + pixels + 1, count, histograms), count, look.own, errors);
    }
    return {look.nan ? std::numeric_limits<double>::quiet_NaN() : value, look.own};
}

}  // namespace seg::losses
