#include "huffman.h"

#include <algorithm>

namespace seg {
namespace {

using Frequencies = std::vector<std::uint32_t>;

// Code lengths of the optimal tree, of whatever depth; returns the depth. Two queues: the leaves by
// frequency, and the inner nodes, which come into being in that order by themselves.
unsigned tree_lengths(const Frequencies& frequencies, std::vector<Code>& codes) {
    std::vector<std::size_t> symbols;
    for (std::size_t i = 0; i < frequencies.size(); ++i)
        if (frequencies[i]) symbols.push_back(i);
    std::stable_sort(symbols.begin(), symbols.end(),
                     [&](std::size_t a, std::size_t b) { return frequencies[a] < frequencies[b]; });
    const std::size_t leaves = symbols.size();
    if (leaves == 1) codes[symbols[0]].length = 1;
    if (leaves < 2) return 1;

    std::vector<std::uint64_t> weight;
    for (const std::size_t symbol : symbols) weight.push_back(frequencies[symbol]);
    std::vector<std::size_t> parent(2 * leaves - 1);
    std::size_t leaf = 0;
    std::size_t inner = leaves;
    const auto lightest = [&] {
        if (leaf == leaves || (inner < weight.size() && weight[inner] < weight[leaf])) return inner++;
        return leaf++;
    };
    while (weight.size() < 2 * leaves - 1) {
        const std::size_t a = lightest();
        const std::size_t b = lightest();
        parent[a] = parent[b] = weight.size();
        weight.push_back(weight[a] + weight[b]);
    }
    std::vector<unsigned> depth(2 * leaves - 1);
    for (std::size_t node = 2 * leaves - 2; node-- > 0;) depth[node] = depth[parent[node]] + 1;
    for (std::size_t i = 0; i < leaves; ++i) codes[symbols[i]].length = static_cast<std::uint8_t>(depth[i]);
    return *std::max_element(depth.begin(), depth.begin() + static_cast<std::ptrdiff_t>(leaves));
}

std::uint16_t reversed(unsigned value, unsigned length) {
    unsigned result = 0;
    for (unsigned i = 0; i < length; ++i) result |= (value >> i & 1) << (length - 1 - i);
    return static_cast<std::uint16_t>(result);
}

// Canonical codes from the lengths: shorter first, then by symbol.
void assign(std::vector<Code>& codes, unsigned limit) {
    std::vector<unsigned> next(limit + 2);  // by length, the next code; first, how many are one bit shorter
    for (const Code& code : codes)
        if (code.length) ++next[code.length + 1];
    for (unsigned length = 1; length <= limit; ++length) next[length] = (next[length - 1] + next[length]) << 1;
    for (Code& code : codes)
        if (code.length) code.bits = reversed(next[code.length]++, code.length);
}

}  // namespace

std::vector<Code> huffman(Frequencies frequencies, unsigned limit) {
    std::vector<Code> codes(frequencies.size());
    // Too deep happens with very uneven frequencies only; flattening them costs little and stays simple.
    while (tree_lengths(frequencies, codes) > limit)
        for (std::uint32_t& frequency : frequencies) frequency = (frequency + 1) / 2;
    assign(codes, limit);
    return codes;
}

}  // namespace seg
