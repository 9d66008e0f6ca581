// Memory over time of real steps: its peak is the plan's, and look-ups agree with walking through all.
#include "gui/models/memory_over_time.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "tests/gui/support/step.h"

namespace shardscope::gui {
namespace {

class MemoryOfStep : public testing::TestWithParam<const char*> {
protected:
    test::Step step_ = test::step_of("gpt-13b-16-gpus", GetParam());
};

TEST_P(MemoryOfStep, PeaksWhereThePlanDoes) {
    for (std::size_t r = 0; r < step_.detail->memory.size(); ++r) {
        const MemoryOverTime& memory = step_.detail->memory[r];
        const MemoryPlan& plan = step_.detail->plan->memory_of(step_.detail->trace->ranks[r].rank);
        ASSERT_FALSE(memory.empty());
        EXPECT_EQ(memory.time(0), 0);
        const MemoryPoint peak = memory[memory.peak()];
        EXPECT_EQ(peak.total(), plan.live_peak + plan.runtime);
        // The plan counts the arena's slack as workspace.
        CategoryBytes planned = plan.categories;
        planned[static_cast<std::size_t>(Category::workspace)] -= plan.arena - plan.live_peak;
        EXPECT_EQ(peak.categories, planned);
    }
}

TEST_P(MemoryOfStep, IsSummedAndSearchedAsAWalkDoes) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const MemoryOverTime& memory = step_.detail->memory.front();
    std::uniform_int_distribution<std::size_t> any(0, memory.size() - 1);
    for (int round = 0; round < 500; ++round) {
        const auto [first, last] = std::minmax({any(random), any(random)});
        std::size_t most = first;
        for (std::size_t i = first; i <= last; ++i)
            if (memory.total(i) > memory.total(most)) most = i;
        ASSERT_EQ(memory.largest(first, last), most) << first << " … " << last;
        ASSERT_EQ(memory[first].total(), memory.total(first));
        const std::int64_t time = memory.time(last);
        const std::size_t at = memory.at(time);
        ASSERT_EQ(memory.time(at), time);
        ASSERT_TRUE(at + 1 == memory.size() || memory.time(at + 1) > time);
    }
    EXPECT_EQ(memory.at(-1), 0u);
    EXPECT_EQ(memory.at(step_.detail->timeline->end()), memory.size() - 1);
}

INSTANTIATE_TEST_SUITE_P(Shipped, MemoryOfStep,
                         testing::Values("DDP", "ZeRO-3", "TP4 × PP4", "TP2 × PP4, ZeRO-1"),
                         [](const auto& step) { return "step" + std::to_string(step.index); });

}  // namespace
}  // namespace shardscope::gui
