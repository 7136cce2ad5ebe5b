// A peer for bench_convert.py: libpng decodes, a table of 2^24 maps, libpng level 1 encodes. Plain C interface.
#include <png.h>

#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

bool read_rgb(const char* path, std::vector<std::uint8_t>& pixels, std::uint32_t& width, std::uint32_t& height) {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_file(&image, path)) return false;
    image.format = PNG_FORMAT_RGB;
    width = image.width;
    height = image.height;
    pixels.resize(PNG_IMAGE_SIZE(image));
    return png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr) != 0;
}

bool write_gray(const char* path, const std::uint8_t* mask, std::uint32_t width, std::uint32_t height) {
    std::FILE* file = std::fopen(path, "wb");
    if (!file) return false;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        std::fclose(file);
        return false;
    }
    png_init_io(png, file);
    png_set_compression_level(png, 1);
    png_set_filter(png, 0, PNG_FILTER_NONE);
    png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (std::uint32_t y = 0; y < height; ++y) png_write_row(png, mask + std::size_t{y} * width);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return std::fclose(file) == 0;
}

}  // namespace

// `table` has 2^24 entries, red in the lowest byte. Returns the number of files that failed.
extern "C" int convert(const char* const* sources, const char* const* targets, int count, const std::uint8_t* table) {
    int failed = 0;
    std::vector<std::uint8_t> pixels, mask;
    for (int i = 0; i < count; ++i) {
        std::uint32_t width = 0, height = 0;
        bool done = read_rgb(sources[i], pixels, width, height);
        if (done) {
            mask.resize(std::size_t{width} * height);
            const std::uint8_t* at = pixels.data();
            for (std::uint8_t& value : mask) {
                value = table[at[0] | at[1] << 8 | at[2] << 16];
                at += 3;
            }
            done = write_gray(targets[i], mask.data(), width, height);
        }
        failed += !done;
    }
    return failed;
}
