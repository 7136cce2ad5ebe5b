// Counting predictions: the class of the largest logit, pixels of every pair of classes, how sure and how right.
#pragma once

#include <cstdint>

#include "softmax.h"

namespace seg::losses {

// What is found in one part; everything but `prediction` is added to.
struct Found {
    std::uint8_t* prediction;  // (images, height, width), contiguous: the first of the largest, NaN above all others
    std::int64_t* confusion;   // (classes, classes): target, prediction
    std::int64_t bins;         // of confidence, the softmax of the predicted class: equal in width over [0, 1], each
    double* sure;              // with its upper bound; (bins, 3): labelled pixels, sum of confidences, right ones
};

struct CountingKernels {
    std::int64_t (*tile)(const Batch& batch);
    std::int64_t (*scratch)(const Batch& batch);  // in floats
    // False if the target has a class out of range; such pixels are treated as ignored. At most 256 classes.
    bool (*count)(const Batch& batch, const Part& part, float* scratch, const Found& found);
};

}  // namespace seg::losses
