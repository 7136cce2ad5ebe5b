// The Python face: types in, types out. Everything else is in the library.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>

#include "inflate.h"
#include "pool.h"
#include "unfilter.h"

namespace py = pybind11;

namespace seg {
namespace {

constexpr std::uint64_t kMostPixels = std::uint64_t{1} << 30;  // keeps a mask within one IDAT chunk
constexpr std::uint64_t kUsualPixels = std::uint64_t{1} << 28;
constexpr std::size_t kWindow = 64;                  // jobs under way for each thread
constexpr std::chrono::milliseconds kPatience{100};  // between two looks at signals: Ctrl-C waits no longer

template <class Number>
Error out_of_range(const std::string& what, const std::string& range, Number value) {
    return Error(what + ": expected " + range + ", got " + std::to_string(value) + "; choose a number in this range");
}

int checked(const char* what, int value, int most) {
    if (value < 0 || value > most) throw out_of_range(what, "0.." + std::to_string(most), value);
    return value;
}

using ColorEntry = std::pair<std::array<int, 3>, int>;
using ValueEntry = std::pair<int, int>;

std::shared_ptr<Table> make_table(const std::vector<ColorEntry>& colors, const std::vector<ValueEntry>& values) {
    std::vector<Color> keys;
    for (const auto& [color, label] : colors) {
        std::uint32_t key = 0;
        for (std::size_t c = 0; c < 3; ++c)
            key |= static_cast<std::uint32_t>(checked("a colour channel", color[c], 255)) << 8 * c;
        keys.push_back({key, static_cast<std::uint8_t>(checked("a class", label, 255))});
    }
    std::vector<std::pair<std::uint16_t, std::uint8_t>> pairs;
    for (const auto& [value, label] : values)
        pairs.emplace_back(checked("a value", value, 65535), checked("a class", label, 255));
    return std::make_shared<Table>(std::move(keys), pairs);
}

Options make_options(const std::string& unknown, std::optional<int> max_distance, const std::string& read,
                     const std::string& transparent, std::uint64_t max_pixels) {
    Options options;
    if (unknown == "ignore")
        options.unknown = UnknownPolicy::ignore;
    else if (unknown == "nearest")
        options.unknown = UnknownPolicy::nearest;
    else if (unknown != "error")
        throw Error("unknown: expected error, ignore or nearest, got '" + unknown + "'; choose one of them");
    if (unknown == "nearest" && !max_distance)
        throw Error("max_distance: expected 0..255 with unknown=nearest, got none; say how far a colour may be");
    if (unknown != "nearest" && max_distance)
        throw Error("max_distance: expected only with unknown=nearest, got unknown=" + unknown +
                    "; leave it out, or set unknown=nearest");
    if (max_distance) options.max_distance = static_cast<unsigned>(checked("max_distance", *max_distance, 255));
    if (read == "color")
        options.read = Read::color;
    else if (read == "index")
        options.read = Read::index;
    else if (read == "ade20k")
        options.read = Read::ade20k;
    else if (read == "red")
        options.read = Read::red;
    else if (read == "id256")
        options.read = Read::id256;
    else if (read == "id1000")
        options.read = Read::id1000;
    else if (read != "auto")
        throw Error("read: expected auto, color, index, ade20k, red, id256 or id1000, got '" + read +
                    "'; choose one of them");
    options.keep_clear = transparent == "keep";
    if (transparent != "keep" && transparent != "ignore")
        throw Error("transparent: expected keep or ignore, got '" + transparent + "'; choose one of them");
    if (max_pixels < 1 || max_pixels > kMostPixels) throw out_of_range("max_pixels", "1..2**30", max_pixels);
    options.max_pixels = max_pixels;
    return options;
}

std::string path_bytes(const py::handle& path) {
    PyObject* encoded = nullptr;
    if (!PyUnicode_FSConverter(path.ptr(), &encoded)) throw py::error_already_set();
    return py::reinterpret_steal<py::bytes>(encoded);
}

py::dict counts_of(const Report& report) {
    py::dict counts;
    for (std::size_t value = 0; value < 256; ++value)
        if (report.counts[value]) counts[py::int_(value)] = report.counts[value];
    return counts;
}

py::object key_of(const Report& report) {
    const std::uint32_t key = report.unknown.key;
    if (!report.by_color) return py::int_(key);
    return py::make_tuple(key & 255, key >> 8 & 255, key >> 16);
}

// None, or (pixels, distinct, first, x, y, reach, level, clear, brightest), `first` being a colour (r, g, b) or a
// value.
py::object unknown_of(const Report& report) {
    const Unknown& unknown = report.unknown;
    if (unknown.pixels == 0) return py::none();
    const py::object reach = unknown.reach == kNoReach ? py::object(py::none()) : py::object(py::int_(unknown.reach));
    return py::make_tuple(unknown.pixels, unknown.distinct, key_of(report), unknown.x, unknown.y, reach, unknown.level,
                          unknown.clear, unknown.brightest);
}

// None, or (distinct, class).
py::object merged_of(const Report& report) {
    if (report.merged.distinct < 2) return py::none();
    return py::make_tuple(report.merged.distinct, report.merged.label);
}

const char* status_name(Status status) {
    switch (status) {
        case Status::converted:
            return "converted";
        case Status::unknown:
            return "unknown";
        case Status::unsupported:
            return "unsupported";
        case Status::skipped:
            return "skipped";
        case Status::failed:
            break;
    }
    return "failed";
}

struct PyResult {
    py::object job;
    Result result;
};

// The iterator over results. Python's own thread pulls the jobs, here and only here.
class Conversion {
  public:
    Conversion(const py::iterable& jobs, std::shared_ptr<const Table> table, const Options& options, unsigned threads)
        : jobs_(py::iter(jobs)), window_(kWindow * threads), pool_(std::move(table), options, threads) {}
    ~Conversion() { close(); }

    PyResult next() {
        // Waiting lets go of the interpreter's lock, so that another Python thread may well come in here.
        if (busy_)
            throw std::runtime_error("conversion: expected one reading thread, got a second; read it from one thread");
        const Busy busy(busy_);
        fill();
        if (pool_.closed()) throw py::stop_iteration();
        if (!pool_.pending()) {
            if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
            throw py::stop_iteration();
        }
        Result result = take_result();  // first: if Ctrl-C ends the wait, the job keeps its place
        py::object item = std::move(items_.front());
        items_.pop_front();
        return {std::move(item), std::move(result)};
    }

    void close() {
        const py::gil_scoped_release release;  // joining takes as long as the file that a worker is at
        pool_.close();
    }

  private:
    struct Busy {
        explicit Busy(bool& flag) : flag_(flag) { flag_ = true; }
        ~Busy() { flag_ = false; }
        bool& flag_;
    };

    void fill() {
        try {
            while (!exhausted_ && pool_.pending() < window_) {
                const auto item = py::reinterpret_steal<py::object>(PyIter_Next(jobs_.ptr()));  // null: end or error
                if (PyErr_Occurred()) throw py::error_already_set();
                if (item)
                    submit(item);
                else
                    exhausted_ = true;
            }
        } catch (...) {  // raised when the jobs before it have been reported
            exhausted_ = true;
            error_ = std::current_exception();
        }
    }

    void submit(const py::object& item) {
        const py::object source = item[py::int_(0)];
        std::optional<Job> job;
        if (!source.is_none()) job = Job{path_bytes(source), path_bytes(py::object(item[py::int_(1)]))};
        pool_.submit(std::move(job));
        items_.push_back(item);
    }

    Result take_result() {
        for (;;) {
            std::optional<Result> result;
            {
                const py::gil_scoped_release release;
                result = pool_.wait(kPatience);
            }
            if (result) return std::move(*result);
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            if (pool_.closed()) throw py::stop_iteration();
        }
    }

    py::iterator jobs_;
    const std::size_t window_;
    std::deque<py::object> items_;
    bool exhausted_ = false;
    bool busy_ = false;
    std::exception_ptr error_;
    Pool pool_;
};

std::unique_ptr<Conversion> convert_files(const py::iterable& jobs, std::shared_ptr<Table> table,
                                          const std::string& unknown, std::optional<int> max_distance,
                                          const std::string& read, const std::string& transparent,
                                          std::uint64_t max_pixels, int threads) {
    if (threads < 1 || threads > 1024) throw out_of_range("threads", "1..1024", threads);
    return std::make_unique<Conversion>(jobs, std::move(table),
                                        make_options(unknown, max_distance, read, transparent, max_pixels),
                                        static_cast<unsigned>(threads));
}

// What became of the file, and its mask unless it failed.
py::tuple map_file(const py::object& path, const std::shared_ptr<Table>& table, const std::string& unknown,
                   std::optional<int> max_distance, const std::string& read, const std::string& transparent,
                   std::uint64_t max_pixels) {
    const std::string source = path_bytes(path);
    Converter converter(*table, make_options(unknown, max_distance, read, transparent, max_pixels));
    auto mask = std::make_unique<std::vector<std::uint8_t>>();
    Result result;
    {
        const py::gil_scoped_release release;
        result = converter.map(source, *mask);
    }
    py::object array = py::none();
    if (result.status == Status::converted) {
        const std::vector<py::ssize_t> shape{result.height, result.width};
        std::uint8_t* data = mask->data();
        // From here on the array owns the mask: a copy would cost as much as mapping it.
        const py::capsule owner(mask.release(), [](void* it) { delete static_cast<std::vector<std::uint8_t>*>(it); });
        array = py::array_t<std::uint8_t>(shape, data, owner);
    }
    return py::make_tuple(PyResult{py::none(), std::move(result)}, array);
}

// What an array is, for messages: "uint8 of shape (2, 2, 4)".
std::string form_of(const py::array& array) {
    return py::str("{} of shape {}").format(array.dtype(), array.attr("shape"));
}

Picture picture_of(const py::array& image) {
    const bool bytes = py::isinstance<py::array_t<std::uint8_t>>(image);
    const py::ssize_t samples = image.ndim() == 3 ? image.shape(2) : image.ndim() == 2 ? 1 : 0;
    const bool color = bytes && (samples == 3 || samples == 4);
    const bool gray = (samples == 1 || samples == 2) && (bytes || py::isinstance<py::array_t<std::uint16_t>>(image));
    if (!color && !gray)
        throw Error("image: expected H x W x 3 uint8, or H x W uint8 or uint16, both also with alpha, got " +
                    form_of(image) + "; convert the type");
    if (image.shape(0) > INT32_MAX || image.shape(1) > INT32_MAX)
        throw Error("image: expected sides below 2**31 pixels, got " + form_of(image) + "; cut it into tiles");
    Picture picture;
    picture.height = static_cast<std::uint32_t>(image.shape(0));
    picture.width = static_cast<std::uint32_t>(image.shape(1));
    picture.kind = color ? Kind::color : Kind::gray;
    if (color)
        picture.pixels = samples == 4 ? Pixels::rgba8 : Pixels::rgb8;
    else if (samples == 2)
        picture.pixels = bytes ? Pixels::gray_alpha8 : Pixels::gray_alpha16;
    else
        picture.pixels = bytes ? Pixels::gray8 : Pixels::gray16;
    picture.depth = bytes ? 8 : 16;
    return picture;
}

// A row of a strided array in the mapper's form; `spare` holds it where the array's own memory does not.
const std::uint8_t* array_row(const py::array& image, const Picture& picture, py::ssize_t y, std::uint8_t* spare) {
    const auto* row = static_cast<const std::uint8_t*>(image.data()) + y * image.strides(0);
    const py::ssize_t across = image.strides(1);
    const py::ssize_t deep = image.ndim() == 3 ? image.strides(2) : 1;
    const bool wide = picture.depth == 16;
    const auto size = static_cast<py::ssize_t>(stride_of(picture.pixels));
    if (!wide && across == size && deep == 1) return row;
    for (py::ssize_t x = 0; x < image.shape(1); ++x, spare += size) {
        if (wide) {
            for (py::ssize_t c = 0; c < size / 2; ++c) {
                std::uint16_t value;
                std::memcpy(&value, row + x * across + c * deep, 2);
                spare[2 * c] = static_cast<std::uint8_t>(value >> 8);
                spare[2 * c + 1] = static_cast<std::uint8_t>(value);
            }
        } else {
            for (py::ssize_t c = 0; c < size; ++c) spare[c] = row[x * across + c * deep];
        }
    }
    return spare - image.shape(1) * size;
}

py::tuple map_array(const py::array& image, const std::shared_ptr<Table>& table, const std::string& unknown,
                    std::optional<int> max_distance, const std::string& read, const std::string& transparent) {
    const Picture picture = picture_of(image);
    const Options options = make_options(unknown, max_distance, read, transparent, kUsualPixels);
    py::array_t<std::uint8_t> mask({image.shape(0), image.shape(1)});
    std::uint8_t* out = mask.mutable_data();
    Mapper mapper(*table, options);
    {
        const py::gil_scoped_release release;
        Buffer spare;
        const std::size_t stride = stride_of(picture.pixels);
        const std::size_t size = picture.width * stride;
        spare.resize(size);
        std::vector<std::uint8_t> differences(size);
        mapper.begin(picture);
        for (std::uint32_t y = 0; y < picture.height; ++y, out += picture.width) {
            subtract_left(array_row(image, picture, y, spare.data()), size, stride, differences.data());
            mapper.paint(mapper.row(differences.data()), out);
        }
    }
    const Report& report = mapper.report();
    return py::make_tuple(mask, counts_of(report), unknown_of(report), merged_of(report), report.clear);
}

void write_mask(const py::object& path, const py::array_t<std::uint8_t, py::array::c_style>& mask) {
    if (mask.ndim() != 2 || mask.size() == 0 || static_cast<std::uint64_t>(mask.size()) > kMostPixels)
        throw Error("mask: expected H x W uint8 with 1..2**30 pixels, got " + form_of(mask) + "; give one whole mask");
    const std::string destination = path_bytes(path);
    const auto height = static_cast<std::uint32_t>(mask.shape(0));
    const auto width = static_cast<std::uint32_t>(mask.shape(1));
    try {
        const py::gil_scoped_release release;
        MaskEncoder encoder;
        encoder.begin(width, height);
        for (std::size_t y = 0; y < height; ++y) encoder.row(mask.data() + y * width);
        write_atomically(destination, encoder.finish());
    } catch (const Error& error) {
        PyErr_SetString(PyExc_OSError, error.what());
        throw py::error_already_set();
    }
}

// For tests: the samples as stored (alpha dropped), and the palette or None.
py::tuple decode(const py::bytes& file, std::uint64_t max_pixels) {
    const auto content = static_cast<std::string_view>(file);
    PngReader reader;
    const Picture picture =
        reader.open({reinterpret_cast<const std::uint8_t*>(content.data()), content.size()}, max_pixels);
    const std::size_t stride = stride_of(picture.pixels);
    const std::size_t kept = picture.kind == Kind::color ? 3 : picture.depth == 16 ? 2 : 1;
    std::vector<std::uint8_t> samples;
    std::vector<std::uint8_t> line(picture.width * stride);
    for (std::uint32_t y = 0; y < picture.height; ++y) {
        std::memcpy(line.data(), reader.next(), line.size());
        unfilter(kSub, line.data(), nullptr, line.size(), stride);
        for (std::size_t at = 0; at < line.size(); at += stride)
            samples.insert(samples.end(), &line[at], &line[at] + kept);
    }
    std::vector<py::ssize_t> shape{picture.height, picture.width};
    if (picture.kind == Kind::color) shape.push_back(3);
    const py::dtype dtype(picture.kind == Kind::gray && picture.depth == 16 ? ">u2" : "u1");
    py::object palette = py::none();
    if (picture.kind == Kind::palette) {
        py::list colors;
        for (const std::uint32_t key : picture.palette)
            colors.append(py::make_tuple(key & 255, key >> 8 & 255, key >> 16));
        palette = colors;
    }
    return py::make_tuple(py::array(dtype, shape, samples.data()), palette);
}

}  // namespace
}  // namespace seg

PYBIND11_MODULE(_preproc, module) {
    using namespace seg;
    module.doc() = "Label files to masks; the C++ under seg.convert.";
    module.attr("inflate") = inflate_name();
    module.attr("temporary_prefix") = temporary_prefix();
    // Of this module alone: a global translator would also be asked about the exceptions of every other pybind11
    // module.
    py::register_local_exception_translator([](std::exception_ptr pointer) {
        try {
            if (pointer) std::rethrow_exception(pointer);
        } catch (const Error& error) {
            PyErr_SetString(PyExc_ValueError, error.what());
        }
    });
    py::class_<Table, std::shared_ptr<Table>>(module, "Table")
        .def(py::init(&make_table), py::arg("colors"), py::arg("values"));
    py::class_<PyResult>(module, "Result")
        .def_readonly("job", &PyResult::job)
        .def_property_readonly("status", [](const PyResult& self) { return status_name(self.result.status); })
        .def_property_readonly("reason", [](const PyResult& self) { return self.result.reason; })
        .def_property_readonly("size", [](const PyResult& self) { return self.result.stamp.size; })
        .def_property_readonly("mtime_ns", [](const PyResult& self) { return self.result.stamp.mtime_ns; })
        .def_property_readonly("crc", [](const PyResult& self) { return self.result.stamp.crc; })
        .def_property_readonly("width", [](const PyResult& self) { return self.result.width; })
        .def_property_readonly("height", [](const PyResult& self) { return self.result.height; })
        .def_property_readonly("orientation", [](const PyResult& self) { return self.result.orientation; })
        .def_property_readonly("counts", [](const PyResult& self) { return counts_of(self.result.report); })
        .def_property_readonly("clear", [](const PyResult& self) { return self.result.report.clear; })
        .def_property_readonly("merged", [](const PyResult& self) { return merged_of(self.result.report); })
        .def_property_readonly("unknown", [](const PyResult& self) { return unknown_of(self.result.report); });
    py::class_<Conversion>(module, "Conversion")
        .def("__iter__", [](py::object self) { return self; })
        .def("__next__", &Conversion::next)
        .def("close", &Conversion::close);
    module.def("convert_files", &convert_files, py::arg("jobs"), py::arg("table"), py::kw_only(),
               py::arg("unknown") = "error", py::arg("max_distance") = py::none(), py::arg("read") = "auto",
               py::arg("transparent") = "keep", py::arg("max_pixels") = kUsualPixels, py::arg("threads") = 1);
    module.def("map_file", &map_file, py::arg("path"), py::arg("table"), py::kw_only(), py::arg("unknown") = "error",
               py::arg("max_distance") = py::none(), py::arg("read") = "auto", py::arg("transparent") = "keep",
               py::arg("max_pixels") = kUsualPixels);
    module.def("map_array", &map_array, py::arg("image"), py::arg("table"), py::kw_only(), py::arg("unknown") = "error",
               py::arg("max_distance") = py::none(), py::arg("read") = "auto", py::arg("transparent") = "keep");
    module.def("write_mask", &write_mask, py::arg("path"), py::arg("mask"));
    module.def("decode", &decode, py::arg("file"), py::arg("max_pixels") = kUsualPixels);
}
