#include "adam7.h"

#include <cstring>

namespace seg {

const Pass kPasses[7] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                         {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

std::uint64_t raw_size(const Header& header) {
    if (!header.interlaced) return header.height * std::uint64_t{header.row_bytes(header.width) + 1};
    std::uint64_t size = 0;
    for (const Pass& pass : kPasses) {
        const std::uint32_t width = pass.width(header);
        if (width) size += pass.height(header) * std::uint64_t{header.row_bytes(width) + 1};
    }
    return size;
}

void spread(const std::uint8_t* pixels, std::uint32_t count, const Pass& pass, std::size_t stride, std::uint8_t* row) {
    for (std::uint32_t i = 0; i < count; ++i)
        std::memcpy(row + (pass.x0 + std::size_t{i} * pass.dx) * stride, pixels + i * stride, stride);
}

}  // namespace seg
