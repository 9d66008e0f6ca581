// Strategy::expandable_segments: how a product's allocator takes memory, by the product's start or by the user's word.
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/lowering/profile_rules.h"
#include "core/scenario_io.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

std::string llama_in_two_stages(const std::string& strategy) {
    return "model: llama-3-8b\n"
           "training: {global_batch: 16, micro_batch: 1, precision: fp8}\n"
           "cluster: {gpu: h100-sxm, nodes: 1, gpus_per_node: 8}\n"
           "strategies: [{name: one, pp: 2, zero: 1, " +
           strategy + "}]\n";
}

Plan plan_with(const std::string& strategy) {
    return test::lower_tiny(parse_scenario(llama_in_two_stages(strategy), "test.yaml", {}));
}

// In 8 bits the last stage's logits leave a block that what follows divides (docs/profiles.md): the next ones take a
// second one of 3.9 GiB, which pages that are given back do not cost.
TEST(Segments, ThatExpandHoldLessOfWhatIsFree) {
    const std::string fixed = "profile: megatron",
                      expandable = fixed + ", expandable_segments: true";
    const MemoryPlan usual = plan_with(fixed).memory.back(),
                     other = plan_with(expandable).memory.back();
    EXPECT_NEAR(
        static_cast<double>(other.live_peak.value) / static_cast<double>(usual.live_peak.value), 1,
        1e-3)
        << "the same tensors, but for rests of blocks";
    EXPECT_GE(other.arena, other.live_peak);
    constexpr double kLogits = 8192.0 * 128256 * 4;
    EXPECT_GE(static_cast<double>((usual.arena - other.arena).value), 0.9 * kLogits);
}

TEST(Segments, AreTheProductsUnlessSaid) {
    for (const RuntimeProfile profile : kRuntimeProfiles) {
        Strategy s;
        set_profile(s, profile);
        const bool torchtitan = is_fsdp(profile) && profile != RuntimeProfile::llm_foundry;
        EXPECT_EQ(segments_of(s) == Segments::expandable, torchtitan) << name_of(profile);
        s.expandable_segments = !torchtitan;
        EXPECT_EQ(segments_of(s) == Segments::expandable, !torchtitan) << name_of(profile);
        // Our own plan has none, whoever had them before.
        set_profile(s, RuntimeProfile::shardscope);
        EXPECT_EQ(s.expandable_segments, std::nullopt);
    }
}

TEST(Segments, AreReadAndSaid) {
    const auto read = [](const std::string& word) {
        return parse_scenario(llama_in_two_stages("profile: fsdp, expandable_segments: " + word),
                              "test.yaml", {})
            .strategies.at(0);
    };
    EXPECT_EQ(read("auto").expandable_segments, std::nullopt);
    EXPECT_EQ(read("true").expandable_segments, true);
    EXPECT_THAT(layout_of(read("false"), 8), HasSubstr(", fixed segments, fsdp"));
    EXPECT_THAT(test::refusal_of(llama_in_two_stages("expandable_segments: false")),
                HasSubstr("expandable_segments, but the profile is shardscope, whose memory is one "
                          "planned arena; leave out expandable_segments"));
}

}  // namespace
}  // namespace shardscope
