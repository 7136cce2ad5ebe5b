// Sums over the pixels of what losses make of a softmax, and the gradient of any function of those sums.
//
// Most losses depend on the logits only through a few sums for each image and class: the probability at the pixels of
// the class, its cross entropy, ... . sums() takes them in one reading of the logits; whoever asked makes the loss of
// them and returns with its derivative with respect to each sum, from which gradient() makes the derivative with
// respect to the logits in a second reading. Neither stores anything a pixel.
#pragma once

#include <cstddef>
#include <cstdint>

namespace seg::losses {

// p: probability; t: class of a pixel; u = -ln p_t; q = 1 - p_t, summed over the other classes.
enum class Kind : int {
    labelled,   // pixels of the class; no derivative
    hit,        // p_t at pixels of the class
    minus_log,  // u at pixels of the class
    focal,      // q^exponent u at pixels of the class; 0 with slope 0 where q is no normal number
    power,      // u^exponent at pixels of the class; the same where u is no normal number
    predicted,  // p_c at all labelled pixels
    squares,    // p_c^2 at all labelled pixels
    spread,     // -ln p_c at all labelled pixels
    field,      // p_c times a given number at all labelled pixels
};
constexpr int kKinds = 9;

struct Row {
    Kind kind;
    float exponent;
};

// Images of classes of rows of pixels; strides in elements. A contiguous image is one long row.
struct Layout {
    std::ptrdiff_t image, plane, row, pixel;
};

struct Batch {
    std::int64_t images, classes, height, width;
    const void* logits;  // float, or bfloat16 if `half`
    Layout layout;
    bool half;
    const void* target;  // contiguous; int64, or uint8 if `bytes`; 255 = ignore
    bool bytes;
    const float* field;  // for Kind::field; laid out as field_layout says
    Layout field_layout;
    const Row* rows;
    std::int64_t count;  // of rows
};

// A run of tiles within one image.
struct Part {
    std::int64_t image, first, last;
};

// One instruction set's version of the work. `scratch` has scratch() floats.
struct Kernels {
    const char* name;
    std::int64_t (*tile)(const Batch& batch);
    std::int64_t (*scratch)(const Batch& batch);
    // Adds to `sums` (rows, classes); false if the target has a class out of range.
    bool (*sums)(const Batch& batch, const Part& part, float* scratch, double* sums);
    // `coefficients` (rows, images, classes): the derivative with respect to each sum.
    void (*gradient)(const Batch& batch, const Part& part, const float* coefficients, void* gradient,
                     const Layout& layout, float* scratch);
    // Writes -ln p_t of each pixel (images, height, width), -1 at ignored ones; returns what sums() does.
    bool (*minus_logs)(const Batch& batch, const Part& part, float* scratch, float* values);
    // Writes (classes, images, height, width): -(1 - p_c) at the pixels of class c (-0 for 0), p_c at others,
    // kIgnoredError at ignored ones; returns what sums() does.
    bool (*errors)(const Batch& batch, const Part& part, float* scratch, float* errors);
};

constexpr float kIgnoredError = 2;

}  // namespace seg::losses
