// How often verdicts are false where levels scatter differently: seg.compare.scatter once more, fast, for simulations.
//
// scatter LEVELS SEEDS ROUNDS TRUTH SIZE SEED CAREFUL DEVIATION ...  < lines of "multiple probability"
//
// Prints how many comparisons had a false verdict, and the share of the differing pairs that were found. TRUTH is "one"
// (the last level is apart by SIZE) or "halves" (the second half is). Deviations not given are 1. Its p values are the
// posterior means themselves, which the toolkit replaces by a t distribution fitted to them; samplers differ too.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <vector>

using Numbers = std::vector<double>;
using Table = std::vector<Numbers>;

static std::mt19937_64 source;
static double uniform() { return static_cast<double>(source() >> 11) * 0x1.0p-53; }
static double normal() {
    static std::normal_distribution<double> distribution;
    return distribution(source);
}
static double gamma_of(double shape) { return std::gamma_distribution<double>(shape, 1.0)(source); }

// How many pairs may still be equal after 0, 1, 2 ... rejections (Shaffer 1986).
static Numbers steps_of(int levels) {
    std::vector<std::set<int>> counts(levels + 1);
    counts[0] = {0};
    for (int n = 1; n <= levels; n++)
        for (int group = 1; group <= n; group++)
            for (int others : counts[n - group]) counts[n].insert(group * (group - 1) / 2 + others);
    Numbers steps;
    for (int left = levels * (levels - 1) / 2; left > 0; left--)
        steps.push_back(*std::prev(counts[levels].upper_bound(left)));
    return steps;
}

struct Prior {
    Numbers multiples, shares;
};

// p values of all pairs: the mean over the possible scatters of what a normal difference exceeds (Gibbs sampling).
static Numbers p_values(const Table& scores, const Prior& prior) {
    const int levels = scores.size(), seeds = scores[0].size(), kept = 160, forgotten = 30,
              choices = prior.shares.size();
    Table moved = scores;
    Numbers means(levels), shared(seeds), left(levels), weights(levels), sums(choices), factor(choices);
    for (int i = 0; i < levels; i++) {
        for (double value : scores[i]) means[i] += value / seeds;
        for (double& value : moved[i]) value -= means[i];
        for (int s = 0; s < seeds; s++) shared[s] += moved[i][s] / levels;
    }
    for (int k = 0; k < choices; k++) factor[k] = prior.shares[k] * std::pow(prior.multiples[k], 1 - seeds);
    auto measure = [&] {
        for (int i = 0; i < levels; i++) {
            left[i] = 0;
            for (int s = 0; s < seeds; s++) left[i] += std::pow(moved[i][s] - shared[s], 2);
        }
    };
    measure();
    Numbers sorted = left, found(levels * (levels - 1) / 2);
    std::sort(sorted.begin(), sorted.end());
    double common = sorted[levels / 2] / (seeds - 1);
    for (int step = 0; step < forgotten + kept; step++) {
        double total = 0, precision = 0;
        for (int i = 0; i < levels; i++) {
            double sum = 0, half = left[i] / (2 * common), widest = std::pow(prior.multiples.back(), 2);
            for (int k = 0; k < choices; k++) {
                double square = std::pow(prior.multiples[k], 2);
                sums[k] = sum += factor[k] * std::exp(half / widest - half / square);
            }
            int chosen = std::lower_bound(sums.begin(), sums.end() - 1, uniform() * sum) - sums.begin();
            weights[i] = 1 / std::pow(prior.multiples[chosen], 2);
            total += left[i] * weights[i];
        }
        common = total / 2 / gamma_of(levels * (seeds - 1) / 2.0);
        for (double weight : weights) precision += weight / common;
        Numbers noise(seeds);
        double middle = 0;
        for (double& value : noise) middle += (value = normal()) / seeds;
        for (int s = 0; s < seeds; s++) {
            shared[s] = (noise[s] - middle) / std::sqrt(precision);
            for (int i = 0; i < levels; i++) shared[s] += moved[i][s] * weights[i] / common / precision;
        }
        measure();
        for (int i = 0, pair = 0; step >= forgotten && i < levels; i++)
            for (int j = i + 1; j < levels; j++, pair++) {
                double variance = common * (1 / weights[i] + 1 / weights[j]) / seeds;
                found[pair] += std::erfc(std::fabs(means[i] - means[j]) / std::sqrt(2 * variance)) / kept;
            }
    }
    return found;
}

int main(int count, char** words) {
    if (count < 8) return std::fprintf(stderr, "expected 7 words at least; see the head of scatter.cpp\n"), 2;
    const int levels = std::atoi(words[1]), seeds = std::atoi(words[2]), rounds = std::atoi(words[3]);
    const bool one = std::string(words[4]) == "one";
    const double size = std::atof(words[5]), bound = 0.05 * std::atof(words[7]);
    source.seed(std::atoi(words[6]));
    Numbers deviations(levels, 1.0), truth(levels), steps = steps_of(levels);
    for (int i = 8; i < count && i - 8 < levels; i++) deviations[i - 8] = std::atof(words[i]);
    for (int i = 0; i < levels; i++) truth[i] = i >= (one ? levels - 1 : levels / 2) ? size : 0;
    Prior prior;
    for (double multiple, share; std::scanf("%lf %lf", &multiple, &share) == 2;) {
        prior.multiples.push_back(multiple);
        prior.shares.push_back(share);
    }
    int wrong = 0;
    double right = 0, differing = 0;
    for (int round = 0; round < rounds; round++) {
        Table scores(levels, Numbers(seeds));
        Numbers means(levels);
        for (int s = 0; s < seeds; s++) {
            const double shared = 2 * normal();
            for (int i = 0; i < levels; i++) {
                scores[i][s] = truth[i] + shared + deviations[i] * normal();
                means[i] += scores[i][s] / seeds;
            }
        }
        const Numbers p = p_values(scores, prior);
        std::vector<int> order(p.size());
        for (size_t i = 0; i < p.size(); i++) order[i] = i;
        std::sort(order.begin(), order.end(), [&](int a, int b) { return p[a] < p[b]; });
        std::vector<bool> claimed(p.size());
        for (size_t i = 0; i < p.size() && p[order[i]] * steps[i] < bound; i++) claimed[order[i]] = true;
        bool any = false;
        for (int i = 0, pair = 0; i < levels; i++)
            for (int j = i + 1; j < levels; j++, pair++) {
                const bool good = truth[i] != truth[j] && (means[i] < means[j]) == (truth[i] < truth[j]);
                any = any || (claimed[pair] && !good);
                differing += truth[i] != truth[j];
                right += claimed[pair] && good;
            }
        wrong += any;
    }
    std::printf("%d %.6f\n", wrong, right / std::max(differing, 1.0));
}
