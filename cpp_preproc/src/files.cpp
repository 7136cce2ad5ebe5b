#include "files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "inflate.h"

namespace seg {
namespace {

[[noreturn]] void fail(const std::string& what, int code) {
    throw Error(what + ": " + std::generic_category().message(code));
}

// Signals are Python's to handle, on its own thread; a worker just goes on.
template <class Call>
auto retry(Call call) {
    auto result = call();
    while (result < 0 && errno == EINTR) result = call();
    return result;
}

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

void make_folders(const std::string& folder) {
    if (::mkdir(folder.c_str(), 0777) == 0 || errno == EEXIST) return;
    if (errno != ENOENT) fail("cannot make the folder of the mask", errno);
    make_folders(parent_of(folder));
    if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) fail("cannot make the folder of the mask", errno);
}

int create(const std::string& path) {
    const auto open_it = [&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); };
    int descriptor = retry(open_it);
    if (descriptor < 0 && errno == ENOENT) {
        make_folders(parent_of(path));
        descriptor = retry(open_it);
    }
    if (descriptor < 0) fail("cannot write the mask", errno);
    return descriptor;
}

// 0, or the error number of the first write that failed.
int write_all(int descriptor, Bytes bytes) {
    while (bytes.size) {
        const auto written = retry([&] { return ::write(descriptor, bytes.data, bytes.size); });
        if (written < 0) return errno;
        bytes.data += written;
        bytes.size -= static_cast<std::size_t>(written);
    }
    return 0;
}

// Hidden, short (a long stem must not exceed the file system's limit), unique among machines, processes and threads.
std::string temporary_beside(const std::string& path) {
    static std::atomic<unsigned long> counter{0};
    const std::string name = temporary_prefix() + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
    const std::size_t slash = path.find_last_of('/');
    return slash == std::string::npos ? name : path.substr(0, slash + 1) + name;
}

}  // namespace

SourceFile::SourceFile(const std::string& path)
    // O_NONBLOCK: opening a pipe must not wait for a writer.
    : descriptor_(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); })) {
    if (descriptor_ < 0) fail("cannot read the file", errno);
    struct stat status{};
    const int code = ::fstat(descriptor_, &status) == 0 ? 0 : errno;
    if (code != 0 || !S_ISREG(status.st_mode)) {
        ::close(descriptor_);
        if (code != 0) fail("cannot read the file", code);
        throw Error("cannot read the file: not a regular file");
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
#ifdef __APPLE__
    const timespec& time = status.st_mtimespec;
#else
    const timespec& time = status.st_mtim;
#endif
    mtime_ns_ = std::int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

SourceFile::~SourceFile() { ::close(descriptor_); }

std::size_t SourceFile::read(std::uint8_t* out, std::size_t size) {
    std::size_t done = 0;
    while (done < size) {
        const auto got = retry([&] { return ::read(descriptor_, out + done, size - done); });
        if (got < 0) fail("cannot read the file", errno);
        if (got == 0) break;
        done += static_cast<std::size_t>(got);
    }
    return done;
}

void write_atomically(const std::string& path, Bytes bytes) {
    const std::string temporary = temporary_beside(path);
    const int descriptor = create(temporary);
    int code = write_all(descriptor, bytes);
    // close() may be where a full disk or a network file system speaks up.
    if (::close(descriptor) != 0 && code == 0 && errno != EINTR) code = errno;
    if (code == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) code = errno;
    if (code == 0) return;
    ::unlink(temporary.c_str());
    fail("cannot write the mask", code);
}

void remove_if_there(const std::string& path) { ::unlink(path.c_str()); }

const std::string& temporary_prefix() {
    static const std::string prefix = [] {
        char host[256] = {};
        ::gethostname(host, sizeof host - 1);
        const std::uint32_t crc = crc32(0, {reinterpret_cast<const std::uint8_t*>(host), std::strlen(host)});
        char text[16];
        std::snprintf(text, sizeof text, ".seg-%08x-", static_cast<unsigned>(crc));
        return std::string(text);
    }();
    return prefix;
}

}  // namespace seg
