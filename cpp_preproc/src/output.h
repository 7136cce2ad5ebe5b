// Bytes on their way into a file: memory that grows in steps and is kept, and bits packed into it.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "bytes.h"

namespace seg {

class Output {
  public:
    void clear() { size_ = 0; }
    std::size_t size() const { return size_; }
    std::uint8_t* data() { return memory_.data(); }

    // Room for `count` bytes more; the pointer is good until the next call.
    std::uint8_t* reserve(std::size_t count) {
        if (memory_.size() < size_ + count) memory_.resize(std::max(size_ + count, memory_.size() * 2));
        return memory_.data() + size_;
    }
    // Declares that reserved bytes were written up to `end`.
    void written_to(const std::uint8_t* end) { size_ = static_cast<std::size_t>(end - memory_.data()); }

    void append(const void* bytes, std::size_t count) {
        std::uint8_t* at = reserve(count);
        if (count) std::memcpy(at, bytes, count);
        size_ += count;
    }
    void append_big32(std::uint32_t value) {
        store_big32(reserve(4), value);
        size_ += 4;
    }

  private:
    std::vector<std::uint8_t> memory_;
    std::size_t size_ = 0;
};

// Packs bits, the least significant first. Writes 8 bytes at once: there must be room for as many past the end.
struct BitWriter {
    std::uint8_t* at = nullptr;
    std::uint64_t pending = 0;  // fewer than 8 bits
    unsigned count = 0;

    // At most 56 bits.
    void put(std::uint64_t bits, unsigned length) {
        pending |= bits << count;
        count += length;
        for (unsigned i = 0; i < 8; ++i) at[i] = static_cast<std::uint8_t>(pending >> 8 * i);  // one store
        at += count / 8;
        pending >>= count & ~7u;
        count &= 7;
    }
};

}  // namespace seg
