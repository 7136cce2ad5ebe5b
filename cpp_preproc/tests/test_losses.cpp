// The native losses without Python, for the sanitizers: every instruction set against plain loops, every corner of the
// memory. Values are proven in tests/losses/test_native.py and tests/losses/test_distance.py.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "losses.h"

namespace losses = seg::losses;

namespace {

int failures = 0;

void check(bool right, const char* what, const std::string& where) {
    if (right) return;
    ++failures;
    std::printf("%s: %s\n", where.c_str(), what);
}

const std::vector<losses::Row> kRows = {
    {losses::Kind::labelled, 1}, {losses::Kind::hit, 1},      {losses::Kind::minus_log, 1},
    {losses::Kind::focal, 2},    {losses::Kind::power, 0.3F}, {losses::Kind::predicted, 1},
    {losses::Kind::squares, 1},  {losses::Kind::spread, 1},   {losses::Kind::field, 1}};

struct Sample {
    std::int64_t images, classes, height, width;
    std::vector<float> logits, field;
    std::vector<std::int64_t> target;

    Sample(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w)
        : images(n), classes(c), height(h), width(w) {
        std::mt19937 random(7);
        std::normal_distribution<float> normal(0, 3);
        const auto size = static_cast<std::size_t>(n * c * h * w);
        for (std::size_t i = 0; i < size; ++i) logits.push_back(normal(random)), field.push_back(normal(random));
        for (std::int64_t i = 0; i < n * h * w; ++i) {
            const auto t = static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(c + 1));
            target.push_back(t < c ? t : 255);
        }
    }

    losses::Batch batch() const {
        losses::Batch found{};
        found.images = images, found.classes = classes, found.height = height, found.width = width;
        found.logits = logits.data(), found.field = field.data(), found.target = target.data();
        found.layout = found.field_layout = {classes * height * width, height * width, width, 1};
        found.rows = kRows.data(), found.count = static_cast<std::int64_t>(kRows.size());
        return found;
    }
};

// Probabilities, predicted and hit by the definition; enough to see that the right pixels were taken.
void compare(const Sample& sample, const std::vector<double>& sums, const std::string& where) {
    const std::int64_t plane = sample.height * sample.width;
    std::vector<double> hit(static_cast<std::size_t>(sample.images * sample.classes)), predicted(hit);
    for (std::int64_t n = 0; n < sample.images; ++n)
        for (std::int64_t i = 0; i < plane; ++i) {
            const std::int64_t t = sample.target[static_cast<std::size_t>(n * plane + i)];
            if (t == 255) continue;
            const auto at = [&](std::int64_t c) {
                return static_cast<std::size_t>((n * sample.classes + c) * plane + i);
            };
            double total = 0;
            for (std::int64_t c = 0; c < sample.classes; ++c)
                total += std::exp(static_cast<double>(sample.logits[at(c)]));
            for (std::int64_t c = 0; c < sample.classes; ++c) {
                const double p = std::exp(static_cast<double>(sample.logits[at(c)])) / total;
                const auto index = static_cast<std::size_t>(n * sample.classes + c);
                predicted[index] += p;
                if (c == t) hit[index] += p;
            }
        }
    const std::size_t size = hit.size();
    for (std::size_t i = 0; i < size; ++i) {
        check(std::abs(sums[1 * size + i] - hit[i]) <= 1e-5 * (1 + hit[i]), "hit", where);
        check(std::abs(sums[5 * size + i] - predicted[i]) <= 1e-5 * (1 + predicted[i]), "predicted", where);
    }
}

void test_softmax(const Sample& sample, const std::string& instructions) {
    const std::string where = instructions + " " + std::to_string(sample.classes) + "x" + std::to_string(sample.width);
    losses::Batch batch = sample.batch();
    const auto cells = static_cast<std::size_t>(sample.images * sample.classes);
    std::vector<double> one(kRows.size() * cells), three(one);
    check(losses::softmax_sums(batch, one.data(), 1, instructions), "in range", where);
    losses::softmax_sums(batch, three.data(), 3, instructions);
    check(one == three, "the same for any number of threads", where);
    compare(sample, one, where);
    const std::vector<float> slopes(one.size(), 0.5F);
    std::vector<float> gradient(sample.logits.size(), std::nanf(""));
    losses::softmax_gradient(batch, slopes.data(), gradient.data(), batch.layout, 0, 2, instructions);
    for (const float value : gradient) check(std::isfinite(value), "every gradient is written", where);

    std::vector<std::uint16_t> halves(sample.logits.size(), 0x3F80);
    std::vector<unsigned char> bytes(sample.target.begin(), sample.target.end());
    batch.logits = halves.data(), batch.half = true, batch.target = bytes.data(), batch.bytes = true;
    std::vector<std::uint16_t> narrow(halves.size());
    losses::softmax_sums(batch, one.data(), 2, instructions);
    losses::softmax_gradient(batch, slopes.data(), narrow.data(), batch.layout, 0, 2, instructions);

    // channels last, and a class out of range
    std::vector<std::int64_t> wrong = sample.target;
    if (!wrong.empty()) wrong.back() = sample.classes;
    batch = sample.batch();
    batch.target = wrong.data();
    batch.layout = {sample.classes * sample.height * sample.width, 1, sample.classes * sample.width, sample.classes};
    const bool right = losses::softmax_sums(batch, one.data(), 2, instructions);
    check(right == (wrong.empty() || sample.classes == 255), "out of range", where);
    losses::softmax_gradient(batch, slopes.data(), gradient.data(), batch.layout, 0, 2, instructions);
}

// The pixel's largest logit, its confusion and its error, by plain loops.
void test_counting(const Sample& sample, const std::string& instructions) {
    const std::string where = instructions + " counting " + std::to_string(sample.classes);
    const std::int64_t plane = sample.height * sample.width, classes = sample.classes;
    std::vector<std::uint8_t> prediction(sample.target.size());
    std::vector<std::int64_t> confusion(static_cast<std::size_t>(sample.images * classes * classes)),
        expected(confusion);
    std::vector<double> sure(static_cast<std::size_t>(sample.images * 15 * 3));
    check(losses::count(sample.batch(), prediction.data(), confusion.data(), 15, sure.data(), 3, instructions),
          "in range", where);
    double labelled = 0;
    for (std::int64_t pixel = 0; pixel < sample.images * plane; ++pixel) {
        const std::int64_t n = pixel / plane, t = sample.target[static_cast<std::size_t>(pixel)];
        const float* logits = sample.logits.data() + n * classes * plane + pixel % plane;
        std::int64_t best = 0;
        for (std::int64_t c = 1; c < classes; ++c)
            if (logits[c * plane] > logits[best * plane]) best = c;
        check(prediction[static_cast<std::size_t>(pixel)] == best, "prediction", where);
        if (t == 255) continue;
        ++expected[static_cast<std::size_t>((n * classes + t) * classes + best)];
        ++labelled;
    }
    check(confusion == expected, "confusion", where);
    for (std::size_t i = 0; i < sure.size(); i += 3) labelled -= sure[i];
    check(labelled == 0, "every labelled pixel is in a bin", where);
}

void test_sorting(const Sample& sample, const std::string& instructions) {
    const std::string where = instructions + " sorting " + std::to_string(sample.classes);
    const auto pixels = static_cast<std::size_t>(sample.images * sample.height * sample.width);
    std::vector<float> values(pixels, std::nanf(""));
    check(losses::softmax_minus_logs(sample.batch(), values.data(), 3, instructions), "in range", where);
    for (std::size_t i = 0; i < pixels; ++i)
        check(sample.target[i] == 255 ? values[i] == -1 : values[i] >= 0, "minus logs", where);
    for (const bool together : {true, false}) {
        const auto rows = static_cast<std::size_t>(sample.classes * (together ? 1 : sample.images));
        std::vector<float> slopes(sample.logits.size(), std::nanf("")), again(slopes);
        std::vector<double> loss(rows, -1), same(rows);
        std::vector<std::int64_t> labelled(rows);
        losses::lovasz(sample.batch(), together, slopes.data(), loss.data(), labelled.data(), 1, instructions);
        losses::lovasz(sample.batch(), together, again.data(), same.data(), labelled.data(), 3, instructions);
        check(loss == same && slopes == again, "the same for any number of threads", where);
        for (const double value : loss) check(value >= 0 && value <= 1.000001, "a loss in 0..1", where);
    }
}

void test_distances(const Sample& sample, const std::string& instructions) {
    const std::string where =
        instructions + " distances " + std::to_string(sample.height) + "x" + std::to_string(sample.width);
    std::vector<float> maps(sample.logits.size());
    const std::vector<unsigned char> wanted(static_cast<std::size_t>(sample.classes), 1);
    losses::signed_distances(sample.target.data(), false, sample.images, sample.height, sample.width, wanted,
                             maps.data(), 2, instructions);
    const std::int64_t plane = sample.height * sample.width;
    for (std::int64_t n = 0; n < sample.images; ++n)
        for (std::int64_t i = 0; i < plane; ++i)
            for (std::int64_t c = 0; c < sample.classes; ++c) {
                const std::int64_t t = sample.target[static_cast<std::size_t>(n * plane + i)];
                const float found = maps[static_cast<std::size_t>((n * sample.classes + c) * plane + i)];
                check(t == 255 ? found == 0 : t == c ? found <= 0 : found >= 1 || found == 0, "sign", where);
            }
}

}  // namespace

int main() {
    for (const std::string& instructions : losses::instruction_sets())
        for (const std::int64_t classes : {1, 2, 19, 150})
            for (const auto& [height, width] :
                 {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 5}, {1, 700}, {40, 1}, {9, 33}, {0, 4}, {4, 0}}) {
                const Sample sample(2, classes, height, width);
                test_softmax(sample, instructions);
                test_counting(sample, instructions);
                test_sorting(sample, instructions);
                test_distances(sample, instructions);
            }
    const Sample wide(1, 3, 2, 9000);  // squared distances beyond float
    for (const std::string& instructions : losses::instruction_sets()) test_distances(wide, instructions);
    std::printf("%s\n", failures ? "failed" : "all right");
    return failures ? 1 : 0;
}
