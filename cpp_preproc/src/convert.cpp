#include "convert.h"

#include <algorithm>
#include <new>

#include "adam7.h"

namespace seg {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;

// A PNG is hardly larger than its raw pixels; metadata gets this much on top.
constexpr std::uint64_t kMetadata = std::uint64_t{64} << 20;

}  // namespace

// Reads and stamps the source; false if it is not PNG.
bool Converter::load(const std::string& path, Result& result) {
    SourceFile source(path);
    result.stamp.mtime_ns = source.mtime_ns();
    std::size_t size = source.read(file_.resize(kPiece), kHeaderEnd);
    const Bytes start{file_.data(), size};
    const bool png = is_png(start);
    if (png) {
        const std::uint64_t raw = raw_size(read_header(start, options_.max_pixels));
        if (source.size() > 2 * raw + kMetadata)
            throw Error("corrupt PNG: expected at most " + std::to_string(2 * raw + kMetadata) +
                        " bytes for what the header says, got " + std::to_string(source.size()) + kExportAgain);
        std::uint8_t head[kHeaderEnd];  // set aside, because a buffer that grows forgets what it held
        std::copy_n(file_.data(), size, head);
        const auto expected = static_cast<std::size_t>(source.size());
        std::copy_n(head, size, file_.resize(std::max(expected, size)));
        size += source.read(file_.data() + size, std::max(expected, size) - size);
        result.stamp.crc = crc32(0, {file_.data(), size});
        result.stamp.size = size;
        return true;
    }
    while (size) {  // the stamp is wanted all the same
        result.stamp.crc = crc32(result.stamp.crc, {file_.data(), size});
        result.stamp.size += size;
        size = source.read(file_.data(), kPiece);
    }
    return false;
}

// Ready to map row by row; false if the source is not PNG.
bool Converter::open(const std::string& source, Result& result) {
    if (!load(source, result)) {
        result.status = Status::unsupported;
        return false;
    }
    const Picture& picture =
        reader_.open({file_.data(), static_cast<std::size_t>(result.stamp.size)}, options_.max_pixels);
    result.width = picture.width;
    result.height = picture.height;
    result.orientation = picture.orientation;
    mapper_.begin(picture);
    return true;
}

// Whether all rows that were mapped make a mask.
bool Converter::finished(Result& result) const {
    result.report = mapper_.report();
    if (!mapper_.complete()) result.status = Status::unknown;
    return mapper_.complete();
}

template <class Work>
Result Converter::guarded(Work work) {
    Result result;
    try {
        work(result);
    } catch (const Error& error) {
        result.reason = error.what();
    } catch (const std::bad_alloc&) {
        result.reason = "expected memory for this image, got none; use fewer threads or a smaller image";
    }
    return result;
}

Result Converter::convert(const Job& job) {
    const Result result = guarded([&](Result& made) {
        if (!open(job.source, made)) return;
        encoder_.begin(made.width, made.height);
        for (std::uint32_t y = 0; y < made.height; ++y) encoder_.row(mapper_.row(reader_.next()));
        if (!finished(made)) return;
        write_atomically(job.destination, encoder_.finish());
        made.status = Status::converted;
    });
    if (result.status == Status::failed || result.status == Status::unknown) remove_if_there(job.destination);
    return result;
}

Result Converter::map(const std::string& source, std::vector<std::uint8_t>& mask) {
    return guarded([&](Result& made) {
        if (!open(source, made)) return;
        mask.resize(std::size_t{made.width} * made.height);
        for (std::size_t y = 0; y < made.height; ++y)
            mapper_.paint(mapper_.row(reader_.next()), mask.data() + y * made.width);
        if (finished(made)) made.status = Status::converted;
    });
}

}  // namespace seg
