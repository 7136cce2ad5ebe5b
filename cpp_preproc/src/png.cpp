#include "png.h"

#include <cstring>
#include <string>

#include "adam7.h"
#include "unfilter.h"

namespace seg {
namespace {

Pixels pixels_of(const Header& header) {
    switch (header.type) {
        case kGray:
            return header.depth == 16 ? Pixels::gray16 : Pixels::gray8;
        case kGrayAlpha:
            return header.depth == 16 ? Pixels::gray_alpha16 : Pixels::gray_alpha8;
        case kPalette:
            return Pixels::gray8;
        case kRgba:
            return Pixels::rgba8;
        case kRgb:
            break;
    }
    return Pixels::rgb8;
}

Kind kind_of(const Header& header) {
    if (header.type == kPalette) return Kind::palette;
    return header.type == kGray || header.type == kGrayAlpha ? Kind::gray : Kind::color;
}

// 1, 2 or 4 bits a sample to one byte a sample, unscaled.
void expand(const std::uint8_t* row, std::uint32_t columns, unsigned depth, std::uint8_t* out) {
    const unsigned mask = (1u << depth) - 1;
    for (std::uint32_t x = 0; x < columns; ++x) {
        const std::size_t bit = std::size_t{x} * depth;
        out[x] = static_cast<std::uint8_t>(row[bit / 8] >> (8 - depth - bit % 8) & mask);
    }
}

// 16-bit RGB or RGBA to 8 bits, only where no colour is lost; of alpha, whether it is 0.
void narrow(const std::uint8_t* row, std::uint32_t columns, unsigned samples, std::uint8_t* out) {
    for (std::uint32_t x = 0; x < columns; ++x) {
        for (unsigned c = 0; c < 3; ++c) {
            const std::uint8_t* sample = row + (std::size_t{x} * samples + c) * 2;
            if (sample[0] != sample[1])
                throw Error(
                    "16-bit colour: expected an 8-bit colour stored wide (each sample a multiple of 257), got " +
                    std::to_string(sample[0] * 256 + sample[1]) +
                    ", which 8 bits can only guess at; save the label with 8 bits");
            out[std::size_t{x} * samples + c] = sample[0];
        }
        const std::uint8_t* alpha = row + (std::size_t{x} * samples + 3) * 2;
        if (samples == 4) out[std::size_t{x} * 4 + 3] = alpha[0] | alpha[1];
    }
}

// What tRNS says to be fully transparent; a chunk of a wrong length says nothing.
std::vector<std::uint32_t> clear_of(const Header& header, Bytes chunk) {
    std::vector<std::uint32_t> clear;
    const auto sample = [&](std::size_t i) { return std::uint32_t{chunk.data[2 * i]} << 8 | chunk.data[2 * i + 1]; };
    if (header.type == kPalette) {
        for (std::uint32_t i = 0; i < chunk.size; ++i)
            if (chunk.data[i] == 0) clear.push_back(i);
    } else if (header.type == kGray && chunk.size == 2) {
        clear.push_back(sample(0));
    } else if (header.type == kRgb && chunk.size == 6) {
        const std::uint32_t unit = header.depth == 16 ? 257 : 1;
        if (sample(0) <= 255 * unit && sample(1) <= 255 * unit && sample(2) <= 255 * unit)
            clear.push_back(sample(0) / unit | sample(1) / unit << 8 | sample(2) / unit << 16);
    }
    return clear;
}

}  // namespace

std::size_t stride_of(Pixels pixels) {
    switch (pixels) {
        case Pixels::gray8:
            return 1;
        case Pixels::gray_alpha8:
        case Pixels::gray16:
            return 2;
        case Pixels::gray_alpha16:
            return 4;
        case Pixels::rgb8:
            return 3;
        case Pixels::rgba8:
            break;
    }
    return 4;
}

const Picture& PngReader::open(Bytes file, std::uint64_t max_pixels) {
    const Chunks chunks = read_chunks(file, max_pixels);
    header_ = chunks.header;
    picture_ = Picture{header_.width,
                       header_.height,
                       kind_of(header_),
                       pixels_of(header_),
                       header_.depth,
                       chunks.palette,
                       clear_of(header_, chunks.transparency),
                       chunks.orientation};
    row_bytes_ = header_.row_bytes(header_.width);
    y_ = 0;
    std::memset(zeros_.resize(row_bytes_), 0, row_bytes_);  // a buffer keeps what the last file left in it
    delivered_.resize(header_.width * stride_of(picture_.pixels));
    differences_.begin(header_.width, stride_of(picture_.pixels));
    inflate(chunks);
    if (header_.interlaced) assemble();
    return picture_;
}

void PngReader::inflate(const Chunks& chunks) {
    Bytes stream = chunks.data.front();
    if (chunks.data.size() > 1) {
        std::size_t size = 0;
        for (const Bytes& part : chunks.data) size += part.size;
        std::uint8_t* at = joined_.resize(size);
        for (const Bytes& part : chunks.data) {
            std::memcpy(at, part.data, part.size);
            at += part.size;
        }
        stream = {joined_.data(), size};
    }
    // Deflate spends at least 2 bits on 258 bytes: 1032 to 1. A header that promises more is a lie or a
    // bomb, and is refused before memory is taken for it.
    const std::uint64_t size = raw_size(header_);
    if (size / 1032 > stream.size) throw Error(kShortStream);
    inflater_.inflate(stream, raw_.resize(size), size);
}

void PngReader::undo(std::uint8_t filter, std::uint8_t* row, const std::uint8_t* above, std::size_t size) const {
    unfilter(filter, row, above ? above : zeros_.data(), size, header_.step());
}

// Whether rows of the file lie in memory as those of picture_.pixels do.
bool PngReader::stored_alike() const {
    return header_.depth == 8 || (header_.depth == 16 && kind_of(header_) == Kind::gray);
}

// A plain row of the file to a row in the form picture_.pixels.
std::uint8_t* PngReader::deliver(std::uint8_t* row, std::uint32_t columns) {
    if (stored_alike()) return row;
    std::uint8_t* out = delivered_.data();
    if (header_.depth < 8)
        expand(row, columns, header_.depth, out);
    else
        narrow(row, columns, header_.samples(), out);
    return out;
}

void PngReader::assemble() {
    const std::size_t stride = stride_of(picture_.pixels);
    const std::size_t line = header_.width * stride;
    whole_.resize(line * header_.height);
    std::uint8_t* at = raw_.data();
    for (const Pass& pass : kPasses) {
        const std::uint32_t width = pass.width(header_);
        const std::uint32_t height = width ? pass.height(header_) : 0;
        const std::size_t size = header_.row_bytes(width);
        for (std::uint32_t y = 0; y < height; ++y, at += size + 1) {
            undo(at[0], at + 1, y ? at - size : nullptr, size);
            std::uint8_t* row = whole_.data() + (pass.y0 + std::size_t{y} * pass.dy) * line;
            spread(deliver(at + 1, width), width, pass, stride, row);
        }
    }
}

const std::uint8_t* PngReader::next() {
    const std::size_t y = y_++;
    if (header_.interlaced)
        return differences_.next(kNone, whole_.data() + y * header_.width * stride_of(picture_.pixels));
    std::uint8_t* at = raw_.data() + y * (row_bytes_ + 1);
    if (stored_alike()) return differences_.next(at[0], at + 1);
    undo(at[0], at + 1, y ? at - row_bytes_ : nullptr, row_bytes_);
    return differences_.next(kNone, deliver(at + 1, header_.width));
}

}  // namespace seg
