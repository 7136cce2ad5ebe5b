// A zlib stream from runs of equal bytes alone.
//
// A general compressor searches for matches; here the runs are known. Each becomes one literal and matches of
// distance 1, in blocks with their own Huffman codes (RFC 1951), and Adler-32 is computed from the runs as well.
#pragma once

#include "huffman.h"
#include "output.h"

namespace seg {

class RunDeflate {
  public:
    void begin(Output& output);
    void add(Bytes bytes);
    // Completes the stream in the output given to begin().
    void finish();

  private:
    struct Run {
        // With it, emplace_back writes in place; a copy through the stack stalls, and took half of add()'s time.
        Run(std::uint8_t v, std::uint32_t n) : value(v), length(n) {}
        std::uint8_t value;
        std::uint32_t length;
    };

    void add_run(std::uint8_t value, std::size_t length);
    void flush_block(bool last);
    void write_runs(const std::vector<Code>& literals);
    void reduce_adler();

    Output* output_ = nullptr;
    BitWriter bits_;         // its pointer is set anew for each block
    std::vector<Run> runs_;  // of the block that is being gathered
    std::uint64_t adler_low_ = 1;
    std::uint64_t adler_high_ = 0;
    std::size_t adler_open_ = 0;  // bytes added since the two were last reduced
};

}  // namespace seg
