// From rows of pixels to rows of a mask: the one kernel behind files and arrays.
#pragma once

#include <vector>

#include "png.h"
#include "table.h"

namespace seg {

enum class UnknownPolicy : std::uint8_t { error, ignore, nearest };
// From ade20k on, a pixel codes a class and an instance.
enum class Read : std::uint8_t { automatic, color, index, ade20k, red, id256, id1000 };

struct Options {
    UnknownPolicy unknown = UnknownPolicy::error;
    unsigned max_distance = 0;  // for UnknownPolicy::nearest
    Read read = Read::automatic;
    bool keep_clear = true;  // what is fully transparent counts as its colour, or becomes 255
    std::uint64_t max_pixels = std::uint64_t{1} << 28;
};

// Pixels that the table does not answer for.
struct Unknown {
    std::uint64_t pixels = 0;
    std::uint32_t distinct = 0;  // how many colours or values
    std::uint32_t key = 0;       // the first one, reading row by row: a colour key or a value
    std::uint32_t x = 0;
    std::uint32_t y = 0;
    std::uint64_t clear = 0;  // pixels that are fully transparent
    // The largest gray level but 255 (the stored one, if there is one); -1: not all of them are gray.
    int level = 0;
    // The max_distance under which every one of them would have a nearest colour; kNoReach: there is none.
    unsigned reach = 0;
    unsigned brightest = 0;  // the largest channel of all these colours
};

inline constexpr unsigned kNoReach = 256;

// Pixels that were given the nearest listed colour, where several unlisted colours became one class.
struct Merged {
    std::uint32_t distinct = 0;  // how many colours became the class that got the most
    std::uint8_t label = 0;      // that class
};

struct Report {
    bool by_color = false;
    std::array<std::uint64_t, 256> counts{};  // pixels of each mask value
    Unknown unknown;
    Merged merged;
    std::uint64_t clear = 0;  // fully transparent pixels whose colour or value is a class
};

// One per worker.
class Mapper {
  public:
    Mapper(const Table& table, const Options& options);

    // Throws if the table cannot read this kind of picture, with what to do instead.
    void begin(const Picture& picture);
    // The row of the mask for the next row, which is given as differences (see differences.h); valid until the call
    // after.
    Runs row(const std::uint8_t* row);
    // That row of the mask, plain.
    void paint(const Runs& runs, std::uint8_t* mask) const;

    const Report& report() const { return report_; }
    // Whether the mask may be written.
    bool complete() const { return options_.unknown == UnknownPolicy::ignore || report_.unknown.pixels == 0; }

  private:
    template <class Format, class Lookup>
    std::size_t map(const std::uint8_t* row, Lookup lookup);
    void answer_by_color();
    void answer_by_code();
    Answer nearest_answer(std::uint32_t key);
    Answer color_answer(std::uint32_t key) {
        const Answer answer = table_.color(key);
        const bool settled = answer != kUnknown || options_.unknown != UnknownPolicy::nearest;
        return settled ? answer : nearest_answer(key);
    }
    std::uint32_t color_of(std::uint32_t sample) const;
    // What goes into the mask for an answer that is no plain class.
    std::uint8_t settle(Answer answer, std::uint32_t key, std::uint32_t x, std::uint64_t count);
    void mark_clear();
    bool first_time(std::uint32_t key);
    void note_merged(std::uint32_t key, std::uint8_t label);
    [[noreturn]] void refuse(std::uint32_t sample, std::uint32_t x) const;
    void note_unknown(std::uint32_t key, std::uint32_t x, std::uint64_t count);
    unsigned reach_of(std::uint32_t key) const;

    // Nearest colours already found, by hash; a fixed size keeps a photograph from filling the memory.
    struct Found {
        std::uint32_t key = 0xffffffff;
        Answer answer = kUnknown;
    };

    const Table& table_;
    const Options options_;
    Picture picture_;
    Report report_;
    std::vector<Found> found_;
    std::vector<Answer> answers_;            // by gray level or palette index, when these are read as colours
    const Answer* direct_ = nullptr;         // answers by sample: answers_ or the table's values; null for RGB
    std::vector<std::uint64_t> seen_;        // unknown and nearest keys, a bit each; allocated when the first turns up
    bool noted_ = false;                     // whether any bit is set
    std::array<std::uint32_t, 256> near_{};  // by class: how many unlisted colours became it
    std::uint32_t y_ = 0;
    std::vector<std::uint8_t> mask_;  // a row, as differences
    Starts starts_;                   // of the runs in it
};

}  // namespace seg
