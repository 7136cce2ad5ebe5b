// PNG's five row filters, undone in place (PNG specification, section 9): for the forms that are rare among label
// images. See differences.h for the others.
#pragma once

#include "bytes.h"

namespace seg {

enum Filter : std::uint8_t { kNone = 0, kSub = 1, kUp = 2, kAverage = 3, kPaeth = 4 };

// What the filter PAETH predicts from three neighbours.
int paeth(int left, int up, int corner);

Error no_such_filter(std::uint8_t filter);

// row (size bytes) becomes plain; `above` is the plain row over it (zeros for the first); `step` is the
// distance in bytes to the same sample of the pixel on the left. Throws on a filter that does not exist.
void unfilter(std::uint8_t filter, std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t step);

}  // namespace seg
