#include "deflate.h"

namespace seg {
namespace {

constexpr std::size_t kBlockRuns = std::size_t{1} << 18;   // 2 MB: a street scene fits, a noisy image stays flat
constexpr std::size_t kLongestRun = std::size_t{1} << 20;  // with kAdlerOpen: sums of Adler-32 stay below 2^52
constexpr std::size_t kAdlerOpen = std::size_t{1} << 20;
constexpr std::uint64_t kAdlerBase = 65521;
constexpr std::size_t kEndOfBlock = 256;
constexpr std::size_t kLengthSymbols = 257;  // the first symbol that stands for a match
constexpr std::size_t kLongestSymbol = 285;  // a match of 258
constexpr std::uint8_t kCodeOrder[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

// Symbol and extra bits of a match of a given length (RFC 1951, section 3.2.5).
struct MatchLength {
    std::uint16_t symbol;
    std::uint8_t extra_bits;
    std::uint8_t extra;
};

using MatchLengths = std::array<MatchLength, kLongestMatch + 1>;

MatchLengths make_match_lengths() {
    MatchLengths table{};
    unsigned length = 3;
    for (unsigned index = 0; index < 28; ++index) {
        const unsigned extra_bits = index < 8 ? 0 : index / 4 - 1;
        for (unsigned extra = 0; extra < 1u << extra_bits; ++extra, ++length)
            table[length] = {static_cast<std::uint16_t>(kLengthSymbols + index), static_cast<std::uint8_t>(extra_bits),
                             static_cast<std::uint8_t>(extra)};
    }
    table[kLongestMatch] = {kLongestSymbol, 0, 0};  // takes the place of 227 + 31
    return table;
}

const MatchLengths kMatchLengths = make_match_lengths();

// Up to 3 literals, or one literal and matches: a run of n is written as n literals, or as a literal and a match of
// n - 1. Longer than one match: a literal, matches of 258, then one shorter match, or one or two literals more.
constexpr std::uint32_t kFewest = 3;
constexpr std::uint32_t kLongestPair = kLongestMatch + 1;

struct Split {
    unsigned full;
    unsigned match;     // 0 if none
    unsigned literals;  // the first one included
};

Split split(std::uint32_t length) {
    const std::uint32_t rest = length - 1;
    const std::uint32_t full = rest / kLongestMatch;
    const std::uint32_t tail = rest - full * kLongestMatch;
    return tail < 3 ? Split{full, 0, 1 + tail} : Split{full, tail, 1};
}

// The same of runs that are written as one literal and one match at most, 0 being no match: looked up, because a branch
// on what is as often so as so is mispredicted as often as not.
struct Pair {
    std::uint16_t literals;
    std::uint16_t match;
};

using Pairs = std::array<Pair, kLongestPair + 1>;

Pairs make_pairs() {
    Pairs pairs{};
    for (std::uint32_t length = 1; length <= kLongestPair; ++length) {
        const Split parts = split(length);
        pairs[length] = {static_cast<std::uint16_t>(parts.literals),
                         static_cast<std::uint16_t>(parts.full ? kLongestMatch : parts.match)};
    }
    return pairs;
}

const Pairs kPairs = make_pairs();

// Code lengths, run-length coded with the symbols 16 (repeat), 17 and 18 (zeros) (section 3.2.7).
struct LengthToken {
    std::uint8_t symbol;
    std::uint8_t extra;
    std::uint8_t extra_bits;
};

void append_repeats(std::vector<LengthToken>& tokens, std::uint8_t value, std::size_t count) {
    while (count >= 3) {
        const std::size_t taken = std::min<std::size_t>(count, value != 0 ? 6 : count <= 10 ? 10 : 138);
        if (value != 0)
            tokens.push_back({16, static_cast<std::uint8_t>(taken - 3), 2});
        else if (count <= 10)
            tokens.push_back({17, static_cast<std::uint8_t>(taken - 3), 3});
        else
            tokens.push_back({18, static_cast<std::uint8_t>(taken - 11), 7});
        count -= taken;
    }
    for (; count; --count) tokens.push_back({value, 0, 0});
}

std::vector<LengthToken> length_tokens(const std::vector<std::uint8_t>& lengths) {
    std::vector<LengthToken> tokens;
    for (std::size_t i = 0; i < lengths.size();) {
        const std::uint8_t value = lengths[i];
        std::size_t count = 1;
        while (i + count < lengths.size() && lengths[i + count] == value) ++count;
        i += count;
        if (value != 0) {  // a repeat needs something to repeat
            tokens.push_back({value, 0, 0});
            --count;
        }
        append_repeats(tokens, value, count);
    }
    return tokens;
}

// The codes themselves, at the head of a block.
void write_codes(BitWriter& bits, const std::vector<Code>& literals) {
    std::vector<std::uint8_t> lengths;
    for (const Code& code : literals) lengths.push_back(code.length);
    while (lengths.size() > kLengthSymbols && lengths.back() == 0) lengths.pop_back();
    const std::size_t literal_count = lengths.size();
    lengths.push_back(1);  // the only distance code, for distance 1: one bit by the RFC's leave
    const std::vector<LengthToken> tokens = length_tokens(lengths);
    std::vector<std::uint32_t> frequencies(19);
    for (const LengthToken& token : tokens) ++frequencies[token.symbol];
    const std::vector<Code> codes = huffman(frequencies, 7);
    unsigned count = 19;
    while (count > 4 && codes[kCodeOrder[count - 1]].length == 0) --count;

    bits.put(literal_count - kLengthSymbols, 5);
    bits.put(0, 5);
    bits.put(count - 4, 4);
    for (unsigned i = 0; i < count; ++i) bits.put(codes[kCodeOrder[i]].length, 3);
    for (const LengthToken& token : tokens) {
        bits.put(codes[token.symbol].bits, codes[token.symbol].length);
        bits.put(token.extra, token.extra_bits);
    }
}

// Codes that are written at once.
struct Packed {
    std::uint64_t bits = 0;
    unsigned count = 0;

    void append(std::uint64_t more, unsigned length) {
        bits |= more << count;
        count += length;
    }
};

// What a match of each length is written as: length code, extra bits and the distance code, one bit 0.
std::array<Packed, kLongestMatch + 1> match_codes(const std::vector<Code>& literals) {
    std::array<Packed, kLongestMatch + 1> matches;  // of length 0: nothing
    for (unsigned length = 3; length <= kLongestMatch; ++length) {
        const MatchLength& entry = kMatchLengths[length];
        const Code& code = literals[entry.symbol];
        matches[length].append(code.bits, code.length);
        matches[length].append(entry.extra, entry.extra_bits + 1u);
    }
    return matches;
}

// A value written once, twice and three times: at most 45 bits.
std::array<std::array<Packed, kFewest>, 256> literal_codes(const std::vector<Code>& literals) {
    std::array<std::array<Packed, kFewest>, 256> few;
    for (std::size_t value = 0; value < few.size(); ++value) {
        const Code& code = literals[value];
        if (code.length == 0) continue;
        for (unsigned times = 0; times < kFewest; ++times) {
            if (times) few[value][times] = few[value][times - 1];
            few[value][times].append(code.bits, code.length);
        }
    }
    return few;
}

}  // namespace

void RunDeflate::begin(Output& output) {
    output_ = &output;
    output.append("\x78\x01", 2);  // zlib's header: deflate with a window of 32 KB, fastest
    bits_ = BitWriter{};
    if (!runs_) runs_.reset(new Run[kBlockRuns]);
    adler_ = Adler{};
    begin_block();
}

void RunDeflate::begin_block() {
    next_ = runs_.get();
    literals_.fill(0);
    matches_.fill(0);
}

void RunDeflate::add(std::uint8_t filter, const Runs& row, const std::uint8_t* base) {
    Adler adler = adler_;  // local copies stay in registers
    Run* out = next_;
    const auto put = [&](std::uint8_t value, std::size_t length) {
        do {
            const std::size_t n = std::min(length, kLongestRun);
            if (out == runs_.get() + kBlockRuns) {
                next_ = out;
                flush_block(false);
                out = next_;
            }
            *out++ = {value, static_cast<std::uint32_t>(n)};
            count(value, static_cast<std::uint32_t>(n));
            adler.add(value, n);
            length -= n;
        } while (length);
    };
    std::uint8_t value = 0;
    std::size_t more = static_cast<std::uint8_t>(row.differences[0] - base[0]) == filter;  // it begins the first run
    if (!more) put(filter, 1);
    for (const std::uint32_t *at = row.starts, *end = at + row.count; at != end; ++at) {
        value = static_cast<std::uint8_t>(value + row.differences[*at] - base[*at]);
        put(value, at[1] - at[0] + more);
        more = 0;
    }
    adler_ = adler;
    next_ = out;
}

// How often each symbol will be written.
inline void RunDeflate::count(std::uint8_t value, std::uint32_t length) {
    if (length <= kLongestPair) {
        const Pair pair = kPairs[length];
        literals_[value] += pair.literals;
        ++matches_[pair.match];
    } else {
        const Split parts = split(length);
        literals_[value] += parts.literals;
        matches_[kLongestMatch] += parts.full;
        ++matches_[parts.match];
    }
}

// n equal bytes v at once: low grows by n v, high by n low + v (1 + 2 + ... + n).
inline void RunDeflate::Adler::add(std::uint8_t value, std::size_t length) {
    high += length * low + value * (length * (length + 1) / 2);
    low += length * value;
    open += length;
    if (open > kAdlerOpen) reduce();
}

void RunDeflate::Adler::reduce() {
    low %= kAdlerBase;
    high %= kAdlerBase;
    open = 0;
}

void RunDeflate::flush_block(bool last) {
    std::vector<std::uint32_t> frequencies(literals_.begin(), literals_.end());
    frequencies.resize(kLongestSymbol + 1);
    std::size_t matches = 0;
    for (unsigned length = 3; length <= kLongestMatch; ++length) {
        frequencies[kMatchLengths[length].symbol] += matches_[length];
        matches += matches_[length];
    }
    frequencies[kEndOfBlock] = 1;
    const std::vector<Code> literals = huffman(frequencies, 15);
    std::size_t size = matches * (5 + 1);  // extra and distance bits at their most
    for (std::size_t i = 0; i < frequencies.size(); ++i) size += std::size_t{frequencies[i]} * literals[i].length;
    // The block's head takes at most 3 + 14 + 57 bits and 287 tokens of 14 bits; BitWriter wants 8 bytes more.
    bits_.at = output_->reserve(size / 8 + 540);
    bits_.put(last ? 1 : 0, 1);
    bits_.put(2, 2);  // dynamic Huffman codes
    write_codes(bits_, literals);
    write_runs(literals);
    output_->written_to(bits_.at);
    begin_block();
}

void RunDeflate::write_runs(const std::vector<Code>& literals) {
    const auto matches = match_codes(literals);
    const auto few_codes = literal_codes(literals);
    BitWriter bits = bits_;  // a local copy stays in registers
    for (const Run* at = runs_.get(); at != next_; ++at) {
        const Run run = *at;
        if (run.length <= kLongestPair) {
            const Pair pair = kPairs[run.length];
            Packed codes = few_codes[run.value][pair.literals - 1];
            const Packed& match = matches[pair.match];
            codes.append(match.bits, match.count);
            bits.put(codes.bits, codes.count);
            continue;
        }
        // All of a run's bytes are equal, so its parts may come in any order after the first literal.
        const Split parts = split(run.length);
        const Packed& first = few_codes[run.value][parts.literals - 1];
        bits.put(first.bits, first.count);
        bits.put(matches[parts.match].bits, matches[parts.match].count);
        for (unsigned k = 0; k < parts.full; ++k) bits.put(matches[kLongestMatch].bits, matches[kLongestMatch].count);
    }
    bits.put(literals[kEndOfBlock].bits, literals[kEndOfBlock].length);
    bits_ = bits;
}

void RunDeflate::finish() {
    flush_block(true);
    bits_.at = output_->reserve(8);
    if (bits_.count) bits_.put(0, 8 - bits_.count);
    output_->written_to(bits_.at);
    adler_.reduce();
    output_->append_big32(static_cast<std::uint32_t>(adler_.high << 16 | adler_.low));
}

}  // namespace seg
