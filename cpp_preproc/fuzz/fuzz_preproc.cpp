// libFuzzer: arbitrary bytes as a PNG file through decoding, mapping and encoding; what was encoded must decode to the
// very mask. `make fuzz`; needs clang.
// The first byte of an input chooses the options, the second the way in: the rest as a file, the rest as a file whose
// checksums are put right, or the rest as the inflated pixel data of a small image, which gets past every checksum.
// Whoever changes what a byte means makes the kept inputs (corpus.tar.gz) mean something else: `make corpus`
// afterwards.
#include <cstdlib>
#include <memory>

#include "adam7.h"
#include "encoder.h"
#include "mapper.h"
#include "samples.h"
#include "unfilter.h"

namespace {

constexpr std::uint64_t kMaxPixels = 1 << 16;

seg::Table make_table() {
    return seg::Table({{0, 0}, {0x050505, 1}, {0x0000ff, 2}, {0xffffff, 255}}, {{0, 0}, {5, 1}});
}

seg::Options options_of(std::uint8_t choice) {
    seg::Options options;
    options.unknown = static_cast<seg::UnknownPolicy>(choice % 3);
    options.max_distance = choice < 9 ? 255 : 9;
    options.read = static_cast<seg::Read>(choice / 3 % 7);
    options.max_pixels = kMaxPixels;
    return options;
}

// Three bytes of form, width and interlacing, then pixel data; the height is what they are enough for.
Blob image_of(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return {};
    const auto& [type, depth] = kForms[data[0] % 15];
    seg::Header header{1u + data[1], 1, depth, type, data[2] % 2 == 1};
    header.height += static_cast<std::uint32_t>((size - 3) / (header.row_bytes(header.width) + 1));
    Blob filtered(data + 3, data + size);
    filtered.resize(seg::raw_size(header));
    return png_of(header, filtered);
}

Blob file_of(std::uint8_t way, const std::uint8_t* data, std::size_t size) {
    if (way % 3 == 2) return image_of(data, size);
    Blob file(data, data + size);
    if (way % 3 == 1 && size >= 8) mend_checksums(file);
    return file;
}

// One for each choice of options, kept as workers keep theirs: what a file leaves behind must not harm the next.
seg::Mapper& mapper_of(std::uint8_t choice) {
    static const seg::Table table = make_table();
    static std::unique_ptr<seg::Mapper> mappers[21];
    if (!mappers[choice]) mappers[choice] = std::make_unique<seg::Mapper>(table, options_of(choice));
    return *mappers[choice];
}

// The mask of the file, encoded, and the mask itself; nothing if the file is refused.
Blob convert(const Blob& file, seg::Mapper& mapper, seg::Picture& picture, Blob& mask) {
    static seg::PngReader reader;
    static seg::MaskEncoder encoder;
    try {
        picture = reader.open({file.data(), file.size()}, kMaxPixels);
        mapper.begin(picture);
        encoder.begin(picture.width, picture.height);
        mask.resize(std::size_t{picture.width} * picture.height);
        for (std::uint32_t y = 0; y < picture.height; ++y) {
            const seg::Runs row = mapper.row(reader.next());
            mapper.paint(row, mask.data() + std::size_t{y} * picture.width);
            encoder.row(row);
        }
        const seg::Bytes made = encoder.finish();
        return Blob(made.data, made.data + made.size);
    } catch (const seg::Error&) {
        return {};
    }
}

bool decodes_to(const Blob& file, const seg::Picture& wanted, const Blob& mask) {
    seg::PngReader reader;
    const seg::Picture& picture = reader.open({file.data(), file.size()}, kMaxPixels);
    if (picture.width != wanted.width || picture.height != wanted.height) return false;
    if (picture.kind != seg::Kind::gray || picture.depth != 8) return false;
    for (std::uint32_t y = 0; y < picture.height; ++y) {
        const std::uint8_t* row = reader.next();
        Blob line(row, row + picture.width);
        seg::unfilter(seg::kSub, line.data(), nullptr, line.size(), 1);
        if (!std::equal(line.begin(), line.end(), mask.begin() + std::ptrdiff_t{y} * picture.width)) return false;
    }
    return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    seg::Picture picture;
    Blob mask;
    const Blob made = convert(file_of(data[1], data + 2, size - 2), mapper_of(data[0] % 21), picture, mask);
    if (!made.empty() && !decodes_to(made, picture, mask)) std::abort();
    return 0;
}
