// The library without Python, to be run under sanitizers: `make sanitize`.
// What is right is tested in tests/convert/test_preproc.py; here it is memory, overflow and threads that count.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "pool.h"
#include "samples.h"
#include "scan.h"
#include "unfilter.h"

namespace {

void check(bool right, const char* text, int line) {
    if (right) return;
    std::fprintf(stderr, "line %d: %s\n", line, text);
    std::exit(1);
}
#define CHECK(condition) check(condition, #condition, __LINE__)

constexpr std::uint64_t kMaxPixels = 1 << 20;

// A copy of exactly the right size, so that a read past the end is seen.
struct Exact {
    explicit Exact(const Blob& blob) : data(new std::uint8_t[blob.size()]), size(blob.size()) {
        std::copy(blob.begin(), blob.end(), data.get());
    }
    seg::Bytes bytes() const { return {data.get(), size}; }
    std::unique_ptr<std::uint8_t[]> data;
    std::size_t size;
};

Blob decode(seg::PngReader& reader, seg::Bytes file) {
    const seg::Picture& picture = reader.open(file, kMaxPixels);
    const std::size_t stride = seg::stride_of(picture.pixels);
    Blob out;
    for (std::uint32_t y = 0; y < picture.height; ++y) {
        const std::uint8_t* row = reader.next();
        Blob line(row, row + picture.width * stride);
        seg::unfilter(seg::kSub, line.data(), nullptr, line.size(), stride);
        out.insert(out.end(), line.begin(), line.end());
    }
    return out;
}

seg::Table both() { return seg::Table({{0, 0}, {0x050505, 1}, {0xffffff, 255}}, {{0, 0}, {5, 1}, {65535, 2}}); }

// Decodes and maps whatever it is; an Error is as good as a mask.
void digest(seg::PngReader& reader, seg::Mapper& mapper, seg::Bytes file) {
    try {
        const seg::Picture& picture = reader.open(file, kMaxPixels);
        mapper.begin(picture);
        for (std::uint32_t y = 0; y < picture.height; ++y) mapper.row(reader.next());
    } catch (const seg::Error&) {
    }
}

void test_decoding() {
    Random random(1);
    seg::PngReader reader;
    for (int round = 0; round < 20; ++round) {
        for (const auto& [type, depth] : kForms) {
            const Sample sample = make_sample(random, type, depth, false);
            const Blob got = decode(reader, Exact(sample.file).bytes());
            if (depth == 8) CHECK(got == sample.raw);
            decode(reader, Exact(make_sample(random, type, depth, true).file).bytes());
        }
    }
}

// Bytes of a filtered row: noise, zeros with little in between, or zeros alone.
Blob filtered_row(Random& random, std::size_t size) {
    const std::uint32_t calm = random.below(3) ? 1 + random.below(40) : 0;
    Blob row(size);
    for (std::uint8_t& byte : row)
        if (calm && random.below(calm) == 0) byte = static_cast<std::uint8_t>(random.below(256));
    return row;
}

// Rows of every filter, width and size of a pixel, in any order, against the filters undone as they are specified.
void test_differences() {
    Random random(6);
    seg::Differences differences;
    for (std::uint32_t width = 1; width <= 70; ++width) {
        for (std::size_t stride = 1; stride <= 4; ++stride) {
            const std::size_t size = width * stride;
            differences.begin(width, stride);
            std::vector<Exact> kept;  // the row above is still needed
            Blob above(size);
            for (int y = 0; y < 60; ++y) {
                const auto filter = static_cast<std::uint8_t>(random.below(5));
                Blob plain = filtered_row(random, size);
                kept.emplace_back(plain);
                const std::uint8_t* got = differences.next(filter, kept.back().data.get());
                seg::unfilter(filter, plain.data(), above.data(), size, stride);
                Blob wanted(size);
                seg::subtract_left(plain.data(), size, stride, wanted.data());
                CHECK(std::equal(wanted.begin(), wanted.end(), got));
                above = plain;
            }
        }
    }
}

void test_mutations() {
    Random random(2);
    const seg::Table table = both();
    seg::Options options;
    options.unknown = seg::UnknownPolicy::nearest;
    options.max_distance = 9;
    seg::Mapper mapper(table, options);
    seg::PngReader reader;
    for (int round = 0; round < 400; ++round) {
        const auto& [type, depth] = kForms[random.below(15)];
        const Sample sample = make_sample(random, type, depth, random.below(2));
        for (int i = 0; i < 20; ++i) {
            Blob file = sample.file;
            for (std::uint32_t n = 1 + random.below(4); n; --n)
                file[random.below(static_cast<std::uint32_t>(file.size()))] =
                    static_cast<std::uint8_t>(random.below(256));
            if (random.below(4) == 0) file.resize(random.below(static_cast<std::uint32_t>(file.size())) + 1);
            if (random.below(4)) mend_checksums(file);
            digest(reader, mapper, Exact(file).bytes());
        }
    }
}

using In = bool (*)(std::uint8_t, std::uint8_t);

// Every form of a scan against a plain search.
template <class Chosen>
void check_scans(Chosen chosen, std::size_t stride, const Exact& a, const Exact& b, In in) {
    const std::size_t width = a.size / stride;
    seg::Starts wanted{0};
    for (std::size_t x = 1; x < width; ++x) {
        bool found = false;
        for (std::size_t i = x * stride; i < (x + 1) * stride; ++i) found |= in(a.data[i], b.data[i]);
        if (found) wanted.push_back(static_cast<std::uint32_t>(x));
    }
    wanted.push_back(static_cast<std::uint32_t>(width));
    for (const seg::Scan& scan : seg::scans()) {
        seg::Starts starts;
        CHECK(chosen(scan)(a.data.get(), b.data.get(), width, starts) == wanted.size() - 1);
        CHECK(std::equal(wanted.begin(), wanted.end(), starts.begin()));
    }
}

void test_scan() {
    Random random(3);
    for (int round = 0; round < 5000; ++round) {
        const std::size_t stride = 1 + random.below(4);
        const std::size_t width = 1 + random.below(round % 100 ? 150 : 5000);
        const std::uint32_t calm = 1 + random.below(100);
        Blob bytes[2];
        for (Blob& row : bytes) {
            row.resize(width * stride);
            for (std::uint8_t& byte : row) byte = random.below(calm) == 0;
        }
        const Exact a(bytes[0]);
        const Exact b(bytes[1]);
        const In some = [](std::uint8_t left, std::uint8_t) { return left != 0; };
        const In either = [](std::uint8_t left, std::uint8_t right) { return (left | right) != 0; };
        const In differ = [](std::uint8_t left, std::uint8_t right) { return left != right; };
        check_scans([&](const seg::Scan& scan) { return scan.some[stride]; }, stride, a, b, some);
        check_scans([&](const seg::Scan& scan) { return scan.either[stride]; }, stride, a, b, either);
        check_scans([](const seg::Scan& scan) { return scan.differ; }, 1, a, b, differ);
    }
}

void test_table() {
    const seg::Table table({{0, 0}, {4, 1}, {0x040000, 0}}, {});
    CHECK(table.color(4) == 1 && table.color(5) == seg::kUnknown);
    CHECK(table.nearest(1).answer == 0 && table.nearest(1).distance == 1);
    CHECK(table.nearest(2).answer == seg::kUnknown && table.nearest(2).distance == 2);  // two classes equally near
    CHECK(table.nearest(0x020000).answer == 0);                                         // two colours of one class
    CHECK(table.nearest(0xffffff).distance == 255);
    bool refused = false;
    try {
        const seg::Table twice({{7, 0}, {7, 1}}, {});
    } catch (const seg::Error&) {
        refused = true;
    }
    CHECK(refused);
}

void test_huffman() {
    std::vector<std::uint32_t> fibonacci{1, 1};
    while (fibonacci.size() < 40) fibonacci.push_back(fibonacci.back() + fibonacci[fibonacci.size() - 2]);
    for (const unsigned limit : {7u, 15u}) {
        std::uint32_t space = 0;
        for (const seg::Code& code : seg::huffman(fibonacci, limit)) {
            CHECK(code.length >= 1 && code.length <= limit);
            space += 1u << (limit - code.length);
        }
        CHECK(space == 1u << limit);
    }
}

void test_encoder() {
    Random random(4);
    seg::MaskEncoder encoder;
    seg::PngReader reader;
    for (int round = 0; round < 300; ++round) {
        const std::uint32_t width = 1 + random.below(round % 10 ? 300 : 3000);
        const std::uint32_t height = 1 + random.below(round % 50 ? 20 : 200);
        const std::uint32_t calm = 1 + random.below(200);
        Blob mask(std::size_t{width} * height);
        for (std::size_t i = 1; i < mask.size(); ++i)
            mask[i] = random.below(calm) ? mask[i - 1] : static_cast<std::uint8_t>(random.below(256));
        encoder.begin(width, height);
        for (std::size_t y = 0; y < height; ++y) encoder.row(mask.data() + y * width);
        const seg::Bytes file = encoder.finish();
        CHECK(decode(reader, file) == mask);
    }
}

std::string temporary_folder() {
    char name[] = "/tmp/seg-test-XXXXXX";
    CHECK(::mkdtemp(name) != nullptr);
    return name;
}

void test_pool() {
    const std::string folder = temporary_folder();
    Random random(5);
    seg::MaskEncoder encoder;
    for (int i = 0; i < 20; ++i) {
        encoder.begin(50, 9);
        const Blob row(50, static_cast<std::uint8_t>(i));
        for (int y = 0; y < 9; ++y) encoder.row(row.data());
        seg::write_atomically(folder + "/" + std::to_string(i), encoder.finish());
    }
    seg::Options options;
    options.unknown = seg::UnknownPolicy::ignore;
    const auto table = std::make_shared<seg::Table>(both());
    const auto job = [&](int i) {
        return seg::Job{folder + "/" + std::to_string(i % 25), folder + "/a/b/" + std::to_string(i)};
    };
    for (const unsigned threads : {1u, 4u}) {
        seg::Pool pool(table, options, threads);
        for (int i = 0; i < 200; ++i) pool.submit(i % 30 == 29 ? std::nullopt : std::optional<seg::Job>(job(i)));
        for (int i = 0; i < 200; ++i) {
            std::optional<seg::Result> result;
            while (!result) result = pool.wait(std::chrono::milliseconds(100));
            const auto wanted = i % 30 == 29  ? seg::Status::skipped
                                : i % 25 < 20 ? seg::Status::converted
                                              : seg::Status::failed;
            CHECK(result->status == wanted);
            if (wanted == seg::Status::converted)
                CHECK(result->report.counts[i % 25 == 5 ? 1 : i % 25 ? 255 : 0] == 450);
        }
        CHECK(pool.pending() == 0);
        for (int i = 0; i < 200; ++i) pool.submit(job(i));  // dropped half way
        std::thread closer([&] { pool.close(); });
        while (pool.wait(std::chrono::milliseconds(1))) {
        }
        pool.close();
        closer.join();
        CHECK(pool.closed() && !pool.wait(std::chrono::milliseconds(1)));
        seg::Pool unread(table, options, threads);
        for (int i = 0; i < 200; ++i) unread.submit(job(i));
        unread.wait(std::chrono::milliseconds(1));
    }
    seg::Converter converter(*table, options);
    Blob mask;
    for (int i = 0; i < 25; ++i) {  // into memory: what is written to files, and nothing for files that are not there
        const seg::Result result = converter.map(job(i).source, mask);
        CHECK(result.status == (i < 20 ? seg::Status::converted : seg::Status::failed));
        if (i < 20) CHECK(result.width == 50 && mask == Blob(450, i == 5 ? 1 : i ? 255 : 0));
    }
    CHECK(std::system(("rm -r " + folder).c_str()) == 0);
}

}  // namespace

int main() {
    test_scan();
    test_table();
    test_huffman();
    test_decoding();
    test_differences();
    test_mutations();
    test_encoder();
    test_pool();
    std::puts("all passed");
    return 0;
}
