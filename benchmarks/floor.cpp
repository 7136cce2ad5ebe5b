// The floor of bench_convert.py, what no converter can do without: read and inflate each source, write the bytes of a
// finished mask. On the converter's own reading, inflating and writing, so that the two compare; plain C interface.
#include <fcntl.h>
#include <unistd.h>

#include "files.h"
#include "png.h"

namespace {

constexpr std::uint64_t kMaxPixels = std::uint64_t{1} << 28;

// Straight to a new file: what a crash may leave torn.
void write_plainly(const char* path, seg::Bytes bytes) {
    const int descriptor = ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0) throw seg::Error("cannot make the file");
    const bool written = ::write(descriptor, bytes.data, bytes.size) == static_cast<ssize_t>(bytes.size);
    if (::close(descriptor) != 0 || !written) throw seg::Error("cannot write the file");
}

void touch_one(const char* from, const char* to, seg::Bytes content, bool whole, seg::Buffer& buffer,
               seg::PngReader& reader) {
    seg::SourceFile source(from);
    const auto room = static_cast<std::size_t>(source.size());
    const std::size_t size = source.read(buffer.resize(room), room);
    reader.open({buffer.data(), size}, kMaxPixels);
    if (whole)
        seg::write_atomically(to, content);
    else
        write_plainly(to, content);
}

}  // namespace

// `whole`: through a temporary file, as masks are written. Returns the number of files that failed.
extern "C" __attribute__((visibility("default"))) int touch(const char* const* sources, const char* const* targets,
                                                            const std::uint8_t* const* contents,
                                                            const std::size_t* sizes, int count, int whole) {
    int failed = 0;
    seg::Buffer buffer;
    seg::PngReader reader;
    for (int i = 0; i < count; ++i) {
        try {
            touch_one(sources[i], targets[i], {contents[i], sizes[i]}, whole != 0, buffer, reader);
        } catch (const seg::Error&) {
            ++failed;
        }
    }
    return failed;
}
