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

// `target` (images, height, width), uint8 if `bytes`, else int64; `maps` (images, classes, height, width), 0 before.
void signed_distances(const void* target, bool bytes, std::int64_t images, std::int64_t height, std::int64_t width,
                      const std::vector<unsigned char>& wanted, float* maps, std::int64_t threads,
                      const std::string& instructions);

}  // namespace seg::losses
