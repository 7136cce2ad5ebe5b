// The words every part shares: a view of bytes, a reusable buffer, and the one exception.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>

namespace seg {

// What was wrong with one file or one request, without the file's name: "expected X, got Y; do Z".
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// What to do about a file that breaks its own format.
inline constexpr const char* kExportAgain = "; copy or export the file again";

struct Bytes {
    const std::uint8_t* data = nullptr;
    std::size_t size = 0;
};

// Memory that a worker keeps from file to file: it only grows, and is not cleared (clearing would cost
// a fifth of a conversion).
class Buffer {
  public:
    std::uint8_t* resize(std::size_t size) {
        if (size > capacity_) {
            data_.reset();  // first, so that old and new never stand side by side
            capacity_ = 0;
            data_.reset(new std::uint8_t[size]);
            capacity_ = size;
        }
        return data_.get();
    }
    std::uint8_t* data() const { return data_.get(); }

  private:
    std::unique_ptr<std::uint8_t[]> data_;
    std::size_t capacity_ = 0;
};

inline std::uint32_t load_big32(const std::uint8_t* p) {
    return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

inline void store_big32(std::uint8_t* p, std::uint32_t value) {
    for (int i = 0; i < 4; ++i) p[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
}

}  // namespace seg
