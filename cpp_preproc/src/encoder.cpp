#include "encoder.h"

#include "differences.h"
#include "inflate.h"
#include "unfilter.h"

namespace seg {

void MaskEncoder::chunk(const char* name, Bytes payload) {
    const std::size_t start = file_.size();
    file_.append("\0\0\0\0", 4);
    file_.append(name, 4);
    file_.append(payload.data, payload.size);
    close_chunk(start);
}

// Fills in the length, now that it is known, and appends the CRC.
void MaskEncoder::close_chunk(std::size_t start) {
    const std::size_t size = file_.size() - start - 8;
    store_big32(file_.data() + start, static_cast<std::uint32_t>(size));
    file_.append_big32(crc32(0, {file_.data() + start + 4, size + 4}));
}

void MaskEncoder::begin(std::uint32_t width, std::uint32_t height) {
    width_ = width;
    above_.assign(width, 0);
    zeros_.assign(width, 0);
    differences_.resize(width);
    file_.clear();
    file_.append("\x89PNG\r\n\x1a\n", 8);
    std::uint8_t header[13] = {0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0};
    store_big32(header, width);
    store_big32(header + 4, height);
    chunk("IHDR", {header, sizeof header});
    data_start_ = file_.size();
    file_.append("\0\0\0\0IDAT", 8);
    deflate_.begin(file_);
}

void MaskEncoder::row(const std::uint8_t* mask) {
    subtract_left(mask, width_, 1, differences_.data());
    const std::size_t count = scan.some[1](differences_.data(), differences_.data(), width_, starts_);
    row({differences_.data(), starts_.data(), count});
}

void MaskEncoder::row(const Runs& row) {
    const std::size_t up = scan.differ(row.differences, above_.data(), width_, up_);
    if (row.count <= up)
        deflate_.add(kNone, row, zeros_.data());
    else
        deflate_.add(kUp, {row.differences, up_.data(), up}, above_.data());
    std::memcpy(above_.data(), row.differences, width_);
}

Bytes MaskEncoder::finish() {
    deflate_.finish();
    close_chunk(data_start_);
    chunk("IEND", {});
    return {file_.data(), file_.size()};
}

}  // namespace seg
