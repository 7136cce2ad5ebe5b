// Huffman codes as deflate wants them (RFC 1951, section 3.2.2).
#pragma once

#include <vector>

#include "bytes.h"

namespace seg {

struct Code {
    std::uint16_t bits = 0;   // least significant bit first, as deflate sends them
    std::uint8_t length = 0;  // 0 = the symbol does not occur
};

// Codes of at most `limit` bits for symbols that occur `frequencies[i]` times. One symbol alone gets one bit.
std::vector<Code> huffman(std::vector<std::uint32_t> frequencies, unsigned limit);

}  // namespace seg
