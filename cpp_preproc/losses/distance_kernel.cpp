// The loops of distance.h, compiled once for each instruction set.
//
// The squared distance to a class is min over columns j of (x - j)^2 + g_j^2, with g_j the distance within the column,
// which two sweeps over the rows find. The best column moves right as x does (leftmost or not: a column further left
// that is no better at x is worse at x + 1). So the best columns of every kBlock-th x, found by halving, bound those in
// between: each block of pixels tries the columns between those of its ends, all pixels at once, and over the whole row
// every column is tried about once. All numbers are whole and below 2^24 (float) or 2^53 (double): nothing is rounded
// before the square root.
//
// The distance of a pixel to any other class is the smallest of its distances to the other classes.
#include "distance.h"
#include "kernels.h"
#include "vector.h"

namespace seg::losses {
namespace {

template <typename Real>
struct VectorOf;
template <>
struct VectorOf<float> {
    using Type = Floats;
};
template <>
struct VectorOf<double> {
    using Type = Doubles;
};

inline float root(float value) { return __builtin_sqrtf(value); }
inline double root(double value) { return __builtin_sqrt(value); }

struct Box {
    int64_t left, right, pixels;  // columns of a class, `right` included
};

// Boxes of all classes and of the pixels of no class; a class nowhere has no pixels.
void find_boxes(const Mask& mask, Box* boxes) {
    for (int64_t c = 0; c <= mask.classes; ++c) boxes[c] = {mask.width, -1, 0};
    for (int64_t y = 0; y < mask.height; ++y) {
        const int32_t* row = mask.labels + y * mask.width;
        for (int64_t x = 0; x < mask.width;) {
            const int32_t label = row[x];
            const int64_t start = x;
            while (x < mask.width && row[x] == label) ++x;
            if (label < 0) continue;
            Box& box = boxes[label];
            if (start < box.left) box.left = start;
            if (x - 1 > box.right) box.right = x - 1;
            box.pixels += x - start;
        }
    }
}

template <typename Real>
class Transform {
    using Vector = typename VectorOf<Real>::Type;
    static constexpr int64_t kWide = static_cast<int64_t>(sizeof(Vector) / sizeof(Real));
    static constexpr int64_t kBlock = 2 * kWide;
    static constexpr Real kFar = static_cast<Real>(kInfinity);

  public:
    static int64_t columns(int64_t width) { return (width + kBlock) / kBlock * kBlock + kBlock; }
    static int64_t bytes(int64_t height, int64_t width) {
        const int64_t numbers = height * columns(width) + height * width + 2 * columns(width);
        return numbers * static_cast<int64_t>(sizeof(Real)) + columns(width) * static_cast<int64_t>(sizeof(int64_t));
    }

    Transform(const Mask& mask, void* scratch) : mask_(mask), stride_(columns(mask.width)) {
        best_ = static_cast<int64_t*>(scratch);
        along_ = reinterpret_cast<Real*>(best_ + stride_);
        other_ = along_ + mask.height * stride_;
        squares_ = other_ + mask.height * mask.width;
        row_ = squares_ + stride_;
    }

    void fill(const Box* boxes, float* maps) {
        const int64_t pixels = mask_.height * mask_.width;
        for (int64_t i = 0; i < pixels; ++i) other_[i] = kFar;
        for (int64_t c = 0; c <= mask_.classes; ++c) {
            if (!boxes[c].pixels) continue;
            const bool wanted = c < mask_.classes && mask_.wanted[c];
            sweep_columns(static_cast<int32_t>(c), boxes[c]);
            for (int64_t y = 0; y < mask_.height; ++y) {
                sweep_row(along_ + y * stride_, boxes[c]);
                write_row(static_cast<int32_t>(c), y, wanted ? maps + c * pixels : nullptr);
            }
        }
        for (int64_t i = 0; i < pixels; ++i) {
            const int32_t c = mask_.labels[i];
            if (c >= 0 && c < mask_.classes && mask_.wanted[c])
                maps[c * pixels + i] = static_cast<float>(1.0 - root(static_cast<double>(other_[i])));
        }
    }

  private:
    // Distance to the class within each column of its box.
    void sweep_columns(int32_t c, const Box& box) {
        const int64_t width = mask_.width, height = mask_.height;
        for (int64_t x = box.left; x <= box.right; ++x) squares_[x] = kFar;  // above the first row
        for (int64_t y = 0; y < height; ++y) {
            const int32_t* labels = mask_.labels + y * width;
            Real* to = along_ + y * stride_;
            const Real* above = y ? to - stride_ : squares_;
            for (int64_t x = box.left; x <= box.right; ++x) to[x] = labels[x] == c ? 0 : above[x] + 1;
        }
        for (int64_t y = height - 2; y >= 0; --y) {
            Real* to = along_ + y * stride_;
            const Real* below = to + stride_;
            for (int64_t x = box.left; x <= box.right; ++x) to[x] = below[x] + 1 < to[x] ? below[x] + 1 : to[x];
        }
    }

    // The column in first..last that is nearest to x.
    int64_t nearest(int64_t x, int64_t first, int64_t last) const {
        Vector least = Vector{} + kFar, at = {}, column, distance;
        for (int64_t i = 0; i < kWide; ++i) column[i] = static_cast<Real>(first + i);
        for (int64_t j = first; j <= last; j += kWide) {  // those beyond `last` are farther, see above
            distance = column - static_cast<Real>(x);
            distance = distance * distance + load<Vector>(squares_ + j);
            at = distance < least ? column : at;
            least = distance < least ? distance : least;
            column += static_cast<Real>(kWide);
        }
        int64_t found = 0;
        for (int64_t i = 1; i < kWide; ++i)
            if (least[i] < least[found]) found = i;
        return static_cast<int64_t>(at[found]);
    }

    // best_ of the blocks between two whose best columns are known.
    void halve(int64_t low, int64_t high) {
        if (high - low < 2) return;
        const int64_t middle = (low + high) / 2;
        best_[middle] = nearest(middle * kBlock, best_[low], best_[high]);
        halve(low, middle);
        halve(middle, high);
    }

    // Squared distances of one row into row_.
    void sweep_row(const Real* along, const Box& box) {
        for (int64_t x = box.left; x <= box.right; ++x) squares_[x] = along[x] * along[x];
        for (int64_t x = box.right + 1; x <= box.right + kWide; ++x) squares_[x] = kFar;
        const int64_t blocks = (mask_.width + kBlock - 1) / kBlock;
        best_[0] = nearest(0, box.left, box.right);
        best_[blocks] = nearest(blocks * kBlock, best_[0], box.right);
        halve(0, blocks);
        for (int64_t block = 0; block < blocks; ++block) {
            Vector x0, x1, least0 = Vector{} + kFar, least1 = least0;
            for (int64_t i = 0; i < kWide; ++i) x0[i] = static_cast<Real>(block * kBlock + i - best_[block]);
            x1 = x0 + static_cast<Real>(kWide);
            for (int64_t j = best_[block]; j <= best_[block + 1]; ++j) {
                const Vector d0 = x0 * x0 + squares_[j], d1 = x1 * x1 + squares_[j];
                least0 = d0 < least0 ? d0 : least0;
                least1 = d1 < least1 ? d1 : least1;
                x0 -= 1;
                x1 -= 1;
            }
            store(row_ + block * kBlock, least0);
            store(row_ + block * kBlock + kWide, least1);
        }
    }

    void write_row(int32_t c, int64_t y, float* map) {
        const int64_t width = mask_.width;
        const int32_t* labels = mask_.labels + y * width;
        Real* other = other_ + y * width;
        for (int64_t x = 0; x < width; ++x) {
            const Real nearer = row_[x] < other[x] ? row_[x] : other[x];
            other[x] = labels[x] == c ? other[x] : nearer;
        }
        if (!map) return;
        float* to = map + y * width;
        for (int64_t x = 0; x < width; ++x) {
            const float distance = static_cast<float>(root(row_[x]));
            to[x] = labels[x] < 0 ? 0.0F : distance;
        }
    }

    const Mask& mask_;
    const int64_t stride_;
    int64_t* best_;  // nearest column at the start of each block, and at the end of the last
    Real* along_;    // (height, stride): distance within the column
    Real* other_;    // (height, width): squared distance to the nearest pixel of another class
    Real* squares_;  // of one row of along_, and what lies above the first row
    Real* row_;      // squared distances of one row
};

// Whole numbers up to 2 height^2 + 2 width^2 must be exact: a block ends beyond the image.
bool fits_float(int64_t height, int64_t width) {
    return height * height + (width + 4 * kLanes) * (width + 4 * kLanes) < (int64_t{1} << 24);
}

int64_t scratch(int64_t height, int64_t width, int64_t classes) {
    const int64_t maps =
        fits_float(height, width) ? Transform<float>::bytes(height, width) : Transform<double>::bytes(height, width);
    return maps + (classes + 1) * static_cast<int64_t>(sizeof(Box));
}

void fill(const Mask& mask, void* memory, float* maps) {
    auto* boxes = static_cast<Box*>(memory);
    void* rest = boxes + mask.classes + 1;
    find_boxes(mask, boxes);
    int64_t kinds = 0;
    for (int64_t c = 0; c <= mask.classes; ++c) kinds += boxes[c].pixels > 0;
    if (kinds < 2) return;
    if (fits_float(mask.height, mask.width))
        Transform<float>(mask, rest).fill(boxes, maps);
    else
        Transform<double>(mask, rest).fill(boxes, maps);
}

}  // namespace

const DistanceKernels SEG_DISTANCE_KERNELS = {scratch, fill};

}  // namespace seg::losses
