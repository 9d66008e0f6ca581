#include "tests/backends/same_training.h"

#include <gtest/gtest.h>

namespace shardscope::test {
namespace {

void expect_close(const Difference& d, const Tolerance& tolerance, const char* what) {
    EXPECT_LE(d.whole, tolerance.whole) << what;
    EXPECT_LE(d.worst, tolerance.tensor) << what << ": " << d.worst_name;
}

}  // namespace

Tolerance tolerance_of(DType precision) {
    return precision == DType::fp64 ? Tolerance{1e-11, 1e-11} : Tolerance{1e-5, 1e-4};
}

void expect_same_training(const Trained& actual, const Trained& reference, DType precision) {
    const Tolerance tolerance = tolerance_of(precision);
    EXPECT_TRUE(actual.replicas_agree);
    for (const std::int64_t step : {0, 1})
        expect_close(compare(actual.gradients.at(step), reference.gradients.at(step)), tolerance,
                     step == 0 ? "gradients of step 1" : "gradients of step 2");
    expect_close(compare(actual.parameters, reference.parameters), tolerance, "weights");
    ASSERT_EQ(actual.trace.losses.size(), reference.trace.losses.size());
    for (std::size_t i = 0; i < reference.trace.losses.size(); ++i)
        EXPECT_NEAR(actual.trace.losses[i], reference.trace.losses[i], 10 * tolerance.whole);
    ASSERT_EQ(actual.trace.gradient_norms.size(), reference.trace.gradient_norms.size());
    for (std::size_t i = 0; i < reference.trace.gradient_norms.size() && i < 2; ++i)
        EXPECT_NEAR(actual.trace.gradient_norms[i] / reference.trace.gradient_norms[i], 1,
                    tolerance.whole);
}

void expect_planned_memory(const Trace& trace, const Plan& plan) {
    for (const RankTrace& rank : trace.ranks) {
        const MemoryPlan& memory = plan.memory_of(rank.rank);
        EXPECT_EQ(rank.memory.peak.value, memory.peak().value) << "rank " << rank.rank.value;
        for (std::size_t c = 0; c < kCategories; ++c)
            EXPECT_EQ(rank.memory.categories[c].value, memory.categories[c].value)
                << "rank " << rank.rank.value << ": " << category_name(static_cast<Category>(c));
    }
}

}  // namespace shardscope::test
