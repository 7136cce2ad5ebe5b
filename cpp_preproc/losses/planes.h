// Where a tile of pixels lies, and reading one class of it, whatever the layout and type of the logits. In an anonymous
// namespace, as vector.h is and for the same reason.
#pragma once

#include <stddef.h>

#include "softmax.h"
#include "vector.h"

namespace {

inline int64_t tile_of(const seg::losses::Batch& batch) {
    int64_t pixels = 512;
    while (pixels > 64 && pixels * batch.classes > 24576) pixels /= 2;  // 96 KiB
    return pixels;
}

struct Place {
    const seg::losses::Batch& batch;
    int64_t capacity, length, padded;  // `padded`: length rounded up to whole vectors
    int64_t image, y, x;

    explicit Place(const seg::losses::Batch& of)
        : batch(of), capacity(tile_of(of)), length(0), padded(0), image(0), y(0), x(0) {}

    void move_to(int64_t of_image, int64_t index) {
        const int64_t in_row = (batch.width + capacity - 1) / capacity;
        image = of_image;
        y = index / in_row;
        x = index % in_row * capacity;
        length = batch.width - x < capacity ? batch.width - x : capacity;
        padded = (length + kLanes - 1) / kLanes * kLanes;
    }

    ptrdiff_t at(const seg::losses::Layout& layout, int64_t c) const {
        return image * layout.image + c * layout.plane + y * layout.row + x * layout.pixel;
    }

    // Of a contiguous array (images, height, width).
    int64_t first_pixel() const { return (image * batch.height + y) * batch.width + x; }
};

inline float widened(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
inline float widened(float value) { return value; }

inline Floats read(const float* from) { return load<Floats>(from); }
inline Floats read(const uint16_t* from) { return widen(load<Halves>(from)); }

// `length` numbers, `step` apart, as floats; 0 from there to `padded`, a multiple of kLanes.
template <typename Number>
void copy_plane(const Number* from, ptrdiff_t step, int64_t length, int64_t padded, float* to) {
    int64_t i = 0;
    if (step == 1)
        for (; i + kLanes <= length; i += kLanes) store(to + i, read(from + i));
    for (; i < length; ++i) to[i] = widened(from[i * step]);
    for (; i < padded; ++i) to[i] = 0;
}

}  // namespace
