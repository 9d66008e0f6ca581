// The list of candidates against the full product of all values, filtered by what can be lowered and
// freed of what has no effect.
#include "simulator/search_space.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/report/evaluate.h"
#include "core/scenario_io.h"
#include "simulator/event_runner.h"
#include "tests/simulator/hand_made.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::deep_gpt;
using test::tiny_mlp;
using test::tiny_scenario;

struct SpaceGiven {
    Scenario scenario;
    std::shared_ptr<const Model> model;
};

SpaceGiven space_given(const ModelSpec& spec, int ranks) {
    SpaceGiven g{tiny_scenario(spec, ranks), nullptr};
    g.scenario.cluster = test::round_cluster(DeviceKind::gpu);
    g.scenario.cluster.gpus_per_node = ranks;
    g.scenario.training.global_batch = 8;
    g.model = std::make_shared<const Model>(build_model(spec));
    return g;
}

SpaceGiven shipped(const std::string& name) {
    const std::string file = SHARDSCOPE_SOURCE_DIR "/scenarios/" + name + ".yaml";
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    SpaceGiven g{parse_scenario(text.str(), file, {}), nullptr};
    g.model = std::make_shared<const Model>(build_model(g.scenario.model));
    return g;
}

// Small, with a value of every dimension that has an effect and one that has none.
SearchSpace small_space() {
    SearchSpace space;
    space.tp = {1, 2, 3};
    space.pp = {1, 2};
    space.micro_batch = {1, 2, 3};
    space.sequence_parallel = {false, true};
    space.pipelining = {
        {Schedule::one_f_one_b, 1}, {Schedule::one_f_one_b, 2}, {Schedule::zero_bubble, 1}};
    space.partition = {{}, {}};
    space.partition[1].kind = Partition::Kind::uniform;
    space.bucket = {Strategy{}.bucket, Bytes(20'000)};
    space.reduce_at = {ReduceAt::by_stage, ReduceAt::micro_batch};
    space.zero = {0, 2, 3};
    space.prefetch = {1, 0};
    space.recompute = {{Recompute::Kind::none, 1}, {Recompute::Kind::full, 2}};
    return space;
}

// Every combination of every value, whether it means something or not.
std::vector<Strategy> full_product(const SearchSpace& space) {
    std::vector<Strategy> all{{}};
    const auto times = [&all](const auto& values, auto set) {
        std::vector<Strategy> product;
        for (const Strategy& strategy : all)
            for (const auto& value : values) {
                product.push_back(strategy);
                set(product.back(), value);
            }
        all = std::move(product);
    };
    times(space.tp, [](Strategy& s, int v) { s.tp = v; });
    times(space.pp, [](Strategy& s, int v) { s.pp = v; });
    times(space.micro_batch, [](Strategy& s, std::int64_t v) { s.micro_batch = v; });
    times(space.sequence_parallel, [](Strategy& s, bool v) { s.sequence_parallel = v; });
    times(space.pipelining, [](Strategy& s, const SearchSpace::Pipelining& v) {
        s.schedule = v.schedule;
        s.virtual_stages = v.virtual_stages;
    });
    times(space.partition, [](Strategy& s, const Partition& v) { s.partition = v; });
    times(space.zero, [](Strategy& s, int v) { s.zero = v; });
    times(space.bucket, [](Strategy& s, std::optional<Bytes> v) { s.bucket = v; });
    times(space.reduce_at, [](Strategy& s, ReduceAt v) { s.reduce_at = v; });
    times(space.prefetch, [](Strategy& s, int v) { s.prefetch = v; });
    times(space.recompute, [](Strategy& s, const Recompute& v) { s.recompute = v; });
    times(space.attention, [](Strategy& s, AttentionKind v) { s.attention = v; });
    return all;
}

// Fields without effect set to their defaults: the definition, apart from values with equal effect.
Strategy with_effects_only(Strategy s, int dp, std::int64_t micro_batches) {
    const Strategy standard;
    if (s.tp == 1) s.sequence_parallel = false;
    if (s.pp == 1) {
        s.schedule = standard.schedule;
        s.virtual_stages = 1;
        s.partition = {};
    }
    if (dp == 1) s.zero = 0;
    if (dp == 1 || s.zero == 3) s.bucket = standard.bucket;
    if (dp == 1 || s.zero >= 2 || micro_batches == 1) s.reduce_at = ReduceAt::by_stage;
    if (s.zero != 3) s.prefetch = standard.prefetch;
    return s;
}

struct Figures {
    std::int64_t peak = 0;
    double step = 0;
    auto operator<=>(const Figures&) const = default;
};

std::optional<Figures> figures_of(const SpaceGiven& g, const Strategy& strategy) {
    Candidate candidate = plan_strategy(g.scenario, g.model, strategy);
    EventRunner runner;
    simulate_candidate(g.scenario, candidate, runner);
    if (!candidate.report.simulated) return std::nullopt;
    return Figures{candidate.report.simulated->peak_memory().peak.value,
                   candidate.report.simulated->step_time.value};
}

int data_parallel_degree(const SpaceGiven& g, const Strategy& s) {
    return g.scenario.cluster.world_size() / (s.tp * s.pp);
}

struct Known {
    Strategy strategy;
    Figures figures;
};

// The product with effectless fields at their defaults, as far as it can be lowered; checks that those
// fields have no effect.
std::map<std::string, Known> expected_candidates(const SpaceGiven& g, const SearchSpace& space) {
    std::map<std::string, Known> expected;
    for (Strategy& strategy : full_product(space)) {
        // No strategies of their own: what has no effect here is refused by name elsewhere.
        if (strategy.tp == 1) strategy.sequence_parallel = false;
        if (strategy.pp == 1) strategy.schedule = {}, strategy.virtual_stages = 1;
        const int dp = data_parallel_degree(g, strategy);
        // Only lays out memory differently (search_space.h).
        if (dp == 1) strategy.bucket = Strategy{}.bucket;
        const auto figures = figures_of(g, strategy);
        if (!figures) continue;
        const Strategy plain = with_effects_only(strategy, dp, 8 / dp / *strategy.micro_batch);
        const std::string name = candidate_name(plain, dp);
        auto it = expected.find(name);
        if (it == expected.end())
            it = expected.emplace(name, Known{plain, figures_of(g, plain).value()}).first;
        EXPECT_EQ(it->second.figures, *figures)
            << candidate_name(strategy, dp) << ": a field without effect has one";
    }
    return expected;
}

TEST(SearchSpaceSlow, IsTheFilteredProduct) {
    const SpaceGiven g = space_given(deep_gpt(), 4);
    const SearchSpace space = small_space();
    const auto expected = expected_candidates(g, space);
    const CandidateList list(g.scenario, *g.model, space);
    std::set<std::string> listed;
    for (std::uint64_t i = 0; i < list.size(); ++i) {
        const std::string name = list.strategy(i).name;
        EXPECT_TRUE(expected.contains(name)) << name << " is not of the product, or not valid";
        EXPECT_TRUE(listed.insert(name).second) << name << " twice";
    }
    EXPECT_GT(listed.size(), 200u);
    // What is left out has the figures of the same with the values listed first.
    for (const auto& [name, known] : expected) {
        if (listed.contains(name)) continue;
        const int dp = data_parallel_degree(g, known.strategy);
        bool equal = false;
        for (const bool bucket : {false, true})
            for (const bool partition : {false, true}) {
                Strategy first = known.strategy;
                if (bucket) first.bucket = Strategy{}.bucket;
                if (partition) first.partition = {};
                const std::string other = candidate_name(first, dp);
                equal |= listed.contains(other) && expected.at(other).figures == known.figures;
            }
        EXPECT_TRUE(equal) << name << " was left out";
    }
}

TEST(SearchSpace, CombinationsThatDoNotExistAreCountedByTheirRule) {
    const SpaceGiven g = space_given(deep_gpt(), 4);
    const CandidateList list(g.scenario, *g.model, small_space());
    std::map<std::string, std::uint64_t> refused;
    for (const auto& refusal : list.refused()) {
        refused[refusal.rule] = refusal.combinations;
        EXPECT_FALSE(refusal.example.empty());
    }
    // tp 3 does not divide 4 ranks; micro-batch 3 divides nothing with 4 pairs of degrees.
    EXPECT_EQ(refused["world-size"], 1u);
    EXPECT_EQ(refused["batch"], 4u);
    EXPECT_EQ(refused.size(), 2u);
}

TEST(SearchSpace, ModelsThatCannotBeCutAreRefusedOnce) {
    const SpaceGiven g = space_given(deep_gpt(), 16);  // 8 layers, 4 heads
    SearchSpace space;
    space.tp = {1, 16};
    space.pp = {1, 16};
    space.micro_batch = {1};
    Scenario scenario = g.scenario;
    scenario.training.global_batch = 16;
    const CandidateList list(scenario, *g.model, space);
    std::set<std::string> rules;
    for (const auto& refusal : list.refused()) rules.insert(refusal.rule);
    EXPECT_THAT(rules, ::testing::ElementsAre("partition", "tensor-parallel"));
    EXPECT_EQ(list.size(), 4u);  // dp 16 with ZeRO 0 … 3
}

TEST(SearchSpace, ListsOfLayersHaveNoSequenceToDivideAndNothingToRecompute) {
    const SpaceGiven g = space_given(tiny_mlp(), 2);
    for (const auto& space :
         {SearchSpace::usual(g.scenario, *g.model), SearchSpace::thorough(g.scenario, *g.model)}) {
        const CandidateList list(g.scenario, *g.model, space);
        ASSERT_GT(list.size(), 0u);
        for (std::uint64_t i = 0; i < list.size(); ++i) {
            const Strategy strategy = list.strategy(i);
            EXPECT_FALSE(strategy.sequence_parallel);
            EXPECT_EQ(strategy.recompute.kind, Recompute::Kind::none);
        }
    }
}

// Of few blocks every choice of which are computed again is one candidate: the first alone, too.
TEST(SearchSpace, ShallowModelsRecomputeOneBlock) {
    const SpaceGiven g = space_given(test::deep_gpt(), 2);
    SearchSpace space = SearchSpace::usual(g.scenario, *g.model);
    using enum Recompute::Kind;
    space.recompute = {{none},       {full, 1, 1}, {full, 2, 1},
                       {full, 6, 1}, {full, 8, 1}, {full, 9, 1}};
    space.attention = {AttentionKind::flash};
    const CandidateList list(g.scenario, *g.model, space);
    std::set<std::string> found;
    for (std::uint64_t i = 0; i < list.size(); ++i)
        found.insert(recompute_text(list.strategy(i).recompute));
    EXPECT_THAT(found, testing::UnorderedElementsAre("none", "full", "every 2", "every 6"));
}

TEST(SearchSpace, EmptyListsOfValuesAreErrors) {
    const SpaceGiven g = space_given(deep_gpt(), 4);
    SearchSpace space;
    space.zero.clear();
    try {
        CandidateList(g.scenario, *g.model, space);
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, "search-space");
        EXPECT_THAT(error.message, ::testing::HasSubstr("zero"));
    }
}

TEST(SearchSpace, TheFirstScenarioHasEnoughCandidates) {
    const SpaceGiven g = shipped("gpt-13b-16-gpus");
    const CandidateList usual(g.scenario, *g.model, SearchSpace::usual(g.scenario, *g.model));
    EXPECT_GE(usual.size(), 300u);
    EXPECT_LE(usual.size(), 5'000u);
    const CandidateList thorough(g.scenario, *g.model, SearchSpace::thorough(g.scenario, *g.model));
    EXPECT_GE(thorough.size(), 100'000u);
    std::set<std::string> names;
    for (std::uint64_t i = 0; i < thorough.size(); ++i) names.insert(thorough.strategy(i).name);
    EXPECT_EQ(names.size(), thorough.size()) << "names tell candidates apart";
}

// What the usual space lists is also in the thorough one.
TEST(SearchSpace, ThoroughHoldsTheUsual) {
    const SpaceGiven g = space_given(deep_gpt(), 4);
    const CandidateList usual(g.scenario, *g.model, SearchSpace::usual(g.scenario, *g.model));
    const CandidateList thorough(g.scenario, *g.model, SearchSpace::thorough(g.scenario, *g.model));
    std::set<std::string> names;
    for (std::uint64_t i = 0; i < thorough.size(); ++i) names.insert(thorough.strategy(i).name);
    for (std::uint64_t i = 0; i < usual.size(); ++i)
        EXPECT_TRUE(names.contains(usual.strategy(i).name)) << usual.strategy(i).name;
}

// Of a mixture, every expert-parallel degree that divides what it must, each of which lowers.
TEST(SearchSpace, ExpertsAreDivided) {
    TransformerSpec spec = test::tiny_transformer();
    spec.layers = 2;
    spec.experts = {6, 2, 20};
    const SpaceGiven g = space_given({"experts", spec}, 8);
    SearchSpace space;
    space.micro_batch = {1};
    space.zero = {0, 1};
    const CandidateList list(g.scenario, *g.model, space);
    std::set<std::string> degrees;
    for (std::uint64_t i = 0; i < list.size(); ++i) {
        const Strategy s = list.strategy(i);
        EXPECT_NO_THROW(lower(g.scenario, g.model, s, {})) << s.name;
        degrees.insert("tp" + std::to_string(s.tp) + " pp" + std::to_string(s.pp) + " ep" +
                       std::to_string(s.ep) + (s.etp ? " etp" + std::to_string(*s.etp) : ""));
    }
    // dp is 8, 4, 2 or 1; six experts divide by 1 and 2 of its divisors.
    EXPECT_THAT(degrees, ::testing::IsSupersetOf({"tp1 pp1 ep1", "tp1 pp1 ep2", "tp2 pp2 ep2",
                                                  "tp4 pp2 ep1", "tp2 pp1 ep2"}));
    EXPECT_FALSE(degrees.contains("tp4 pp2 ep2"));
    // Whole experts divide over the tensor-parallel ranks too.
    EXPECT_THAT(degrees, ::testing::IsSupersetOf({"tp4 pp2 ep2 etp1", "tp2 pp1 ep2 etp1"}));
    EXPECT_FALSE(degrees.contains("tp1 pp1 ep2 etp1"));
    space.ep = {2};
    const CandidateList two(g.scenario, *g.model, space);
    for (std::uint64_t i = 0; i < two.size(); ++i) EXPECT_EQ(two.strategy(i).ep, 2);
}

}  // namespace
}  // namespace shardscope
