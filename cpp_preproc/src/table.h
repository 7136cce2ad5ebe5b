// The label map as the kernel sees it: from colours and values to class numbers.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "bytes.h"

namespace seg {

// A mask value 0..255, or one of the first two flags; the others are set beside either.
using Answer = std::uint16_t;
inline constexpr Answer kUnknown = 0x100;  // not in the table; 255 in the mask
inline constexpr Answer kInvalid = 0x200;  // not even a colour or value: the file is refused
inline constexpr Answer kNear = 0x400;     // the answer for the nearest listed colour
inline constexpr Answer kClear = 0x800;    // of a pixel that is fully transparent

inline constexpr std::uint8_t kIgnore = 255;

// Colours are keys r | g << 8 | b << 16 throughout.
struct Color {
    std::uint32_t key;
    std::uint8_t label;
};

// Fixed once built; shared by all workers. Refuses a key that is listed twice with different labels.
class Table {
  public:
    Table(std::vector<Color> colors, const std::vector<std::pair<std::uint16_t, std::uint8_t>>& values);

    bool has_colors() const { return !colors_.empty(); }
    bool has_values() const { return has_values_; }
    Answer color(std::uint32_t key) const {
        std::size_t i = slot(key);
        while (slots_[i].key != key && slots_[i].key != kFree) i = (i + 1) & (slots_.size() - 1);
        return slots_[i].answer;  // a free slot answers kUnknown
    }
    // 65 536 answers.
    const Answer* values() const { return values_.data(); }

    // The nearest listed colour by the largest difference over the channels, then by the sum of squared
    // differences. Still a tie between labels: kUnknown, never a guess.
    struct Nearest {
        Answer answer = kUnknown;
        unsigned distance = 256;  // largest difference of a channel; 256 if no colour is listed
    };
    Nearest nearest(std::uint32_t key) const;

  private:
    static constexpr std::uint32_t kFree = 0xffffffff;
    struct Slot {
        std::uint32_t key = kFree;
        Answer answer = kUnknown;
    };
    // Multiplication by 2^32 / golden ratio, the upper bits taken: spreads neighbouring colours (Knuth 6.4).
    std::size_t slot(std::uint32_t key) const { return key * 0x9e3779b1u >> shift_; }

    std::vector<Color> colors_;
    std::vector<Slot> slots_;
    std::vector<Answer> values_;
    unsigned shift_ = 0;
    bool has_values_ = false;
};

}  // namespace seg
