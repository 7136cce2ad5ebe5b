#include "encoder.h"

#include "inflate.h"
#include "scan.h"
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
    above_.assign(width + std::size_t{1}, kNone);
    filtered_.assign(width + std::size_t{1}, kUp);
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
    const std::uint8_t* above = above_.data() + 1;  // plain pointers, or the compiler cannot vectorise the loop
    std::uint8_t* residual = filtered_.data() + 1;
    const std::size_t width = width_;
    for (std::size_t x = 0; x < width; ++x) residual[x] = static_cast<std::uint8_t>(mask[x] - above[x]);
    const std::size_t changes = scan.count(mask + 1, mask, width - 1);
    const bool plain = changes <= scan.count(residual + 1, residual, width - 1);
    std::memcpy(above_.data() + 1, mask, width);
    const std::vector<std::uint8_t>& chosen = plain ? above_ : filtered_;
    deflate_.add({chosen.data(), chosen.size()});
}

Bytes MaskEncoder::finish() {
    deflate_.finish();
    close_chunk(data_start_);
    chunk("IEND", {});
    return {file_.data(), file_.size()};
}

}  // namespace seg
