// What the Python module offers, free of Python: kernels chosen for this machine, work cut into jobs.
#pragma once

#include <string>
#include <vector>

#include "softmax.h"

namespace seg::losses {

// Instruction sets that this machine has, slowest first; the last is used unless another is named.
std::vector<std::string> instruction_sets();

// `sums` (rows, images, classes) doubles, 0 before. The result does not depend on the number of threads. False if the
// target has a class out of range; such pixels are treated as ignored.
bool softmax_sums(const Batch& batch, double* sums, std::int64_t threads, const std::string& instructions);

// `coefficients` (rows, images, classes); `gradient` is of the logits' type; every element is written. `fresh_bytes`
// of it follow each other and may lie in large pages.
void softmax_gradient(const Batch& batch, const float* coefficients, void* gradient, const Layout& layout,
                      std::int64_t fresh_bytes, std::int64_t threads, const std::string& instructions);

// -ln p_t of each pixel (images, height, width), -1 at ignored ones. The result is that of softmax_sums.
bool softmax_minus_logs(const Batch& batch, float* values, std::int64_t threads, const std::string& instructions);

// Lovasz-Softmax of each class, over all images `together` or for each of them. `slopes` (classes, images, height,
// width): the derivative with respect to each probability, fewer than 2^31 pixels a class; `values` and `labelled`
// (classes, 1 or images). The result is that of softmax_sums.
bool lovasz(const Batch& batch, bool together, float* slopes, double* values, std::int64_t* labelled,
            std::int64_t threads, const std::string& instructions);

// `prediction` (images, height, width); `confusion` (images, classes, classes) and `sure` (images, bins, 3), 0 before;
// at most 256 classes. See counting.h. The result is that of softmax_sums.
bool count(const Batch& batch, std::uint8_t* prediction, std::int64_t* confusion, std::int64_t bins, double* sure,
           std::int64_t threads, const std::string& instructions);

// `target` (images, height, width), uint8 if `bytes`, else int64; `maps` (images, classes, height, width), 0 before.
void signed_distances(const void* target, bool bytes, std::int64_t images, std::int64_t height, std::int64_t width,
                      const std::vector<unsigned char>& wanted, float* maps, std::int64_t threads,
                      const std::string& instructions);

}  // namespace seg::losses
