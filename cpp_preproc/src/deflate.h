// A zlib stream from runs of equal bytes alone.
//
// A general compressor searches for matches; here the runs are known. Each becomes one literal and matches of
// distance 1, in blocks with their own Huffman codes (RFC 1951), and Adler-32 is computed from the runs as well.
#pragma once

#include <array>
#include <memory>

#include "huffman.h"
#include "output.h"
#include "scan.h"

namespace seg {

inline constexpr unsigned kLongestMatch = 258;

class RunDeflate {
  public:
    void begin(Output& output);
    // The byte of a filter and what it leaves of a row: what differs between `row` and `base`, the differences of the
    // row above or zeros. The starts are those of what is left.
    void add(std::uint8_t filter, const Runs& row, const std::uint8_t* base);
    // Completes the stream in the output given to begin().
    void finish();

  private:
    struct Run {
        std::uint8_t value;
        std::uint32_t length;
    };

    // Adler-32 (RFC 1950), reduced only now and then.
    struct Adler {
        std::uint64_t low = 1;
        std::uint64_t high = 0;
        std::size_t open = 0;  // bytes added since the two were last reduced

        void add(std::uint8_t value, std::size_t length);
        void reduce();
    };

    void count(std::uint8_t value, std::uint32_t length);
    void begin_block();
    void flush_block(bool last);
    void write_runs(const std::vector<Code>& literals);

    Output* output_ = nullptr;
    BitWriter bits_;               // its pointer is set anew for each block
    std::unique_ptr<Run[]> runs_;  // of the block that is being gathered; memory is touched only as it fills
    Run* next_ = nullptr;
    std::array<std::uint32_t, 256> literals_;               // of the block: how often each value is written,
    std::array<std::uint32_t, kLongestMatch + 1> matches_;  // and a match of each length, or at 0 none
    Adler adler_;
};

}  // namespace seg
