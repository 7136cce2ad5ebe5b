#include "losses.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels.h"
#include "lovasz.h"
#include "parallel.h"

namespace seg::losses {
namespace {

struct Set {
    const char* name;
    bool here;
    const Kernels* softmax;
    const DistanceKernels* distance;
    const CountingKernels* counting;
};

std::vector<Set> sets() {
    std::vector<Set> found = {{"baseline", true, &kBaseline, &kBaselineDistance, &kBaselineCounting}};
#if defined(SEG_X86)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    found.push_back({"avx2", avx2, &kAvx2, &kAvx2Distance, &kAvx2Counting});
    found.push_back({"avx512", avx512, &kAvx512, &kAvx512Distance, &kAvx512Counting});
#endif
    found.erase(std::remove_if(found.begin(), found.end(), [](const Set& set) { return !set.here; }), found.end());
    return found;
}

const Set& chosen(const std::string& name) {
    static const std::vector<Set> all = sets();
    if (name.empty()) return all.back();
    for (const Set& set : all)
        if (name == set.name) return set;
    std::string names;
    for (const Set& set : all) names += (names.empty() ? "" : ", ") + std::string(set.name);
    throw std::invalid_argument("instructions: expected one that this machine has (" + names + "), got '" + name +
                                "'; leave it out for the fastest");
}

constexpr std::int64_t kPartWork = 1 << 18;  // numbers a part: some 100 microseconds

// Each image's tiles in parts of about that many numbers, whatever the number of threads.
std::vector<Part> parts_of(const Batch& batch, std::int64_t tile, std::int64_t numbers = kPartWork) {
    const std::int64_t tiles = batch.height * ((batch.width + tile - 1) / tile);
    const std::int64_t work = std::max<std::int64_t>(1, std::min(tile, batch.width) * batch.classes);
    const std::int64_t length = std::max<std::int64_t>(1, numbers / work);
    std::vector<Part> parts;
    for (std::int64_t image = 0; image < batch.images; ++image)
        for (std::int64_t first = 0; first < tiles; first += length)
            parts.push_back({image, first, std::min(first + length, tiles)});
    return parts;
}

std::int64_t count_of(const std::vector<Part>& parts) { return static_cast<std::int64_t>(parts.size()); }

class Scratch {
  public:
    Scratch(std::int64_t threads, std::int64_t bytes) : stride_((bytes + 63) / 64 * 64 + 64) {
        // 64 bytes more than needed for each: of() moves up to a multiple of 64, and no two share a cache line.
        memory_.reset(new unsigned char[static_cast<std::size_t>(threads * stride_)]);  // not zeroed
    }
    void* of(std::int64_t worker) {
        void* at = memory_.get() + worker * stride_;
        std::size_t room = static_cast<std::size_t>(stride_);
        return std::align(64, room - 64, at, room);
    }

  private:
    std::int64_t stride_;
    std::unique_ptr<unsigned char[]> memory_;
};

// Whether `work(part, scratch)` was true of every part.
template <typename Work>
bool for_parts(const Batch& batch, const Kernels& kernels, std::int64_t threads, const Work& work) {
    const std::vector<Part> parts = parts_of(batch, kernels.tile(batch));
    threads = std::max<std::int64_t>(1, std::min(threads, count_of(parts)));
    Scratch scratch(threads, kernels.scratch(batch) * static_cast<std::int64_t>(sizeof(float)));
    std::atomic<bool> right{true};  // only ever set to false, by any thread
    parallel(count_of(parts), threads, [&](std::int64_t worker, std::int64_t job) {
        if (!work(parts[static_cast<std::size_t>(job)], static_cast<float*>(scratch.of(worker)))) right = false;
    });
    return right;
}

// A gradient is fresh memory: page by page, the kernel would spend more time on it than the arithmetic takes.
void ask_for_large_pages(void* memory, std::int64_t bytes) {
#if defined(__linux__)
    constexpr std::uintptr_t kLarge = std::uintptr_t{1} << 21;
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    const std::uintptr_t first = (address + kLarge - 1) / kLarge * kLarge;
    const std::uintptr_t last = (address + static_cast<std::uintptr_t>(bytes)) / kLarge * kLarge;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // a wish: may fail
#else
    static_cast<void>(memory), static_cast<void>(bytes);
#endif
}

template <typename Label>
void compact(const Label* target, std::int64_t pixels, std::int64_t classes, std::int32_t* labels) {
    for (std::int64_t i = 0; i < pixels; ++i) {
        const auto t = static_cast<std::int64_t>(target[i]);
        const std::int64_t label = t == 255 ? -1 : t < 0 || t >= classes ? classes : t;
        labels[i] = static_cast<std::int32_t>(label);
    }
}

}  // namespace

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Set& set : sets()) names.emplace_back(set.name);
    return names;
}

bool softmax_sums(const Batch& batch, double* sums, std::int64_t threads, const std::string& instructions) {
    const Kernels& kernels = *chosen(instructions).softmax;
    const std::vector<Part> parts = parts_of(batch, kernels.tile(batch));
    const std::int64_t own = batch.count * batch.classes;
    threads = std::max<std::int64_t>(1, std::min(threads, count_of(parts)));
    Scratch scratch(threads, kernels.scratch(batch) * static_cast<std::int64_t>(sizeof(float)));
    std::vector<double> found(static_cast<std::size_t>(count_of(parts) * own));
    std::atomic<bool> right{true};  // only ever set to false, by any thread
    parallel(count_of(parts), threads, [&](std::int64_t worker, std::int64_t job) {
        auto* memory = static_cast<float*>(scratch.of(worker));
        if (!kernels.sums(batch, parts[static_cast<std::size_t>(job)], memory, found.data() + job * own)) right = false;
    });
    for (std::int64_t job = 0; job < count_of(parts); ++job)  // in order: the same sum for any number of threads
        for (std::int64_t r = 0; r < batch.count; ++r)
            for (std::int64_t c = 0; c < batch.classes; ++c) {
                const std::int64_t row = r * batch.images + parts[static_cast<std::size_t>(job)].image;
                sums[row * batch.classes + c] += found[static_cast<std::size_t>(job * own + r * batch.classes + c)];
            }
    return right;
}

void softmax_gradient(const Batch& batch, const float* coefficients, void* gradient, const Layout& layout,
                      std::int64_t fresh_bytes, std::int64_t threads, const std::string& instructions) {
    const Kernels& kernels = *chosen(instructions).softmax;
    const std::vector<Part> parts = parts_of(batch, kernels.tile(batch));
    threads = std::max<std::int64_t>(1, std::min(threads, count_of(parts)));
    Scratch scratch(threads, kernels.scratch(batch) * static_cast<std::int64_t>(sizeof(float)));
    if (fresh_bytes > 0) ask_for_large_pages(gradient, fresh_bytes);
    parallel(count_of(parts), threads, [&](std::int64_t worker, std::int64_t job) {
        auto* memory = static_cast<float*>(scratch.of(worker));
        kernels.gradient(batch, parts[static_cast<std::size_t>(job)], coefficients, gradient, layout, memory);
    });
}

bool softmax_minus_logs(const Batch& batch, float* values, std::int64_t threads, const std::string& instructions) {
    const Kernels& kernels = *chosen(instructions).softmax;
    return for_parts(batch, kernels, threads, [&](const Part& part, float* scratch) {
        return kernels.minus_logs(batch, part, scratch, values);
    });
}

bool lovasz(const Batch& batch, bool together, float* slopes, double* values, std::int64_t* labelled,
            std::int64_t threads, const std::string& instructions) {
    const Kernels& kernels = *chosen(instructions).softmax;
    const std::int64_t image = batch.height * batch.width, rows = batch.classes * (together ? 1 : batch.images);
    const std::int64_t pixels = together ? batch.images * image : image;
    ask_for_large_pages(slopes, batch.classes * batch.images * image * static_cast<std::int64_t>(sizeof(float)));
    const bool right = for_parts(batch, kernels, threads, [&](const Part& part, float* scratch) {
        return kernels.errors(batch, part, scratch, slopes);
    });
    threads = std::max<std::int64_t>(1, std::min(threads, rows));
    const std::int64_t bytes = 2 * (pixels + 1) * static_cast<std::int64_t>(sizeof(Item));
    Scratch scratch(threads, bytes);
    for (std::int64_t worker = 0; worker < threads; ++worker) ask_for_large_pages(scratch.of(worker), bytes);
    parallel(rows, threads, [&](std::int64_t worker, std::int64_t row) {
        const ClassLoss found = lovasz_slopes(slopes + row * pixels, pixels, static_cast<Item*>(scratch.of(worker)));
        values[row] = found.value;
        labelled[row] = found.labelled;
    });
    return right;
}

bool count(const Batch& batch, std::uint8_t* prediction, std::int64_t* confusion, std::int64_t bins, double* sure,
           std::int64_t threads, const std::string& instructions) {
    const CountingKernels& kernels = *chosen(instructions).counting;
    const std::int64_t cells = batch.classes * batch.classes, numbers = 3 * bins;
    // adding a part's confusion matrix up must not take longer than the part
    const std::vector<Part> parts = parts_of(batch, kernels.tile(batch), kPartWork + 16 * cells);
    threads = std::max<std::int64_t>(1, std::min(threads, count_of(parts)));
    Scratch scratch(threads, kernels.scratch(batch) * static_cast<std::int64_t>(sizeof(float)));
    std::vector<std::int64_t> matrices(static_cast<std::size_t>(threads * cells));
    std::vector<double> tables(static_cast<std::size_t>(count_of(parts) * numbers));
    std::atomic<bool> right{true};
    std::mutex mutex;
    parallel(count_of(parts), threads, [&](std::int64_t worker, std::int64_t job) {
        const Part& part = parts[static_cast<std::size_t>(job)];
        std::int64_t* matrix = matrices.data() + worker * cells;
        const Found found{prediction, matrix, bins, tables.data() + job * numbers};
        if (!kernels.count(batch, part, static_cast<float*>(scratch.of(worker)), found)) right = false;
        const std::lock_guard<std::mutex> lock(mutex);
        for (std::int64_t i = 0; i < cells; ++i) confusion[part.image * cells + i] += std::exchange(matrix[i], 0);
    });
    for (std::int64_t job = 0; job < count_of(parts); ++job)  // in order: the same sum for any number of threads
        for (std::int64_t i = 0; i < numbers; ++i)
            sure[parts[static_cast<std::size_t>(job)].image * numbers + i] +=
                tables[static_cast<std::size_t>(job * numbers + i)];
    return right;
}

void signed_distances(const void* target, bool bytes, std::int64_t images, std::int64_t height, std::int64_t width,
                      const std::vector<unsigned char>& wanted, float* maps, std::int64_t threads,
                      const std::string& instructions) {
    const std::int64_t pixels = height * width, classes = static_cast<std::int64_t>(wanted.size());
    if (pixels == 0 || classes == 0) return;
    const DistanceKernels& kernels = *chosen(instructions).distance;
    threads = std::max<std::int64_t>(1, std::min(threads, images));
    const std::int64_t of_labels = (pixels * static_cast<std::int64_t>(sizeof(std::int32_t)) + 63) / 64 * 64;
    Scratch scratch(threads, of_labels + kernels.scratch(height, width, classes));
    parallel(images, threads, [&](std::int64_t worker, std::int64_t image) {
        auto* memory = static_cast<unsigned char*>(scratch.of(worker));
        auto* labels = reinterpret_cast<std::int32_t*>(memory);
        void* rest = memory + of_labels;
        if (bytes)
            compact(static_cast<const std::uint8_t*>(target) + image * pixels, pixels, classes, labels);
        else
            compact(static_cast<const std::int64_t*>(target) + image * pixels, pixels, classes, labels);
        kernels.fill({height, width, classes, labels, wanted.data()}, rest, maps + image * classes * pixels);
    });
}

}  // namespace seg::losses
