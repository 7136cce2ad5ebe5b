// The loops of counting.h, compiled once for each instruction set. As in softmax_kernel.cpp, a tile of pixels times all
// classes is read into the cache once.
#include "counting.h"
#include "kernels.h"
#include "planes.h"

namespace seg::losses {
namespace {

constexpr int64_t kIgnore = 255;

constexpr int64_t kVectors = 3;

int64_t scratch_of(const Batch& batch) { return (batch.classes + kVectors) * tile_of(batch); }

// The vectors of one tile, which lie in the caller's scratch.
struct Tile : Place {
    float *logits, *top, *sum;  // (classes, capacity), then vectors
    int32_t* best;              // class of the largest logit

    Tile(const Batch& of, float* scratch) : Place(of) {
        logits = scratch;
        top = logits + batch.classes * capacity;
        sum = top + capacity;
        best = reinterpret_cast<int32_t*>(sum + capacity);
    }
};

template <typename Number>
void read_classes(Tile& tile, const Number* logits) {
    const Layout& layout = tile.batch.layout;
    for (int64_t c = 0; c < tile.batch.classes; ++c)
        copy_plane(logits + tile.at(layout, c), layout.pixel, tile.length, tile.padded,
                   tile.logits + c * tile.capacity);
}

void find_best(Tile& tile) {
    for (int64_t i = 0; i < tile.padded; i += kLanes) {
        Floats top = load<Floats>(tile.logits + i);
        Ints best = {};
        for (int64_t c = 1; c < tile.batch.classes; ++c) {
            const Floats value = load<Floats>(tile.logits + c * tile.capacity + i);
            // not <= is true for NaN as well; the first NaN stays
            const Ints better = ~(value <= top) & (top == top);
            top = better != 0 ? value : top;
            best = better != 0 ? Ints{} + static_cast<int32_t>(c) : best;
        }
        store(tile.top + i, top);
        store(tile.best + i, best);
    }
}

// The sum of e^(logit - largest logit), which is 1 / the softmax of the largest.
void sum_powers(Tile& tile) {
    for (int64_t i = 0; i < tile.padded; i += kLanes) {
        const Floats top = load<Floats>(tile.top + i);
        Floats sum = {};
        for (int64_t c = 0; c < tile.batch.classes; ++c)
            sum += exp(load<Floats>(tile.logits + c * tile.capacity + i) - top);
        store(tile.sum + i, sum);
    }
}

// In float32, as the plain path of seg.metrics.counting has it; NaN falls into the first bin.
inline int64_t bin_of(float confidence, int64_t bins) {
    const float place = __builtin_ceilf(confidence * static_cast<float>(bins));
    return place > 1 ? (place < static_cast<float>(bins) ? static_cast<int64_t>(place) : bins) - 1 : 0;
}

template <typename Label>
bool count_tile(const Tile& tile, const Label* target, const Found& found) {
    const int64_t classes = tile.batch.classes, first = tile.first_pixel();
    bool right = true;
    for (int64_t i = 0; i < tile.length; ++i) found.prediction[first + i] = static_cast<uint8_t>(tile.best[i]);
    for (int64_t i = 0; i < tile.length; ++i) {
        const int64_t t = static_cast<int64_t>(target[first + i]);
        const bool in_range = t >= 0 && t < classes && t != kIgnore;
        right &= in_range || t == kIgnore;
        if (!in_range) continue;
        ++found.confusion[t * classes + tile.best[i]];
        if (found.bins == 0) continue;
        const float confidence = 1.0F / tile.sum[i];
        double* bin = found.sure + 3 * bin_of(confidence, found.bins);
        bin[0] += 1;
        bin[1] += static_cast<double>(confidence);
        bin[2] += t == tile.best[i] ? 1 : 0;
    }
    return right;
}

bool count(const Batch& batch, const Part& part, float* scratch, const Found& found) {
    Tile tile(batch, scratch);
    bool right = true;
    for (int64_t index = part.first; index < part.last; ++index) {
        tile.move_to(part.image, index);
        if (batch.half)
            read_classes(tile, static_cast<const uint16_t*>(batch.logits));
        else
            read_classes(tile, static_cast<const float*>(batch.logits));
        find_best(tile);
        if (found.bins > 0) sum_powers(tile);
        right &= batch.bytes ? count_tile(tile, static_cast<const uint8_t*>(batch.target), found)
                             : count_tile(tile, static_cast<const int64_t*>(batch.target), found);
    }
    return right;
}

}  // namespace

const CountingKernels SEG_COUNTING_KERNELS = {tile_of, scratch_of, count};

}  // namespace seg::losses
