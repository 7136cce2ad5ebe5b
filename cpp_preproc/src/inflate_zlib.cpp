#include <zlib.h>

#include <algorithm>
#include <new>

#include "inflate.h"

namespace seg {
namespace {

// zlib counts in 32 bits; larger inputs and outputs are handed over in pieces.
constexpr std::size_t kPiece = std::size_t{1} << 30;

uInt piece(std::size_t left) { return static_cast<uInt>(std::min(left, kPiece)); }

}  // namespace

std::string inflate_name() { return std::string("zlib ") + zlibVersion(); }

std::uint32_t crc32(std::uint32_t crc, Bytes bytes) {
    return static_cast<std::uint32_t>(::crc32_z(crc, bytes.data, bytes.size));
}

Inflater::Inflater() : state_(new z_stream{}) {
    if (inflateInit(static_cast<z_stream*>(state_)) != Z_OK) {
        delete static_cast<z_stream*>(state_);
        throw std::bad_alloc();
    }
}

Inflater::~Inflater() {
    inflateEnd(static_cast<z_stream*>(state_));
    delete static_cast<z_stream*>(state_);
}

void Inflater::inflate(Bytes stream, std::uint8_t* out, std::size_t size) {
    auto& z = *static_cast<z_stream*>(state_);
    inflateReset(&z);
    const std::uint8_t* end = stream.data + stream.size;
    std::uint8_t spare = 0;  // one byte past the image: if it is filled, the stream is too long
    std::size_t made = 0;
    z.next_in = const_cast<Bytef*>(stream.data);
    int status = Z_OK;
    while (status == Z_OK) {
        z.avail_in = piece(static_cast<std::size_t>(end - z.next_in));
        z.next_out = made < size ? out + made : &spare;
        z.avail_out = made < size ? piece(size - made) : 1;
        const uInt offered = z.avail_out;
        status = ::inflate(&z, Z_NO_FLUSH);
        made += offered - z.avail_out;
        if (made > size) throw Error(kLongStream);
    }
    if (status != Z_STREAM_END) throw Error(kBadStream);
    if (made < size) throw Error(kShortStream);
}

}  // namespace seg
