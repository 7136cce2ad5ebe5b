// Slopes of the Lovasz extension of the Jaccard loss (Berman et al. 2018) for one class.
#pragma once

#include <cstdint>

namespace seg::losses {

// One pixel in the sort: its key in the upper half, place and whether it is of the class in the lower.
using Item = std::uint64_t;

struct ClassLoss {
    double value;           // sum of error times slope; NaN if an error is
    std::int64_t labelled;  // pixels of the class
};

// `errors`: as Kernels::errors writes them, fewer than 2^31 pixels. Each becomes the derivative of the loss with
// respect to the probability of the class at its pixel, 0 where ignored. `scratch`: two runs of `pixels` + 1 items.
ClassLoss lovasz_slopes(float* errors, std::int64_t pixels, Item* scratch);

}  // namespace seg::losses
