// Live bytes by category: their sum is the memory timeline's, and their peak the plan's, category by category.
#include "core/program/live_categories.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "tests/support/tiny.h"

namespace shardscope {
namespace {

Bytes sum(const CategoryBytes& categories) {
    return std::accumulate(categories.begin(), categories.end(), Bytes());
}

void check_categories(const RoleProgram& role, const MemoryPlan& plan) {
    const LiveCategories live(role);
    Bytes peak;
    CategoryBytes at_peak{};
    std::vector<MemorySample> changes_of_sum;
    const std::vector<MemorySample> samples = live.timeline(role);
    for (const MemorySample& sample : samples) {
        const CategoryBytes categories = live.at(sample.task, sample.instruction);
        ASSERT_EQ(sum(categories), sample.live);
        for (const Bytes bytes : categories) ASSERT_GE(bytes, Bytes());
        if (changes_of_sum.empty() || changes_of_sum.back().live != sample.live)
            changes_of_sum.push_back(sample);
        if (sample.live <= peak) continue;
        peak = sample.live;
        at_peak = categories;
    }
    EXPECT_EQ(peak, plan.live_peak);
    at_peak[static_cast<std::size_t>(Category::workspace)] += plan.arena - plan.live_peak;
    at_peak[static_cast<std::size_t>(Category::runtime)] += plan.runtime;
    EXPECT_EQ(at_peak, plan.categories);

    const std::vector<MemorySample> sums = memory_timeline(role);
    ASSERT_EQ(sums.size(), changes_of_sum.size());
    for (std::size_t i = 0; i < sums.size(); ++i) {
        EXPECT_EQ(sums[i].task, changes_of_sum[i].task);
        EXPECT_EQ(sums[i].instruction, changes_of_sum[i].instruction);
        EXPECT_EQ(sums[i].live, changes_of_sum[i].live);
    }
}

TEST(LiveCategories, AddUpToTheTimelineAndPeakWhereThePlanDoes) {
    for (const Schedule schedule : {Schedule::gpipe, Schedule::one_f_one_b, Schedule::zero_bubble})
        for (const int pp : {1, 2})
            for (const int zero : {0, 1, 3})
                for (const Recompute& recompute : {Recompute{}, {Recompute::Kind::full, 1}}) {
                    if (pp == 1 && schedule != Schedule::one_f_one_b) continue;
                    if (schedule == Schedule::zero_bubble && recompute.kind != Recompute{}.kind)
                        continue;
                    Scenario scenario = test::tiny_scenario(test::tiny_gpt(), 4);
                    scenario.training.global_batch = 16;
                    scenario.training.micro_batch = 1;
                    Strategy& strategy = scenario.strategies[0];
                    strategy.pp = pp;
                    strategy.zero = zero;
                    strategy.schedule = schedule;
                    strategy.recompute = recompute;
                    SCOPED_TRACE(test::describe(scenario, strategy));
                    const Plan plan = test::lower_tiny(scenario);
                    for (std::size_t r = 0; r < plan.memory.size(); ++r)
                        check_categories(plan.program.roles[r], plan.memory[r]);
                }
}

}  // namespace
}  // namespace shardscope
