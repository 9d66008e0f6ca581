#include "simulator/link_sharing.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace shardscope {
namespace {

LinkLoad load(std::vector<LinkUse> uses, double transfers = 1) {
    return {std::move(uses), transfers, 0};
}

TEST(LinkSharing, AFlowAloneGoesAtItsOwnPace) {
    LinkSharing links(2);
    EXPECT_TRUE(links.fits(load({{0, 1}, {1, 0.5}})));
    const auto flow = links.begin(load({{0, 1}, {1, 0.5}}), 2, 5);
    EXPECT_TRUE(links.divide(2).empty());
    EXPECT_EQ(links.flow(flow).end, 5);
}

TEST(LinkSharing, TwoEqualFlowsOnOnePortTakeTwiceAsLong) {
    LinkSharing links(1);
    const auto first = links.begin(load({{0, 1}}), 0, 4);
    EXPECT_FALSE(links.fits(load({{0, 1}})));
    const auto second = links.begin(load({{0, 1}}), 0, 4);
    links.divide(0);
    EXPECT_NEAR(links.flow(first).end, 8, 1e-8);
    EXPECT_NEAR(links.flow(second).end, 8, 1e-8);
}

TEST(LinkSharing, WhoStaysAloneIsFastAgain) {
    LinkSharing links(1);
    const auto first = links.begin(load({{0, 1}}), 0, 4);
    links.divide(0);
    const auto second = links.begin(load({{0, 1}}), 2, 3);
    links.divide(2);
    EXPECT_NEAR(links.flow(second).end, 4, 1e-8) << "half as fast from 2 on";
    links.end(second);
    EXPECT_EQ(links.divide(4).size(), 1u);
    EXPECT_NEAR(links.flow(first).end, 5, 1e-8) << "2 s done at 2, 1 s more at 4";
}

// Link 0 has room for one, link 1 for two (shares of 0.5): the flow over both gets half of link 0, as
// does the one on link 0; what it leaves of link 1 goes to the third.
TEST(LinkSharing, ThreeFlowsMaxMin) {
    LinkSharing links(2);
    const auto narrow = links.begin(load({{0, 1}}), 0, 1);
    const auto both = links.begin(load({{0, 1}, {1, 0.5}}), 0, 1);
    const auto wide = links.begin(load({{1, 1}}), 0, 1);
    links.divide(0);
    EXPECT_NEAR(links.flow(narrow).rate, 0.5, 1e-8);
    EXPECT_NEAR(links.flow(both).rate, 0.5, 1e-8);
    EXPECT_NEAR(links.flow(wide).rate, 0.75, 1e-8);
}

TEST(LinkSharing, AFlowThatNeedsLittleKeepsIt) {
    LinkSharing links(1);
    const auto small = links.begin(load({{0, 0.2}}), 0, 1);
    const auto large = links.begin(load({{0, 1}}), 0, 1);
    links.divide(0);
    EXPECT_NEAR(links.flow(small).rate, 1, 1e-8);
    EXPECT_NEAR(links.flow(large).rate, 0.8, 1e-8);
}

TEST(LinkSharing, ManyTransfersGetMoreThanOne) {
    LinkSharing links(1);
    const auto three = links.begin(load({{0, 1}}, 3), 0, 1);
    const auto one = links.begin(load({{0, 1}}, 1), 0, 1);
    links.divide(0);
    EXPECT_NEAR(links.flow(three).rate, 0.75, 1e-8);
    EXPECT_NEAR(links.flow(one).rate, 0.25, 1e-8);
}

// No link carries more than it can, and every slowed flow has a full link on which no transfer has
// more than its own: the definition of max–min fairness.
TEST(LinkSharing, RandomFlowsAreFair) {
    const std::uint32_t seed = 4711;
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto uniform = [&] { return std::uniform_real_distribution<>(0.05, 1)(random); };
    for (int round = 0; round < 300; ++round) {
        constexpr int kLinks = 5;
        LinkSharing links(kLinks);
        std::vector<LinkSharing::FlowId> flows;
        for (int i = 0; i < 8; ++i) {
            LinkLoad l;
            for (int link = 0; link < kLinks; ++link)
                if (random() % 3 == 0) l.uses.push_back({link, uniform()});
            l.transfers = 1 + static_cast<double>(random() % 4);
            if (!l.uses.empty()) flows.push_back(links.begin(l, 0, 1));
        }
        links.divide(0);
        std::vector<double> used(kLinks), most(kLinks);
        const auto each = [&](LinkSharing::FlowId id) {
            double largest = 0;
            for (const LinkUse& use : links.flow(id).load.uses)
                largest = std::max(largest, use.share);
            return links.flow(id).rate * largest / links.flow(id).load.transfers;
        };
        for (const auto id : flows)
            for (const LinkUse& use : links.flow(id).load.uses) {
                const auto link = static_cast<std::size_t>(use.link);
                used[link] += links.flow(id).rate * use.share;
                most[link] = std::max(most[link], each(id));
            }
        for (const double sum : used) EXPECT_LE(sum, 1 + 1e-6);
        for (const auto id : flows) {
            if (links.flow(id).rate > 1 - 1e-6) continue;
            bool bound = false;
            for (const LinkUse& use : links.flow(id).load.uses) {
                const auto link = static_cast<std::size_t>(use.link);
                bound = bound || (used[link] > 1 - 1e-6 && each(id) > most[link] - 1e-6);
            }
            EXPECT_TRUE(bound);
        }
    }
}

}  // namespace
}  // namespace shardscope
