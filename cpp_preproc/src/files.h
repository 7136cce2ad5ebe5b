// Reading a source, and writing a mask whole or not at all.
#pragma once

#include <string>

#include "bytes.h"

namespace seg {

// What a manifest remembers of a source, to see whether it changed.
struct Stamp {
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;
    std::uint32_t crc = 0;  // CRC-32 of the content
};

// An open regular file. Paths are bytes: file names need not be UTF-8.
class SourceFile {
  public:
    explicit SourceFile(const std::string& path);
    ~SourceFile();
    SourceFile(const SourceFile&) = delete;
    SourceFile& operator=(const SourceFile&) = delete;

    // Reads up to `size` bytes on from where the last read ended; fewer only at the end.
    std::size_t read(std::uint8_t* out, std::size_t size);
    std::uint64_t size() const { return size_; }
    std::int64_t mtime_ns() const { return mtime_ns_; }

  private:
    int descriptor_;
    std::uint64_t size_ = 0;
    std::int64_t mtime_ns_ = 0;
};

// Writes beside the destination and renames; makes missing folders. After an error nothing new is left.
void write_atomically(const std::string& path, Bytes bytes);

void remove_if_there(const std::string& path);

// What the names of this machine's temporary files begin with; the process follows: ".seg-1a2b3c4d-".
const std::string& temporary_prefix();

}  // namespace seg
