// The Python face of the native losses: arrays in, arrays out. Shapes and types are checked here, once.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "losses.h"

namespace py = pybind11;

namespace seg::losses {
namespace {

void demand(bool right, const char* expected, const std::string& got, const char* todo) {
    if (!right) throw std::invalid_argument(std::string(expected) + ", got " + got + "; " + todo);
}

// The same of an array, which is described only where it is wrong: these checks are made at every step of a training.
void demand(bool right, const char* expected, const py::array& got, const char* todo) {
    if (right) return;
    const char* order = got.flags() & py::array::c_style ? "" : ", not contiguous";
    const char* access = got.writeable() ? "" : ", read-only";
    const std::string form = py::str("{} of shape {}{}{}").format(got.dtype(), got.attr("shape"), order, access);
    demand(false, expected, form, todo);
}

// NumPy has one object for each plain type; a big-endian float is another one, and refused like any other type.
bool is_half(const py::array& array) { return array.dtype().is(py::dtype::of<std::uint16_t>()); }

bool is_bytes(const py::array& target) {
    const bool bytes = target.dtype().is(py::dtype::of<std::uint8_t>());
    demand(bytes || target.dtype().is(py::dtype::of<std::int64_t>()), "target: expected uint8 or int64", target,
           "convert it");
    demand((target.flags() & py::array::c_style) != 0, "target: expected a contiguous array", target, "copy it");
    return bytes;
}

// Strides in elements. Rows that follow each other without a gap are one long row: `flat` says that all arrays have
// such rows.
Layout layout_of(const py::array& array, bool flat) {
    const auto step = [&](int axis) { return array.strides(axis) / array.itemsize(); };
    return {step(0), step(1), flat ? 0 : step(2), array.shape(3) == 1 && flat ? step(2) : step(3)};
}

bool has_flat_rows(const py::array& array) {
    return array.shape(2) == 1 || array.shape(3) == 1 || array.strides(2) == array.shape(3) * array.strides(3);
}

void check_like(const py::array& array, const py::array& logits, const char* expected) {
    bool alike = array.ndim() == 4;
    for (int axis = 0; alike && axis < 4; ++axis) alike = array.shape(axis) == logits.shape(axis);
    demand(alike, expected, array, "make it like the logits");
}

// What is read in every layout below is checked before that.
void check_axes(const py::array& logits) {
    demand(logits.ndim() == 4, "logits: expected (N, C, H, W)", logits, "give a batch of scores");
}

std::vector<Row> rows_of(const std::vector<std::pair<int, float>>& wanted) {
    std::vector<Row> rows;
    for (const auto& [kind, exponent] : wanted) {
        demand(kind >= 0 && kind < kKinds, "rows: expected kinds of seg.losses.sums.KINDS", std::to_string(kind),
               "number them in that order");
        rows.push_back({static_cast<Kind>(kind), exponent});
    }
    return rows;
}

using Field = std::optional<py::array_t<float>>;

// `other`: another array whose layout must be walked in step, or the logits again.
Batch batch_of(const py::array& logits, const py::array& target, const std::vector<Row>& rows, const Field& field,
               bool flat) {
    demand(is_half(logits) || logits.dtype().is(py::dtype::of<float>()),
           "logits: expected float32, or bfloat16 bits as uint16", logits, "convert them");
    check_axes(logits);
    demand(logits.shape(1) > 0, "logits: expected at least one class", logits, "give (N, C, H, W) with C > 0");
    demand(target.ndim() == 3 && target.shape(0) == logits.shape(0) && target.shape(1) == logits.shape(2) &&
               target.shape(2) == logits.shape(3),
           "target: expected (N, H, W) of the logits", target, "give a class for each pixel");
    Batch batch{};
    batch.images = logits.shape(0);
    batch.classes = logits.shape(1);
    batch.height = flat ? 1 : logits.shape(2);
    batch.width = flat ? logits.shape(2) * logits.shape(3) : logits.shape(3);
    batch.logits = logits.data();
    batch.layout = layout_of(logits, flat);
    batch.half = is_half(logits);
    batch.target = target.data();
    batch.bytes = is_bytes(target);
    batch.rows = rows.data();
    batch.count = static_cast<std::int64_t>(rows.size());
    if (field) {
        batch.field = field->data();
        batch.field_layout = layout_of(*field, flat);
    }
    for (const Row& row : rows)
        demand(row.kind != Kind::field || field, "field: expected an array for a row of kind field", "none", "give it");
    return batch;
}

using Wanted = std::vector<std::pair<int, float>>;

std::pair<py::array_t<double>, bool> sums(const py::array& logits, const py::array& target, const Wanted& wanted,
                                          const Field& field, std::int64_t threads, const std::string& instructions) {
    const std::vector<Row> rows = rows_of(wanted);
    check_axes(logits);
    if (field) check_like(*field, logits, "field: expected the shape of logits");
    const bool flat = has_flat_rows(logits) && (!field || has_flat_rows(*field));
    const Batch batch = batch_of(logits, target, rows, field, flat);
    py::array_t<double> found({batch.count, batch.images, batch.classes});
    std::fill(found.mutable_data(), found.mutable_data() + found.size(), 0.0);
    bool right = false;
    {
        double* to = found.mutable_data();
        const py::gil_scoped_release free;
        right = softmax_sums(batch, to, threads, instructions);
    }
    return {std::move(found), right};
}

void gradient(const py::array& logits, const py::array& target, const Wanted& wanted,
              const py::array_t<float, py::array::c_style>& coefficients, py::array& found, const Field& field,
              std::int64_t threads, const std::string& instructions) {
    const std::vector<Row> rows = rows_of(wanted);
    check_axes(logits);
    if (field) check_like(*field, logits, "field: expected the shape of logits");
    check_like(found, logits, "gradient: expected the shape of logits");
    demand(found.dtype().is(logits.dtype()) && found.writeable(),
           "gradient: expected a writeable array of logits' type", found, "make it like the logits");
    const bool flat = has_flat_rows(logits) && has_flat_rows(found) && (!field || has_flat_rows(*field));
    const Batch batch = batch_of(logits, target, rows, field, flat);
    demand(coefficients.ndim() == 3 && coefficients.shape(0) == batch.count && coefficients.shape(1) == batch.images &&
               coefficients.shape(2) == batch.classes,
           "coefficients: expected (rows, N, C)", coefficients, "give one for each sum");
    const float* from = coefficients.data();
    void* to = found.mutable_data();
    const Layout layout = layout_of(found, flat);
    // all of it lies together if the farthest element is the last one
    std::int64_t reach = 1;
    for (int axis = 0; axis < 4; ++axis) reach += (found.shape(axis) - 1) * (found.strides(axis) / found.itemsize());
    const std::int64_t bytes = reach == found.size() ? found.nbytes() : 0;
    const py::gil_scoped_release free;
    softmax_gradient(batch, from, to, layout, bytes, threads, instructions);
}

void check_output(const py::array& array, bool right, const char* expected, const char* todo) {
    demand(right && (array.flags() & py::array::c_style) != 0 && array.writeable(), expected, array, todo);
}

bool minus_logs(const py::array& logits, const py::array& target, py::array_t<float>& values, std::int64_t threads,
                const std::string& instructions) {
    check_axes(logits);
    const Batch batch = batch_of(logits, target, {}, std::nullopt, has_flat_rows(logits));
    check_output(values, values.size() == target.size(), "values: expected contiguous numbers like the target's",
                 "make them with numpy.empty");
    float* to = values.mutable_data();
    const py::gil_scoped_release free;
    return softmax_minus_logs(batch, to, threads, instructions);
}

py::tuple lovasz_rows(const py::array& logits, const py::array& target, bool together, py::array_t<float>& slopes,
                      std::int64_t threads, const std::string& instructions) {
    check_axes(logits);
    const Batch batch = batch_of(logits, target, {}, std::nullopt, has_flat_rows(logits));
    check_output(slopes, slopes.size() == logits.size(), "slopes: expected a contiguous array (C, N, H, W)",
                 "make it with numpy.empty");
    demand(target.size() < std::int64_t{1} << 31, "target: expected fewer than 2^31 pixels",
           std::to_string(target.size()), "use smaller batches");
    const std::vector<std::int64_t> shape = {batch.classes, together ? 1 : batch.images};
    py::array_t<double> values(shape);
    py::array_t<std::int64_t> labelled(shape);
    bool right = false;
    {
        float* to = slopes.mutable_data();
        double* of_rows = values.mutable_data();
        std::int64_t* counts = labelled.mutable_data();
        const py::gil_scoped_release free;
        right = lovasz(batch, together, to, of_rows, counts, threads, instructions);
    }
    return py::make_tuple(std::move(values), std::move(labelled), right);
}

py::tuple counted(const py::array& logits, const py::array& target, std::int64_t bins, std::int64_t threads,
                  const std::string& instructions) {
    check_axes(logits);
    demand(logits.shape(1) <= 256, "logits: expected at most 256 classes", logits, "merge classes");
    demand(bins >= 0, "bins: expected a number >= 0", std::to_string(bins), "give how many bins you want");
    const Batch batch = batch_of(logits, target, {}, std::nullopt, has_flat_rows(logits));
    py::array_t<std::uint8_t> prediction({target.shape(0), target.shape(1), target.shape(2)});
    py::array_t<std::int64_t> confusion({batch.images, batch.classes, batch.classes});
    py::array_t<double> sure({batch.images, bins, std::int64_t{3}});
    std::fill(confusion.mutable_data(), confusion.mutable_data() + confusion.size(), 0);
    std::fill(sure.mutable_data(), sure.mutable_data() + sure.size(), 0.0);
    bool right = false;
    {
        std::uint8_t* classes = prediction.mutable_data();
        std::int64_t* pairs = confusion.mutable_data();
        double* table = sure.mutable_data();
        const py::gil_scoped_release free;
        right = count(batch, classes, pairs, bins, table, threads, instructions);
    }
    return py::make_tuple(std::move(prediction), std::move(confusion), std::move(sure), right);
}

void distances(const py::array& target, const std::vector<std::int64_t>& classes, py::array_t<float>& maps,
               std::int64_t threads, const std::string& instructions) {
    demand(target.ndim() == 3 && maps.ndim() == 4 && maps.shape(0) == target.shape(0) &&
               maps.shape(2) == target.shape(1) && maps.shape(3) == target.shape(2),
           "maps: expected (N, C, H, W) for a target (N, H, W)", maps, "give maps of the target's size");
    demand((maps.flags() & py::array::c_style) != 0 && maps.writeable(), "maps: expected a contiguous array to write",
           maps, "make it with numpy.zeros");
    std::vector<unsigned char> wanted(static_cast<std::size_t>(maps.shape(1)));
    for (const std::int64_t index : classes) {
        demand(index >= 0 && index < maps.shape(1), "classes: expected indices of maps (N, C, H, W)",
               std::to_string(index), "number classes from 0 to C - 1");
        wanted[static_cast<std::size_t>(index)] = 1;
    }
    const bool bytes = is_bytes(target);
    const void* from = target.data();
    float* to = maps.mutable_data();
    const py::gil_scoped_release free;
    signed_distances(from, bytes, target.shape(0), target.shape(1), target.shape(2), wanted, to, threads, instructions);
}

}  // namespace
}  // namespace seg::losses

PYBIND11_MODULE(_losses, module) {
    using namespace py::literals;
    module.doc() = "Losses that read the logits twice, distance maps, counts. Used by seg.losses and seg.metrics.";
    module.attr("instruction_sets") = py::tuple(py::cast(seg::losses::instruction_sets()));
    module.def("sums", &seg::losses::sums, "logits"_a, "target"_a, "rows"_a, "field"_a = py::none(), py::kw_only(),
               "threads"_a = 1, "instructions"_a = "",
               "Sums (rows, N, C) of the labelled pixels, and whether every class is in range.");
    module.def("gradient", &seg::losses::gradient, "logits"_a, "target"_a, "rows"_a, "coefficients"_a, "gradient"_a,
               "field"_a = py::none(), py::kw_only(), "threads"_a = 1, "instructions"_a = "",
               "Write the gradient of the logits, given that with respect to each sum.");
    module.def("minus_logs", &seg::losses::minus_logs, "logits"_a, "target"_a, "values"_a, py::kw_only(),
               "threads"_a = 1, "instructions"_a = "", "Write -ln p_t of each pixel; whether every class is in range.");
    module.def("lovasz", &seg::losses::lovasz_rows, "logits"_a, "target"_a, "together"_a, "slopes"_a, py::kw_only(),
               "threads"_a = 1, "instructions"_a = "",
               "Write the slopes (C, N, H, W); values and labelled pixels (C, 1 or N), whether every class is in "
               "range.");
    module.def("count", &seg::losses::counted, "logits"_a, "target"_a, "bins"_a = 0, py::kw_only(), "threads"_a = 1,
               "instructions"_a = "",
               "Prediction, confusion matrices, bins of confidence, and whether every class is in range.");
    module.def("signed_distances", &seg::losses::distances, "target"_a, "classes"_a, "maps"_a, py::kw_only(),
               "threads"_a = 1, "instructions"_a = "",
               "Write the maps (N, C, H, W), zeros before, of the given classes.");
}
