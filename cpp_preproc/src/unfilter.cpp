#include "unfilter.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

namespace seg {
namespace {

void add(std::uint8_t& sample, int prediction) { sample = static_cast<std::uint8_t>(sample + prediction); }

// The number of leading zero bytes.
std::size_t zero_run(const std::uint8_t* a, std::size_t n) {
    std::size_t i = 0;
    for (std::uint64_t eight = 0; i + 8 <= n; i += 8) {
        std::memcpy(&eight, a + i, 8);
        if (eight) break;
    }
    while (i < n && a[i] == 0) ++i;
    return i;
}

// Repeats the pixel before `at` over n bytes, in copies that double.
void repeat_pixel(std::uint8_t* at, std::size_t n, std::size_t step) {
    for (std::size_t done = 0; done < n;) {
        const std::size_t size = std::min(n - done, done + step);
        std::memcpy(at + done, at - step, size);
        done += size;
    }
}

void undo_sub(std::uint8_t* row, std::size_t size, std::size_t step) {
    for (std::size_t i = step; i < size;) {
        const std::size_t zeros = zero_run(row + i, size - i);
        repeat_pixel(row + i, zeros, step);
        i += zeros;
        const std::size_t end = std::min(i + step, size);
        for (; i < end; ++i) add(row[i], row[i - step]);
    }
}

void undo_up(std::uint8_t* row, const std::uint8_t* above, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) add(row[i], above[i]);
}

void undo_average(std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t step) {
    for (std::size_t i = 0; i < std::min(step, size); ++i) add(row[i], above[i] / 2);
    for (std::size_t i = step; i < size; ++i) add(row[i], (row[i - step] + above[i]) / 2);
}

void undo_paeth(std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t step) {
    for (std::size_t i = 0; i < std::min(step, size); ++i) add(row[i], above[i]);
    for (std::size_t i = step; i < size;) {
        // Where left equals corner the prediction is up, so that zeros repeat the row above: most of a label map.
        if (row[i] == 0 && std::memcmp(row + i - step, above + i - step, step) == 0) {
            const std::size_t zeros = zero_run(row + i, size - i);
            std::memcpy(row + i, above + i, zeros);
            i += zeros;
        }
        const std::size_t end = std::min(i + step, size);
        for (; i < end; ++i) add(row[i], paeth(row[i - step], above[i], above[i - step]));
    }
}

}  // namespace

int paeth(int left, int up, int corner) {
    const int to_left = std::abs(up - corner);
    const int to_up = std::abs(left - corner);
    const int to_corner = std::abs(left + up - 2 * corner);
    if (to_left <= to_up && to_left <= to_corner) return left;
    return to_up <= to_corner ? up : corner;
}

Error no_such_filter(std::uint8_t filter) {
    return Error("corrupt PNG: expected row filters 0..4, got " + std::to_string(filter) + kExportAgain);
}

void unfilter(std::uint8_t filter, std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t step) {
    switch (static_cast<Filter>(filter)) {  // without default, here and elsewhere: -Wswitch tells of a new enumerator
        case kNone:
            return;
        case kSub:
            return undo_sub(row, size, step);
        case kUp:
            return undo_up(row, above, size);
        case kAverage:
            return undo_average(row, above, size, step);
        case kPaeth:
            return undo_paeth(row, above, size, step);
    }
    throw no_such_filter(filter);
}

}  // namespace seg
