// The vector primitives: everything fast here rests on finding where something changes.
#pragma once

#include <vector>

#include "bytes.h"

namespace seg {

// Where runs begin in a row: 0, then in rising order what a Scan finds, then the width of the row.
using Starts = std::vector<std::uint32_t>;

// A row of one byte a pixel as its differences from the byte on the left, which are zero but for the `count` starts.
struct Runs {
    const std::uint8_t* differences;
    const std::uint32_t* starts;
    std::size_t count;
};

// Lists where runs begin in a row of `width` >= 1 pixels, and returns how many do. Nothing past the rows is read.
using Find = std::size_t (*)(const std::uint8_t* a, const std::uint8_t* b, std::size_t width, Starts& starts);

// By the size of a pixel, 1 to 4 bytes: where a run begins is what is
struct Scan {
    Find some[5];    // not zero in a; b may be the same row
    Find either[5];  // not zero in a or in b
    Find differ;     // not the same in a and b, for bytes alone
};

// What this processor can run, the fastest first; all have the same answers. The last one is plain C++.
std::vector<Scan> scans();

extern const Scan scan;

}  // namespace seg
