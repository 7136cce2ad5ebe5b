// The loops of softmax.h, compiled once for each instruction set (SEG_ISA names it).
//
// A tile of some hundred pixels times all classes fits the first or second level cache: the logits are read into it
// once and everything else happens there, over pixels of one class at a time, which lie side by side.
#include "kernels.h"
#include "planes.h"
#include "softmax.h"

namespace seg::losses {
namespace {

constexpr float kTiny = 1.17549435e-38F;  // the smallest normal number
constexpr int64_t kIgnore = 255;

// The vectors of one tile, each as long as the tile; they lie in the caller's scratch.
struct Tile : Place {
    bool holes = false;  // some pixel is ignored
    float* p;            // (classes, capacity): logits, then powers of e; 0 at the true class
    float *top, *rest, *own, *inverse, *minus_log, *miss, *hit, *value, *factor, *slope, *fixed, *log_sum;
    int32_t* label;  // 0 where ignored
    int32_t* live;   // -1 at labelled pixels, else 0

    Tile(const Batch& of, float* scratch) : Place(of) {
        p = scratch;
        float* next = p + batch.classes * capacity;
        float** vectors[] = {&top, &rest,  &own,    &inverse, &minus_log, &miss,
                             &hit, &value, &factor, &slope,   &fixed,     &log_sum};
        for (float** vector : vectors) {
            *vector = next;
            next += capacity;
        }
        label = reinterpret_cast<int32_t*>(next);
        live = label + capacity;
    }
};

constexpr int64_t kVectors = 14;

int64_t scratch_of(const Batch& batch) { return (batch.classes + kVectors) * tile_of(batch); }

int64_t number_bytes(const Batch& batch) { return batch.half ? 2 : 4; }

template <typename Label>
bool read_labels(Tile& tile, const Label* target) {
    const Batch& batch = tile.batch;
    const Label* from = target + tile.first_pixel();
    bool right = true, holes = tile.padded > tile.length;
    for (int64_t i = 0; i < tile.length; ++i) {
        const int64_t t = static_cast<int64_t>(from[i]);
        const bool in_range = t >= 0 && t < batch.classes && t != kIgnore;
        right &= in_range || t == kIgnore;
        holes |= !in_range;
        tile.label[i] = in_range ? static_cast<int32_t>(t) : 0;
        tile.live[i] = in_range ? -1 : 0;
    }
    for (int64_t i = tile.length; i < tile.padded; ++i) tile.label[i] = tile.live[i] = 0;
    tile.holes = holes;
    return right;
}

bool read_target(Tile& tile) {
    return tile.batch.bytes ? read_labels(tile, static_cast<const uint8_t*>(tile.batch.target))
                            : read_labels(tile, static_cast<const int64_t*>(tile.batch.target));
}

// One class of the tile from memory, 0 at pixels that are ignored or padding; `top` becomes the larger of it and that.
template <typename Number>
void read_plane_and_top(const Tile& tile, const Number* from, ptrdiff_t step, float* to) {
    if (step != 1 || tile.length < tile.padded) {
        copy_plane(from, step, tile.length, tile.padded, to);
        from = nullptr;
    }
    for (int64_t i = 0; i < tile.padded; i += kLanes) {
        Floats value = from ? read(from + i) : load<Floats>(to + i);
        if (tile.holes) value = load<Ints>(tile.live + i) != 0 ? value : Floats{};  // select: NaN times 0 is NaN
        store(to + i, value);
        store(tile.top + i, larger(value, load<Floats>(tile.top + i)));
    }
}

template <typename Number>
void read_plane(const Tile& tile, const Number* from, ptrdiff_t step, float* to) {
    copy_plane(from, step, tile.length, tile.padded, to);
    if (!tile.holes) return;
    for (int64_t i = 0; i < tile.padded; i += kLanes)  // select, not multiply: NaN times 0 is NaN
        store(to + i, load<Ints>(tile.live + i) != 0 ? load<Floats>(to + i) : Floats{});
}

void read_class(const Tile& tile, int64_t c, float* to) {
    const Batch& batch = tile.batch;
    const ptrdiff_t at = tile.at(batch.layout, c);
    if (batch.half)
        read_plane(tile, static_cast<const uint16_t*>(batch.logits) + at, batch.layout.pixel, to);
    else
        read_plane(tile, static_cast<const float*>(batch.logits) + at, batch.layout.pixel, to);
}

// Where the class lies in the tile to the right, to be fetched while this one is computed; an address beyond the last
// pixel does no harm.
const char* next_of(const Tile& tile, int64_t c) {
    const ptrdiff_t at = tile.at(tile.batch.layout, c) + tile.capacity * tile.batch.layout.pixel;
    return static_cast<const char*>(tile.batch.logits) + at * static_cast<ptrdiff_t>(number_bytes(tile.batch));
}

// Fill p, and for each pixel everything that depends on the true class.
void evaluate(Tile& tile) {
    const int64_t classes = tile.batch.classes, n = tile.padded, width = number_bytes(tile.batch);
    for (int64_t i = 0; i < n; i += kLanes) store(tile.top + i, all(-kInfinity));
    for (int64_t c = 0; c < classes; ++c) {
        float* plane = tile.p + c * tile.capacity;
        const ptrdiff_t at = tile.at(tile.batch.layout, c), step = tile.batch.layout.pixel;
        if (tile.batch.half)
            read_plane_and_top(tile, static_cast<const uint16_t*>(tile.batch.logits) + at, step, plane);
        else
            read_plane_and_top(tile, static_cast<const float*>(tile.batch.logits) + at, step, plane);
    }
    for (int64_t i = 0; i < n; ++i) {  // the true class apart: 1 - p_t must not be a difference
        float* own = tile.p + tile.label[i] * tile.capacity + i;
        tile.own[i] = *own;
        tile.rest[i] = 0;
        *own = -kInfinity;
    }
    for (int64_t c = 0; c < classes; ++c) {
        float* plane = tile.p + c * tile.capacity;
        const char* next = next_of(tile, c);
        for (int64_t i = 0; i < n; i += kLanes) {
            __builtin_prefetch(next + i * width, 0, 2);
            const Floats e = exp_below(load<Floats>(plane + i) - load<Floats>(tile.top + i));
            store(plane + i, e);
            store(tile.rest + i, load<Floats>(tile.rest + i) + e);
        }
    }
    for (int64_t i = 0; i < n; i += kLanes) {
        const Floats below = load<Floats>(tile.own + i) - load<Floats>(tile.top + i);
        const Floats own = exp_below(below), rest = load<Floats>(tile.rest + i);
        const Floats sum = own + rest, inverse = 1.0F / sum, log_sum = log(sum);
        const Floats miss = rest * inverse;
        const Floats precise = -log1p(miss < all(0.5F) ? -miss : Floats{});
        store(tile.inverse + i, inverse);
        store(tile.hit + i, own * inverse);
        store(tile.miss + i, miss);
        store(tile.log_sum + i, log_sum);
        store(tile.minus_log + i, miss < all(0.5F) ? precise : log_sum - below);
    }
}

// What a row sums at a pixel of its class; `slope`: its derivative with respect to ln p_t.
Floats value_of(const Row& row, const Tile& tile, int64_t i) {
    const Floats u = load<Floats>(tile.minus_log + i), q = load<Floats>(tile.miss + i);
    if (row.kind == Kind::labelled) return all(1.0F);
    if (row.kind == Kind::hit) return load<Floats>(tile.hit + i);
    if (row.kind == Kind::minus_log) return u;
    if (row.kind == Kind::focal) return q > all(kTiny) ? power(q, row.exponent) * u : (q == q ? Floats{} : q);
    return u > all(kTiny) ? power(u, row.exponent) : (u == u ? Floats{} : u);
}

Floats slope_of(const Row& row, const Tile& tile, int64_t i) {
    const Floats u = load<Floats>(tile.minus_log + i), q = load<Floats>(tile.miss + i);
    const Floats p = load<Floats>(tile.hit + i);
    if (row.kind == Kind::labelled) return Floats{};
    if (row.kind == Kind::hit) return p;
    if (row.kind == Kind::minus_log) return all(-1.0F);
    if (row.kind == Kind::focal) {
        // u / q is 1 in the limit, and p u 0 where p is 0 and u infinite
        const Floats fading = p > Floats{} ? row.exponent * p * (u / q) : Floats{};
        return q > all(kTiny) ? -power(q, row.exponent) * (1.0F + fading) : (q == q ? Floats{} : q);
    }
    return u > all(kTiny) ? -row.exponent * power(u, row.exponent - 1.0F) : (u == u ? Floats{} : u);
}

inline bool of_true_class(Kind kind) { return kind <= Kind::power; }

void add_by_class(const Tile& tile, const Row& row, double* sums) {
    for (int64_t i = 0; i < tile.padded; i += kLanes) store(tile.value + i, value_of(row, tile, i));
    for (int64_t i = 0; i < tile.length; ++i)
        if (tile.live[i]) sums[tile.label[i]] += static_cast<double>(tile.value[i]);
}

// -ln p_c of every labelled pixel; p is gone by now, so that the logits are read again.
double spread_of(Tile& tile, int64_t c) {
    read_class(tile, c, tile.value);
    Floats sum = {};
    for (int64_t i = 0; i < tile.padded; i += kLanes) {
        const Floats below = load<Floats>(tile.value + i) - load<Floats>(tile.top + i);
        sum += load<Ints>(tile.live + i) != 0 ? load<Floats>(tile.log_sum + i) - below : Floats{};
    }
    return total(sum);
}

void read_field(Tile& tile, int64_t c, float* to) {
    const Layout& layout = tile.batch.field_layout;
    read_plane(tile, tile.batch.field + tile.at(layout, c), layout.pixel, to);
}

// The number of kind field that belongs to the true class of a pixel.
inline float own_field(const Tile& tile, int64_t i) {
    const Layout& layout = tile.batch.field_layout;
    return tile.batch.field[tile.at(layout, tile.label[i]) + i * layout.pixel];
}

// Sums over all labelled pixels, whatever their class; that of the true class was taken out of p.
void add_everywhere(Tile& tile, Kind kind, double* sums) {
    for (int64_t i = 0; i < tile.padded; i += kLanes)
        store(tile.factor + i, load<Ints>(tile.live + i) != 0 ? load<Floats>(tile.inverse + i) : Floats{});
    for (int64_t c = 0; c < tile.batch.classes; ++c) {
        if (kind == Kind::spread) {
            sums[c] += spread_of(tile, c);
            continue;
        }
        if (kind == Kind::field) read_field(tile, c, tile.value);
        const float* plane = tile.p + c * tile.capacity;
        Floats sum = {};
        for (int64_t i = 0; i < tile.padded; i += kLanes) {
            const Floats p = load<Floats>(plane + i) * load<Floats>(tile.factor + i);
            sum += kind == Kind::squares ? p * p : kind == Kind::field ? p * load<Floats>(tile.value + i) : p;
        }
        sums[c] += total(sum);
    }
    if (kind == Kind::spread) return;
    for (int64_t i = 0; i < tile.length; ++i) {
        if (!tile.live[i]) continue;
        const double p = static_cast<double>(tile.hit[i]);
        const double factor = kind == Kind::squares ? p
                              : kind == Kind::field ? static_cast<double>(own_field(tile, i))
                                                    : 1;
        sums[tile.label[i]] += p * factor;
    }
}

bool sums(const Batch& batch, const Part& part, float* scratch, double* sums) {
    Tile tile(batch, scratch);
    bool right = true;
    for (int64_t index = part.first; index < part.last; ++index) {
        tile.move_to(part.image, index);
        right &= read_target(tile);
        evaluate(tile);
        for (int64_t r = 0; r < batch.count; ++r) {
            if (of_true_class(batch.rows[r].kind))
                add_by_class(tile, batch.rows[r], sums + r * batch.classes);
            else
                add_everywhere(tile, batch.rows[r].kind, sums + r * batch.classes);
        }
    }
    return right;
}

// The derivatives with respect to the sums of one image, gathered by what they multiply; null where none was asked for.
struct Coefficients {
    const float *linear = nullptr, *square = nullptr, *spread = nullptr, *field = nullptr;
    float spread_total = 0;

    bool everywhere() const { return linear || square || field; }
};

Coefficients gathered(const Batch& batch, const float* coefficients, int64_t image) {
    Coefficients found;
    for (int64_t r = 0; r < batch.count; ++r) {
        const float* of_row = coefficients + (r * batch.images + image) * batch.classes;
        if (batch.rows[r].kind == Kind::predicted) found.linear = of_row;
        if (batch.rows[r].kind == Kind::squares) found.square = of_row;
        if (batch.rows[r].kind == Kind::field) found.field = of_row;
        if (batch.rows[r].kind == Kind::spread) found.spread = of_row;
    }
    for (int64_t c = 0; found.spread && c < batch.classes; ++c) found.spread_total += found.spread[c];
    return found;
}

// slope = dL / d ln p_t of each pixel through the sums of its true class.
void take_slopes(const Tile& tile, const float* coefficients) {
    const Batch& batch = tile.batch;
    for (int64_t i = 0; i < tile.padded; i += kLanes) store(tile.slope + i, Floats{});
    for (int64_t r = 0; r < batch.count; ++r) {
        if (!of_true_class(batch.rows[r].kind) || batch.rows[r].kind == Kind::labelled) continue;
        const float* of_row = coefficients + (r * batch.images + tile.image) * batch.classes;
        for (int64_t i = 0; i < tile.padded; ++i) tile.value[i] = of_row[tile.label[i]];
        for (int64_t i = 0; i < tile.padded; i += kLanes) {
            const Floats more = load<Floats>(tile.value + i) * slope_of(batch.rows[r], tile, i);
            store(tile.slope + i, load<Floats>(tile.slope + i) + more);
        }
    }
}

// dL / dp_c at one vector of pixels.
inline Floats weight_of(const Coefficients& of, int64_t c, Floats p, const float* field) {
    Floats weight = {};
    if (of.linear) weight += of.linear[c];
    if (of.square) weight += 2.0F * of.square[c] * p;
    if (of.field) weight += of.field[c] * load<Floats>(field);
    return weight;
}

// p becomes probabilities; factor: minus the mean of dL / dp under p; fixed: dL / dp_t.
void weigh(Tile& tile, const Coefficients& of) {
    for (int64_t i = 0; i < tile.padded; i += kLanes) store(tile.factor + i, Floats{});
    for (int64_t i = 0; i < tile.padded; i += kLanes) store(tile.fixed + i, Floats{});
    for (int64_t c = 0; c < tile.batch.classes; ++c) {
        float* plane = tile.p + c * tile.capacity;
        if (of.field) read_field(tile, c, tile.value);
        for (int64_t i = 0; i < tile.padded; i += kLanes) {
            const Floats p = load<Floats>(plane + i) * load<Floats>(tile.inverse + i);
            store(plane + i, p);
            store(tile.factor + i, load<Floats>(tile.factor + i) - p * weight_of(of, c, p, tile.value + i));
        }
    }
    for (int64_t i = 0; i < tile.length; ++i) {
        const int32_t t = tile.label[i];
        if (of.field && tile.live[i]) tile.fixed[i] += of.field[t] * own_field(tile, i);
        if (of.linear) tile.fixed[i] += of.linear[t];
        if (of.square) tile.fixed[i] += 2.0F * of.square[t] * tile.hit[i];
        tile.factor[i] -= tile.hit[i] * tile.fixed[i];
    }
}

inline uint16_t narrowed(float value) {
    const Halves halves = narrow(all(value));
    return halves[0];
}
inline void put(float* to, float value) { *to = value; }
inline void put(uint16_t* to, float value) { *to = narrowed(value); }
inline void put(float* to, Floats value) { store(to, value); }
inline void put(uint16_t* to, Floats value) { store(to, narrow(value)); }

template <typename Number>
void write_plane(const Tile& tile, const float* from, Number* to, ptrdiff_t step) {
    int64_t i = 0;
    if (step == 1)
        for (; i + kLanes <= tile.length; i += kLanes) put(to + i, load<Floats>(from + i));
    for (; i < tile.length; ++i) put(to + i * step, from[i]);
}

template <typename Number>
void write_own(const Tile& tile, Number* gradient, const Layout& layout, const Coefficients& of) {
    Number* to = gradient + tile.at(layout, 0);
    for (int64_t i = 0; i < tile.length; ++i) {
        if (!tile.live[i]) continue;
        const int32_t t = tile.label[i];
        // slope (1 - p_t) + p_t (dL/dp_t - mean) - spread
        const float mean = of.spread_total + tile.factor[i];
        const float through_p = tile.hit[i] * (mean + (of.everywhere() ? tile.fixed[i] : 0.0F));
        const float value = tile.slope[i] * tile.miss[i] + through_p - (of.spread ? of.spread[t] : 0.0F);
        put(to + t * layout.plane + i * layout.pixel, value);
    }
}

template <typename Number>
void write_tile(Tile& tile, Number* gradient, const Layout& layout, const Coefficients& of) {
    const bool dense = of.everywhere();
    if (!dense)
        for (int64_t i = 0; i < tile.padded; i += kLanes) store(tile.factor + i, Floats{});
    // what multiplies every probability
    for (int64_t i = 0; i < tile.padded; i += kLanes) {
        const Floats mean = load<Floats>(tile.factor + i) + of.spread_total - load<Floats>(tile.slope + i);
        store(tile.own + i, dense ? mean : mean * load<Floats>(tile.inverse + i));
    }
    for (int64_t c = 0; c < tile.batch.classes; ++c) {
        float* plane = tile.p + c * tile.capacity;
        if (of.field) read_field(tile, c, tile.value);
        const Floats spread = all(of.spread ? of.spread[c] : 0.0F);
        Number* to = gradient + tile.at(layout, c);
        const bool direct = layout.pixel == 1 && tile.length == tile.padded;
        for (int64_t i = 0; i < tile.padded; i += kLanes) {
            const Floats p = load<Floats>(plane + i);
            Floats value = p * (weight_of(of, c, p, tile.value + i) + load<Floats>(tile.own + i)) - spread;
            if (tile.holes) value = load<Ints>(tile.live + i) != 0 ? value : Floats{};
            if (direct)
                put(to + i, value);
            else
                store(plane + i, value);
        }
        if (!direct) write_plane(tile, plane, to, layout.pixel);
    }
    write_own(tile, gradient, layout, of);
}

void gradient(const Batch& batch, const Part& part, const float* coefficients, void* gradient, const Layout& layout,
              float* scratch) {
    Tile tile(batch, scratch);
    const Coefficients of = gathered(batch, coefficients, part.image);
    for (int64_t index = part.first; index < part.last; ++index) {
        tile.move_to(part.image, index);
        read_target(tile);
        evaluate(tile);
        take_slopes(tile, coefficients);
        if (of.everywhere()) weigh(tile, of);
        if (batch.half)
            write_tile(tile, static_cast<uint16_t*>(gradient), layout, of);
        else
            write_tile(tile, static_cast<float*>(gradient), layout, of);
    }
}

bool minus_logs(const Batch& batch, const Part& part, float* scratch, float* values) {
    Tile tile(batch, scratch);
    bool right = true;
    for (int64_t index = part.first; index < part.last; ++index) {
        tile.move_to(part.image, index);
        right &= read_target(tile);
        evaluate(tile);
        float* to = values + tile.first_pixel();
        for (int64_t i = 0; i < tile.length; ++i) to[i] = tile.live[i] ? tile.minus_log[i] : -1.0F;
    }
    return right;
}

bool errors(const Batch& batch, const Part& part, float* scratch, float* found) {
    Tile tile(batch, scratch);
    bool right = true;
    for (int64_t index = part.first; index < part.last; ++index) {
        tile.move_to(part.image, index);
        right &= read_target(tile);
        evaluate(tile);
        for (int64_t c = 0; c < batch.classes; ++c) {
            float* plane = tile.p + c * tile.capacity;
            for (int64_t i = 0; i < tile.padded; i += kLanes) {
                const Floats p = load<Floats>(plane + i) * load<Floats>(tile.inverse + i);
                const Floats error = p > all(1.0F) ? all(1.0F) : p;  // NaN stays
                store(plane + i, load<Ints>(tile.live + i) != 0 ? error : all(kIgnoredError));
            }
        }
        for (int64_t i = 0; i < tile.length; ++i)
            if (tile.live[i]) tile.p[tile.label[i] * tile.capacity + i] = -tile.miss[i];
        for (int64_t c = 0; c < batch.classes; ++c)
            write_plane(tile, tile.p + c * tile.capacity,
                        found + c * batch.images * batch.height * batch.width + tile.first_pixel(), 1);
    }
    return right;
}

}  // namespace

const Kernels SEG_KERNELS = {SEG_ISA, tile_of, scratch_of, sums, gradient, minus_logs, errors};

}  // namespace seg::losses
