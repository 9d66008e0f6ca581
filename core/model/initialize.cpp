#include "core/model/initialize.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace shardscope {
namespace {

// Multipliers and Weyl increments of Philox-4x32 (Random123, philox.h).
constexpr std::uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;

// The top 52 bits of two words as k + ½ in units of 2⁻⁵²: strictly inside (0, 1) and exact, so that
// its logarithm is finite.
double open_unit(std::uint32_t low, std::uint32_t high) {
    const std::uint64_t bits = (std::uint64_t(high) << 32 | low) >> 12;
    return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

struct Pair {
    double first, second;
};

Pair unit_pair(const Philox& generator, std::uint64_t counter) {
    std::uint32_t w[4];
    generator(counter, 0, w);
    return {open_unit(w[0], w[1]), open_unit(w[2], w[3])};
}

Pair uniform_pair(Pair u, double bound) {
    return {bound * (2 * u.first - 1), bound * (2 * u.second - 1)};
}

Pair normal_pair(Pair u, double deviation) {
    const double radius = deviation * std::sqrt(-2.0 * std::log(u.first));
    const double angle = 2.0 * std::numbers::pi * u.second;
    return {radius * std::cos(angle), radius * std::sin(angle)};
}

// Elements 2c and 2c + 1 come from counter c, wherever the slice starts.
template <class Draw>
void fill_pairs(const Philox& generator, std::uint64_t first, std::span<double> out, Draw draw) {
    std::size_t i = 0;
    if (first % 2 != 0 && !out.empty()) out[i++] = draw(unit_pair(generator, first / 2)).second;
    for (; i + 1 < out.size(); i += 2) {
        const Pair pair = draw(unit_pair(generator, (first + i) / 2));
        out[i] = pair.first;
        out[i + 1] = pair.second;
    }
    if (i < out.size()) out[i] = draw(unit_pair(generator, (first + i) / 2)).first;
}

}  // namespace

void Philox::operator()(std::uint64_t counter_low, std::uint64_t counter_high,
                        std::uint32_t (&out)[4]) const {
    auto c0 = std::uint32_t(counter_low), c1 = std::uint32_t(counter_low >> 32);
    auto c2 = std::uint32_t(counter_high), c3 = std::uint32_t(counter_high >> 32);
    auto k0 = std::uint32_t(key), k1 = std::uint32_t(key >> 32);
    for (int round = 0; round < kRounds; ++round, k0 += kWeyl0, k1 += kWeyl1) {
        const std::uint64_t p0 = std::uint64_t(kMultiplier0) * c0;
        const std::uint64_t p1 = std::uint64_t(kMultiplier1) * c2;
        c0 = std::uint32_t(p1 >> 32) ^ c1 ^ k0;
        c1 = std::uint32_t(p1);
        c2 = std::uint32_t(p0 >> 32) ^ c3 ^ k1;
        c3 = std::uint32_t(p0);
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

// FNV-1a, 64 bits (Fowler, Noll, Vo): offset basis and prime from the reference implementation.
std::uint64_t stream_key(std::uint64_t seed, std::string_view name) {
    std::uint64_t hash = 0xCBF29CE484222325;
    for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
    return seed ^ hash;
}

void initial_values(const Parameter& parameter, std::uint64_t seed, std::int64_t first,
                    std::span<double> out) {
    const Philox generator{stream_key(seed, parameter.name)};
    const double a = parameter.init.a;
    const auto start = static_cast<std::uint64_t>(first);
    switch (parameter.init.kind) {
        case Initializer::Kind::zeros:
            std::fill(out.begin(), out.end(), 0.0);
            break;
        case Initializer::Kind::ones:
            std::fill(out.begin(), out.end(), 1.0);
            break;
        case Initializer::Kind::normal:
            fill_pairs(generator, start, out, [a](Pair u) { return normal_pair(u, a); });
            break;
        case Initializer::Kind::uniform:
            fill_pairs(generator, start, out, [a](Pair u) { return uniform_pair(u, a); });
            break;
    }
}

}  // namespace shardscope
