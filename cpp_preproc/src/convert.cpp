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
bool Converter::load(const Job& job, Result& result) {
    SourceFile source(job.source);
    result.stamp.mtime_ns = source.mtime_ns();
    std::size_t size = source.read(file_.resize(kPiece), kHeaderEnd);
    const Bytes start{file_.data(), size};
    const bool png = is_png(start);
    if (png) {
        const std::uint64_t raw = raw_size(read_header(start, options_.max_pixels));
        if (source.size() > 2 * raw + kMetadata)
            throw Error("the file has " + std::to_string(source.size()) + " bytes, far too many for its header");
        std::uint8_t head[kHeaderEnd];
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

void Converter::convert_into(const Job& job, Result& result) {
    if (!load(job, result)) {
        result.status = Status::unsupported;
        return;
    }
    const Picture& picture =
        reader_.open({file_.data(), static_cast<std::size_t>(result.stamp.size)}, options_.max_pixels);
    result.width = picture.width;
    result.height = picture.height;
    mapper_.begin(picture);
    encoder_.begin(picture.width, picture.height);
    std::uint8_t* mask = mask_row_.resize(picture.width);
    for (std::uint32_t y = 0; y < picture.height; ++y) {
        mapper_.row(reader_.next(), mask);
        encoder_.row(mask);
    }
    result.report = mapper_.report();
    if (!mapper_.complete()) {
        result.status = Status::unknown;
        return;
    }
    write_atomically(job.destination, encoder_.finish());
    result.status = Status::converted;
}

Result Converter::convert(const Job& job) {
    Result result;
    try {
        convert_into(job, result);
    } catch (const Error& error) {
        result.reason = error.what();
    } catch (const std::bad_alloc&) {
        result.reason = "not enough memory for this image";
    }
    if (result.status == Status::failed || result.status == Status::unknown) remove_if_there(job.destination);
    return result;
}

}  // namespace seg
