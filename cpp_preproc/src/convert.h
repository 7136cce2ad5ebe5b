// One file from source to mask.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "encoder.h"
#include "files.h"
#include "mapper.h"

namespace seg {

struct Job {
    std::string source;
    std::string destination;
};

enum class Status : std::uint8_t {
    converted,
    unknown,      // pixels that the table does not answer for; no mask
    failed,       // see Result::reason; no mask
    unsupported,  // not a PNG file: someone else has to decode it; destination untouched
    skipped,      // there was no job
};

struct Result {
    Status status = Status::failed;
    std::string reason;
    Stamp stamp;
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    unsigned orientation = 1;
    Report report;
};

// One per worker.
class Converter {
  public:
    Converter(const Table& table, const Options& options) : mapper_(table, options), options_(options) {}
    // Never throws for a bad file. A source that fails leaves no older mask behind.
    Result convert(const Job& job);
    // The same, but the rows of the mask go into memory. As long as it fails, nothing is promised about them.
    Result map(const std::string& source, std::vector<std::uint8_t>& mask);

  private:
    template <class Work>
    Result guarded(Work work);
    bool open(const std::string& source, Result& result);
    bool load(const std::string& source, Result& result);
    bool finished(Result& result) const;

    Mapper mapper_;
    const Options options_;
    PngReader reader_;
    MaskEncoder encoder_;
    Buffer file_;
};

}  // namespace seg
