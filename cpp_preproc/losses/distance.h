// Exact Euclidean distance maps of all classes of a mask.
#pragma once

#include <cstdint>

namespace seg::losses {

struct Mask {
    std::int64_t height, width, classes;
    const std::int32_t* labels;   // (height, width): 0..classes-1, `classes` for any other, negative = ignored
    const unsigned char* wanted;  // (classes): whose maps to write
};

struct DistanceKernels {
    // Bytes of scratch for a mask of this size.
    std::int64_t (*scratch)(std::int64_t height, std::int64_t width, std::int64_t classes);
    // Write the maps (classes, height, width) of the wanted classes that are there and not alone; leave the others.
    void (*fill)(const Mask& mask, void* scratch, float* maps);
};

}  // namespace seg::losses
