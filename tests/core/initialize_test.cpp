#include "core/model/initialize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace shardscope {
namespace {

using Words = std::array<std::uint32_t, 4>;

Words philox(std::uint64_t key, std::uint64_t low, std::uint64_t high) {
    std::uint32_t out[4];
    Philox{key}(low, high, out);
    return {out[0], out[1], out[2], out[3]};
}

Parameter parameter(const std::string& name, Initializer::Kind kind, double a) {
    return {name, {1000, 100}, {kind, a}};
}

std::vector<double> draw(const Parameter& p, std::uint64_t seed, std::int64_t first,
                         std::size_t count) {
    std::vector<double> values(count);
    initial_values(p, seed, first, values);
    return values;
}

// Random123's tests/kat_vectors, "philox4x32 10".
TEST(Philox, KnownAnswers) {
    EXPECT_EQ(philox(0, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    EXPECT_EQ(philox(~0ULL, ~0ULL, ~0ULL), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    EXPECT_EQ(philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e),
              (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(StreamKey, IsFnv1aOfTheNameAndTheSeed) {
    EXPECT_EQ(stream_key(0, ""), 0xcbf29ce484222325);
    EXPECT_EQ(stream_key(0, "a"), 0xaf63dc4c8601ec8c);
    EXPECT_EQ(stream_key(0, "foobar"), 0x85944171f73967e8);
    EXPECT_EQ(stream_key(5, "a"), 0xaf63dc4c8601ec8c ^ 5);
}

TEST(InitialValues, AnySliceEqualsThatPartOfTheWhole) {
    for (auto kind : {Initializer::Kind::normal, Initializer::Kind::uniform}) {
        const Parameter p = parameter("w", kind, 0.5);
        const std::vector<double> whole = draw(p, 3, 0, 1000);
        for (std::size_t first : {0u, 1u, 2u, 7u, 500u, 998u, 999u})
            for (std::size_t count : {0u, 1u, 2u, 3u, 64u}) {
                if (first + count > whole.size()) continue;
                const auto slice = draw(p, 3, static_cast<std::int64_t>(first), count);
                EXPECT_TRUE(std::equal(slice.begin(), slice.end(),
                                       whole.begin() + static_cast<std::ptrdiff_t>(first)))
                    << first << " + " << count;
            }
    }
}

TEST(InitialValues, DependOnSeedAndName) {
    const Parameter p = parameter("a", Initializer::Kind::normal, 1);
    EXPECT_EQ(draw(p, 1, 0, 8), draw(p, 1, 0, 8));
    EXPECT_NE(draw(p, 1, 0, 8), draw(p, 2, 0, 8));
    EXPECT_NE(draw(p, 1, 0, 8), draw(parameter("b", Initializer::Kind::normal, 1), 1, 0, 8));
}

TEST(InitialValues, NormalMoments) {
    const std::vector<double> v =
        draw(parameter("w", Initializer::Kind::normal, 0.02), 1, 0, 1'000'000);
    const double n = static_cast<double>(v.size());
    const double mean = std::accumulate(v.begin(), v.end(), 0.0) / n;
    double second = 0, fourth = 0, lagged = 0;
    for (std::size_t i = 0; i < v.size(); ++i) {
        const double z = v[i] / 0.02;
        second += z * z;
        fourth += z * z * z * z;
        if (i > 0) lagged += z * v[i - 1] / 0.02;
    }
    // Five standard errors of each estimate: 1, √2, √96 and 1 over √n.
    EXPECT_NEAR(mean / 0.02, 0, 5 / std::sqrt(n));
    EXPECT_NEAR(second / n, 1, 5 * std::sqrt(2 / n));
    EXPECT_NEAR(fourth / n, 3, 5 * std::sqrt(96 / n));
    EXPECT_NEAR(lagged / n, 0, 5 / std::sqrt(n));
}

TEST(InitialValues, UniformStaysInItsBound) {
    const std::vector<double> v =
        draw(parameter("w", Initializer::Kind::uniform, 0.25), 1, 0, 100'000);
    const auto [low, high] = std::minmax_element(v.begin(), v.end());
    EXPECT_GT(*low, -0.25);
    EXPECT_LT(*low, -0.2499);
    EXPECT_LT(*high, 0.25);
    EXPECT_GT(*high, 0.2499);
    const double mean = std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
    EXPECT_NEAR(mean, 0, 5 * 0.25 / std::sqrt(3.0 * static_cast<double>(v.size())));
}

TEST(InitialValues, Constants) {
    EXPECT_EQ(draw(parameter("w", Initializer::Kind::zeros, 9), 1, 5, 3),
              (std::vector<double>{0, 0, 0}));
    EXPECT_EQ(draw(parameter("w", Initializer::Kind::ones, 9), 1, 5, 3),
              (std::vector<double>{1, 1, 1}));
}

}  // namespace
}  // namespace shardscope
