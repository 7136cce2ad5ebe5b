#include "differences.h"

#include <algorithm>
#include <cstdlib>

#include "pixel.h"
#include "unfilter.h"

namespace seg {
namespace {

// Compiled twice, because vectors of 32 bytes halve its time.
[[gnu::always_inline]] inline void undo_up(const std::uint8_t* row, const std::uint8_t* above, std::size_t size,
                                           std::size_t stride, std::uint8_t* out) {
    for (std::size_t i = 0; i < stride; ++i) out[i] = static_cast<std::uint8_t>(row[i] + above[i]);
    for (std::size_t i = stride; i < size; ++i) out[i] = static_cast<std::uint8_t>(row[i] - row[i - stride] + above[i]);
}

void undo_up_plain(const std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t stride,
                   std::uint8_t* out) {
    undo_up(row, above, size, stride, out);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void undo_up_avx2(const std::uint8_t* row, const std::uint8_t* above, std::size_t size,
                                          std::size_t stride, std::uint8_t* out) {
    undo_up(row, above, size, stride, out);
}

const auto undo_up_fast = __builtin_cpu_supports("avx2") ? undo_up_avx2 : undo_up_plain;
#else
const auto undo_up_fast = undo_up_plain;
#endif

std::uint32_t paeth_bytes(std::uint32_t left, std::uint32_t up, std::uint32_t corner) {
    if (up == corner) return left;
    if (left == corner) return up;
    std::uint32_t predicted = 0;
    for (int shift = 0; shift < 32; shift += 8) {
        const int byte = paeth(left >> shift & 255, up >> shift & 255, corner >> shift & 255);
        predicted |= static_cast<std::uint32_t>(byte) << shift;
    }
    return predicted;
}

// Where the pixel above is that of its left, the prediction is the left pixel, and zero is no change: only where a byte
// of the row, or of the differences above, is not zero, there is something to do.
template <std::size_t stride>
void undo_paeth(std::uint8_t* row, const std::uint8_t* above, std::size_t width, Starts& starts) {
    const std::size_t count = scan.either[stride](row, above, width, starts);
    std::uint32_t left = 0;
    std::uint32_t up = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = starts[i] * stride;
        const std::uint32_t corner = up;
        up = add_bytes(up, load_pixel<stride>(above + at));
        const std::uint32_t pixel = add_bytes(load_pixel<stride>(row + at), paeth_bytes(left, up, corner));
        store_pixel<stride>(row + at, subtract_bytes(pixel, left));
        left = pixel;
    }
}

template <std::size_t stride>
void undo_average(std::uint8_t* row, const std::uint8_t* above, std::size_t width, Starts& starts) {
    const std::size_t count = scan.either[stride](row, above, width, starts);
    std::uint32_t left = 0;
    std::uint32_t up = 0;
    for (std::size_t i = 0; i < count; ++i) {
        up = add_bytes(up, load_pixel<stride>(above + starts[i] * stride));
        // Over zeros the mean goes on changing until it is the pixel on the left.
        for (std::size_t x = starts[i]; x < starts[i + 1]; ++x) {
            std::uint8_t* at = row + x * stride;
            const std::uint32_t pixel = add_bytes(load_pixel<stride>(at), mean_bytes(left, up));
            store_pixel<stride>(at, subtract_bytes(pixel, left));
            if (pixel == left && x > starts[i]) break;
            left = pixel;
        }
    }
}

using Undo = void (*)(std::uint8_t* row, const std::uint8_t* above, std::size_t width, Starts& starts);
constexpr Undo kUndoPaeth[] = {nullptr, undo_paeth<1>, undo_paeth<2>, undo_paeth<3>, undo_paeth<4>};
constexpr Undo kUndoAverage[] = {nullptr, undo_average<1>, undo_average<2>, undo_average<3>, undo_average<4>};

}  // namespace

void subtract_left(const std::uint8_t* row, std::size_t size, std::size_t stride, std::uint8_t* out) {
    std::copy_n(row, std::min(stride, size), out);
    for (std::size_t i = stride; i < size; ++i) out[i] = static_cast<std::uint8_t>(row[i] - row[i - stride]);
}

void Differences::begin(std::uint32_t width, std::size_t stride) {
    width_ = width;
    stride_ = stride;
    size_ = width * stride;
    memory_.assign(2 * size_, 0);
    above_ = memory_.data();
}

std::uint8_t* Differences::spare() { return above_ == memory_.data() ? memory_.data() + size_ : memory_.data(); }

const std::uint8_t* Differences::next(std::uint8_t filter, std::uint8_t* row) {
    std::uint8_t* const out = spare();
    switch (static_cast<Filter>(filter)) {
        case kNone:
            subtract_left(row, size_, stride_, out);
            return above_ = out;
        case kSub:
            return above_ = row;
        case kUp:
            undo_up_fast(row, above_, size_, stride_, out);
            return above_ = out;
        case kAverage:
            kUndoAverage[stride_](row, above_, width_, starts_);
            return above_ = row;
        case kPaeth:
            kUndoPaeth[stride_](row, above_, width_, starts_);
            return above_ = row;
    }
    throw no_such_filter(filter);
}

}  // namespace seg
