// How many ranks and nodes the experts of a token are on: closed forms against every draw, and against random ones.
#include "core/model/token_routing.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace shardscope {
namespace {

// All sets of `k` of `n`, as bits.
std::vector<std::uint32_t> sets_of(int n, int k) {
    std::vector<std::uint32_t> sets;
    for (std::uint32_t bits = 0; bits < (1u << n); ++bits)
        if (std::popcount(bits) == k) sets.push_back(bits);
    return sets;
}

// The mean number of parts reached, over every draw of groups and then of experts.
double enumerated(const TokenRouting& r, int parts) {
    const int experts = static_cast<int>(r.experts), groups = static_cast<int>(r.groups);
    const int size = experts / groups, part = experts / parts;
    double sum = 0;
    const auto draws = sets_of(groups, static_cast<int>(r.groups_per_token));
    for (const std::uint32_t drawn : draws) {
        std::uint32_t open = 0;
        for (int e = 0; e < experts; ++e)
            if ((drawn >> (e / size) & 1) != 0) open |= 1u << e;
        double reached = 0;
        int sets = 0;
        for (const std::uint32_t chosen : sets_of(experts, static_cast<int>(r.per_token))) {
            if ((chosen & ~open) != 0) continue;
            ++sets;
            for (int p = 0; p < parts; ++p)
                if ((chosen >> (p * part) & ((1u << part) - 1)) != 0) ++reached;
        }
        sum += reached / sets;
    }
    return sum / static_cast<double>(draws.size());
}

TEST(TokenRouting, ClosedFormsAreTheMeanOfEveryDraw) {
    for (const TokenRouting& r : {TokenRouting{12, 1},
                                  {12, 3},
                                  {12, 12},
                                  {12, 2, 4, 2},
                                  {12, 3, 4, 1},
                                  {12, 4, 4, 3},
                                  {12, 4, 2, 1},
                                  {12, 2, 12, 5},
                                  {12, 3, 3, 2},
                                  {12, 5, 4, 4}})
        for (const int parts : {1, 2, 3, 4, 6, 12})
            EXPECT_NEAR(parts * r.reach(parts), enumerated(r, parts), 1e-12)
                << r.per_token << " in " << r.groups_per_token << " of " << r.groups << ", "
                << parts << " parts";
}

// DeepSeek-V3's: 8 of 256 experts, of 4 of 8 groups.
TEST(TokenRoutingSlow, AgreesWithRandomDraws) {
    const std::uint32_t seed = 4711;
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    for (const TokenRouting& r : {TokenRouting{256, 8}, {256, 8, 8, 4}, {160, 6, 8, 3}}) {
        const std::int64_t size = r.experts / r.groups;
        std::vector<std::int64_t> groups(static_cast<std::size_t>(r.groups));
        std::iota(groups.begin(), groups.end(), 0);
        for (const std::int64_t parts : {2, 4, 8, 16, 32}) {
            constexpr int kTokens = 20000;
            std::int64_t reached = 0;
            for (int token = 0; token < kTokens; ++token) {
                std::shuffle(groups.begin(), groups.end(), random);
                std::vector<std::int64_t> open;
                for (std::int64_t g = 0; g < r.groups_per_token; ++g)
                    for (std::int64_t e = 0; e < size; ++e)
                        open.push_back(groups[static_cast<std::size_t>(g)] * size + e);
                std::vector<std::int64_t> chosen;
                std::ranges::sample(open, std::back_inserter(chosen), r.per_token, random);
                for (std::int64_t& e : chosen) e /= r.experts / parts;
                std::ranges::sort(chosen);
                reached += std::unique(chosen.begin(), chosen.end()) - chosen.begin();
            }
            const double mean = static_cast<double>(reached) / kTokens;
            EXPECT_NEAR(static_cast<double>(parts) * r.reach(parts), mean, 0.02 * mean) << parts;
        }
    }
}

TEST(TokenRouting, KnownCases) {
    EXPECT_DOUBLE_EQ(TokenRouting({256, 8}).reach(1), 1);
    EXPECT_DOUBLE_EQ(TokenRouting({256, 1}).reach(64), 1.0 / 64);
    EXPECT_NEAR(TokenRouting({8, 2}).reach(2), 1 - 4.0 * 3 / (8 * 7), 1e-15);
    EXPECT_DOUBLE_EQ(TokenRouting({8, 8}).reach(4), 1);
    EXPECT_DOUBLE_EQ(TokenRouting({8, 8, 1, 1, 2.0}).reach(4), 1) << "no more than all";
    EXPECT_NEAR(TokenRouting({8, 1, 1, 1, 1.5}).reach(4), 1.5 / 4, 1e-15);
}

// Fewer groups: never more nodes; at most as many as groups, where nodes hold whole groups.
TEST(TokenRouting, GroupsLimitNodes) {
    double last = 0;
    for (const std::int64_t per_token : {1, 2, 3, 4, 5, 6, 7, 8}) {
        const double nodes = 8 * TokenRouting({256, 8, 8, per_token}).reach(8);
        EXPECT_LE(nodes, static_cast<double>(per_token) + 1e-12);
        EXPECT_GE(nodes, last);
        last = nodes;
    }
    EXPECT_NEAR(last, 8 * TokenRouting({256, 8}).reach(8), 1e-12);
}

}  // namespace
}  // namespace shardscope
