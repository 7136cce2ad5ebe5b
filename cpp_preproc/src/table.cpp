#include "table.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <tuple>

namespace seg {
namespace {

std::string text(std::uint32_t key) {
    return "(" + std::to_string(key & 255) + ", " + std::to_string(key >> 8 & 255) + ", " + std::to_string(key >> 16) +
           ")";
}

Error twice(const std::string& what, int first, int second) {
    return Error(what + ": expected one class, got two (" + std::to_string(first) + " and " + std::to_string(second) +
                 "); list it once");
}

struct Distance {
    unsigned largest;
    unsigned squares;
    bool operator<(const Distance& other) const {
        return std::tie(largest, squares) < std::tie(other.largest, other.squares);
    }
};

Distance distance(std::uint32_t a, std::uint32_t b) {
    Distance result{0, 0};
    for (int shift = 0; shift < 24; shift += 8) {
        const int difference = static_cast<int>(a >> shift & 255) - static_cast<int>(b >> shift & 255);
        result.largest = std::max(result.largest, static_cast<unsigned>(std::abs(difference)));
        result.squares += static_cast<unsigned>(difference * difference);
    }
    return result;
}

}  // namespace

Table::Table(std::vector<Color> colors, const std::vector<std::pair<std::uint16_t, std::uint8_t>>& values)
    : colors_(std::move(colors)), values_(65536, kUnknown), has_values_(!values.empty()) {
    if (colors_.empty() && values.empty())
        throw Error("label map: expected colours or values, got neither; list one for each class");
    unsigned bits = 4;
    while ((std::size_t{1} << bits) < 4 * colors_.size()) ++bits;  // at most a quarter full: probes stay short
    shift_ = 32 - bits;
    slots_.resize(std::size_t{1} << bits);
    for (const Color& entry : colors_) {
        // Linear probing; it ends, because three quarters of the slots stay free.
        std::size_t i = slot(entry.key);
        while (slots_[i].key != kFree && slots_[i].key != entry.key) i = (i + 1) & (slots_.size() - 1);
        if (slots_[i].key == entry.key && slots_[i].answer != entry.label)
            throw twice("colour " + text(entry.key), slots_[i].answer, entry.label);
        slots_[i] = {entry.key, entry.label};
    }
    for (const auto& [value, label] : values) {
        if (values_[value] != kUnknown && values_[value] != label)
            throw twice("value " + std::to_string(value), values_[value], label);
        values_[value] = label;
    }
}

Table::Nearest Table::nearest(std::uint32_t key) const {
    Nearest nearest;
    Distance best{nearest.distance, 0};
    for (const Color& entry : colors_) {
        const Distance here = distance(key, entry.key);
        if (here < best) {
            best = here;
            nearest = {entry.label, here.largest};
        } else if (!(best < here) && nearest.answer != entry.label) {
            nearest.answer = kUnknown;
        }
    }
    return nearest;
}

}  // namespace seg
