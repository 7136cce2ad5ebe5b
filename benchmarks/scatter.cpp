// How often verdicts are false, and what they find: seg.compare once more, fast, for simulations of many comparisons.
//
// scatter LEVELS FIRST MOST ROUNDS TRUTH SIZE SEED ROPE SPREAD DEVIATION ...
//   < for each look, after FIRST seeds to MOST: "share careful number", and so many lines of "multiple probability"
//
// Levels get a seed at a time. Those whose pairs are settled, or would hardly be by MOST, get no more, as in
// seg.compare.rounds; where FIRST is MOST all get as many, and from 10 on each pair is judged by itself. TRUTH is where
// levels are: "one" (the last one is apart by SIZE), "halves" (the second half is), "ladder" (each is from the one
// before). Their scores deviate by DEVIATION, 1 where none is given, times a log-normal factor of SPREAD. Prints how
// many comparisons had a false verdict, the share of the differing pairs that were found, and the mean number of seeds.
// Its p values are those of all possible scatters, which the toolkit replaces by a t distribution fitted to them;
// samplers differ too.
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

// What Student's t with n degrees of freedom exceeds x with, after Peizer and Pratt (1968) from 3 degrees on.
static double beyond(double x, double n) {
    if (n == 1) return 0.5 - std::atan(x) / M_PI;
    if (n == 2) return 0.5 - x / (2 * std::sqrt(2 + x * x));
    const double z = (n - 2.0 / 3 + 0.1 / n) * std::sqrt(std::log1p(x * x / n) / (n - 5.0 / 6));
    return 0.5 * std::erfc((x < 0 ? -z : z) / std::sqrt(2.0));
}

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

struct Look {
    double share, careful;
    Numbers multiples, chances;
};

struct Design {
    int levels, first, most;
    double rope;
    Numbers steps;
    std::vector<Look> looks;
    const Look& look(int seeds) const { return looks[seeds - first]; }
    const Look& last() const { return looks.back(); }
};

// What may be the variance of each level: possibilities, each with these degrees of freedom.
struct Scatter {
    Table variances;
    double degrees = 0;
};

// The contrasts of each level's seeds (Helmert), without the level; a level may have fewer.
static Table contrasts_of(const Table& scores) {
    Table found;
    for (const Numbers& own : scores) {
        Numbers row;
        double sum = own[0];
        for (size_t t = 1; t < own.size(); sum += own[t++])
            row.push_back((own[t] - sum / t) * std::sqrt(t / (t + 1.0)));
        found.push_back(row);
    }
    return found;
}

// What is left of the contrasts beside what a seed does to all levels, which is drawn anew on the way.
static double rest_of(const Table& moved, const Numbers& weights, double common, Numbers& shared) {
    double rest = 0;
    for (size_t t = 0; t < shared.size(); t++) {
        double precision = 0, sum = 0, squares = 0;
        for (size_t i = 0; i < moved.size(); i++)
            if (t < moved[i].size()) {
                precision += weights[i];
                sum += weights[i] * moved[i][t];
                squares += weights[i] * moved[i][t] * moved[i][t];
            }
        rest += squares - sum * sum / precision;
        shared[t] = sum / precision + normal() * std::sqrt(common / precision);
    }
    return rest;
}

// Gibbs sampling of the levels' variances.
static Scatter scatter_of(const Table& scores, const Look& prior) {
    const int kept = 200, forgotten = 30, levels = scores.size(), choices = prior.chances.size();
    const Table moved = contrasts_of(scores);
    size_t columns = 0, all = 0;
    for (const Numbers& own : moved) columns = std::max(columns, own.size()), all += own.size();
    Numbers shared(columns), left(levels), weights(levels, 1.0), sums(choices), square(choices), logs(choices);
    for (int k = 0; k < choices; k++)
        square[k] = std::pow(prior.multiples[k], 2), logs[k] = std::log(prior.multiples[k]);
    auto measure = [&] {
        for (int i = 0; i < levels; i++) {
            left[i] = 0;
            for (size_t t = 0; t < moved[i].size(); t++) left[i] += std::pow(moved[i][t] - shared[t], 2);
        }
    };
    Scatter found;
    found.degrees = static_cast<double>(all) - columns;
    double common = rest_of(moved, weights, 0, shared) / found.degrees;
    measure();
    for (int step = 0; step < forgotten + kept; step++) {
        double total = 0;
        for (int i = 0; i < levels; i++) {
            double sum = 0, half = left[i] / (2 * common), own = moved[i].size();
            for (int k = 0; k < choices; k++)
                sums[k] = sum += prior.chances[k] * std::exp(half / square.back() - half / square[k] - own * logs[k]);
            const int chosen = std::lower_bound(sums.begin(), sums.end() - 1, uniform() * sum) - sums.begin();
            weights[i] = 1 / square[chosen];
            total += left[i] * weights[i];
        }
        common = total / 2 / gamma_of(all / 2.0);
        const double rest = rest_of(moved, weights, common, shared);
        measure();
        if (step < forgotten) continue;
        Numbers variances;
        for (double weight : weights) variances.push_back(rest / found.degrees / weight);
        found.variances.push_back(variances);
    }
    return found;
}

struct Pair {
    int number, a, b;
    double p = 1, difference = 0, variance = 0;
    int claim = 0;  // 1: a is better, -1: worse, 0: equivalent
    int seeds = 0;
};

// The claim that a difference speaks for most, and its p, were it made of so many seeds; by each STEP-th possibility.
static void claim(Pair& pair, double difference, double seeds, const Scatter& known, double rope, size_t step = 1) {
    double better = 0, worse = 0, above = 0, below = 0, all = 0;
    for (size_t k = 0; k < known.variances.size(); k += step, all++) {
        const Numbers& variances = known.variances[k];
        const double both = variances.size() == 1 ? variances[0] : variances[pair.a] + variances[pair.b];
        const double error = std::sqrt(both / seeds);
        better += beyond((difference - rope) / error, known.degrees);
        worse += beyond((-difference - rope) / error, known.degrees);
        if (rope > 0) {
            above += beyond((rope - difference) / error, known.degrees);
            below += beyond((rope + difference) / error, known.degrees);
        }
    }
    const double equal = rope > 0 ? std::max(above, below) : all;
    pair.p = 2 * std::min({better, worse, equal}) / all;
    pair.claim = equal < std::min(better, worse) ? 0 : better < worse ? 1 : -1;
}

// Two levels have only themselves to learn from.
static Scatter own_scatter(const Pair& pair, const Table& scores) {
    double squares = 0;
    for (int t = 0; t < pair.seeds; t++)
        squares += std::pow(scores[pair.a][t] - scores[pair.b][t] - pair.difference, 2);
    return {{{squares / (pair.seeds - 1)}}, pair.seeds - 1.0};
}

// Whether more seeds may well settle a pair, see seg.compare.rounds.may_settle.
static bool may_settle(Pair pair, Scatter known, const Design& design) {
    if (pair.seeds >= design.most) return false;
    known.degrees *= (design.most - 1.0) / (pair.seeds - 1);
    Numbers variances;
    for (const Numbers& each : known.variances)
        variances.push_back(each.size() == 1 ? each[0] : each[pair.a] + each[pair.b]);
    std::nth_element(variances.begin(), variances.begin() + variances.size() / 2, variances.end());
    const double reach = 2 * std::sqrt(variances[variances.size() / 2] * (1.0 / pair.seeds - 1.0 / design.most));
    const double bound = 0.05 * design.last().careful * design.last().share, difference = pair.difference;
    for (double moved : {difference - reach, difference + reach, std::fabs(difference) < reach ? 0.0 : difference}) {
        claim(pair, moved, design.most, known, design.rope, 3);
        if (pair.p < bound) return true;
    }
    return false;
}

struct Found {
    bool wrong = false;
    int right = 0;
    double seeds = 0;
};

// A comparison from its first seed to its last.
static Found compare(const Design& design, const Numbers& truth, const Numbers& deviations) {
    const int levels = design.levels;
    Found found;
    Table scores(levels);
    std::vector<bool> going(levels, true), settled(design.steps.size());
    int claims = 0;
    for (int seeds = 1; seeds <= design.most && std::count(going.begin(), going.end(), true); seeds++) {
        const double shared = 2 * normal();
        for (int i = 0; i < levels; i++)
            if (going[i]) scores[i].push_back(truth[i] + shared + deviations[i] * normal()), found.seeds++;
        if (seeds < design.first) continue;
        const Look& look = design.look(seeds);
        const bool alone = levels == 2 || (design.first == design.most && seeds >= 10);
        const Scatter all = alone ? Scatter() : scatter_of(scores, look);
        std::vector<Pair> open;
        for (int a = 0, number = 0; a < levels; a++)
            for (int b = a + 1; b < levels; b++, number++) {
                if (settled[number] || !going[a] || !going[b]) continue;
                Pair pair{number, a, b};
                pair.seeds = seeds;
                for (int t = 0; t < seeds; t++) pair.difference += (scores[a][t] - scores[b][t]) / seeds;
                claim(pair, pair.difference, seeds, alone ? own_scatter(pair, scores) : all, design.rope);
                open.push_back(pair);
            }
        std::sort(open.begin(), open.end(), [](const Pair& x, const Pair& y) { return x.p < y.p; });
        std::vector<bool> wanted(levels);
        bool claiming = true;
        for (const Pair& pair : open) {
            claiming = claiming && pair.p * design.steps[claims] < 0.05 * look.careful * look.share;
            if (claiming) {
                const double apart = truth[pair.a] - truth[pair.b];
                const bool right = pair.claim ? pair.claim * apart > design.rope : std::fabs(apart) <= design.rope;
                settled[pair.number] = true;
                claims++;
                found.wrong = found.wrong || !right;
                found.right += right && apart != 0;
            } else if (may_settle(pair, alone ? own_scatter(pair, scores) : all, design)) {
                wanted[pair.a] = wanted[pair.b] = true;
            }
        }
        for (int i = 0; i < levels; i++) going[i] = going[i] && wanted[i];
    }
    return found;
}

static Design read_design(char** words) {
    Design design{std::atoi(words[1]), std::atoi(words[2]), std::atoi(words[3]), std::atof(words[8]), {}, {}};
    design.steps = steps_of(design.levels);
    Look look;
    for (int number; std::scanf("%lf %lf %d", &look.share, &look.careful, &number) == 3; design.looks.push_back(look)) {
        look.multiples.assign(number, 1);
        look.chances.assign(number, 0);
        for (int k = 0; k < number; k++)
            if (std::scanf("%lf %lf", &look.multiples[k], &look.chances[k]) != 2) std::exit(2);
    }
    return design;
}

int main(int count, char** words) {
    if (count < 10) return std::fprintf(stderr, "expected 9 words at least; see the head of scatter.cpp\n"), 2;
    const Design design = read_design(words);
    const int levels = design.levels, rounds = std::atoi(words[4]);
    if (static_cast<int>(design.looks.size()) != design.most - design.first + 1) return 2;
    const std::string where = words[5];
    const double size = std::atof(words[6]), spread = std::atof(words[9]);
    source.seed(std::atoi(words[7]));
    Numbers given(levels, 1.0), truth(levels);
    for (int i = 10; i < count && i - 10 < levels; i++) given[i - 10] = std::atof(words[i]);
    for (int i = 0; i < levels; i++)
        truth[i] = size * (where == "ladder" ? i : where == "one" ? i == levels - 1 : i >= levels / 2);
    double differing = 0, right = 0, seeds = 0;
    for (int i = 0; i < levels; i++)
        for (int j = i + 1; j < levels; j++) differing += truth[i] != truth[j];
    int wrong = 0;
    for (int round = 0; round < rounds; round++) {
        Numbers deviations = given;
        if (spread > 0)
            for (double& each : deviations) each *= std::exp(spread * normal());
        const Found found = compare(design, truth, deviations);
        wrong += found.wrong;
        right += found.right;
        seeds += found.seeds / levels;
    }
    std::printf("%d %.6f %.4f\n", wrong, right / std::max(differing * rounds, 1.0), seeds / rounds);
}
