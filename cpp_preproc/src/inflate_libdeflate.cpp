#include <libdeflate.h>

#include <new>

#include "inflate.h"

namespace seg {

std::string inflate_name() { return "libdeflate " LIBDEFLATE_VERSION_STRING; }

std::uint32_t crc32(std::uint32_t crc, Bytes bytes) { return libdeflate_crc32(crc, bytes.data, bytes.size); }

Inflater::Inflater() : state_(libdeflate_alloc_decompressor()) {
    if (!state_) throw std::bad_alloc();
}

Inflater::~Inflater() { libdeflate_free_decompressor(static_cast<libdeflate_decompressor*>(state_)); }

void Inflater::inflate(Bytes stream, std::uint8_t* out, std::size_t size) {
    std::size_t used = 0;
    std::size_t made = 0;
    auto* decompressor = static_cast<libdeflate_decompressor*>(state_);
    switch (libdeflate_zlib_decompress_ex(decompressor, stream.data, stream.size, out, size, &used, &made)) {
        case LIBDEFLATE_SUCCESS:
            if (made < size) throw Error(kShortStream);
            return;
        case LIBDEFLATE_INSUFFICIENT_SPACE:
            throw Error(kLongStream);
        case LIBDEFLATE_SHORT_OUTPUT:  // only where no `made` is asked for
        case LIBDEFLATE_BAD_DATA:
            break;
    }
    throw Error(kBadStream);
}

}  // namespace seg
