#include "gui/models/error_place.h"

#include <algorithm>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/model/model_source.h"
#include "gui/models/edits.h"
#include "gui/session/session.h"

namespace shardscope::gui {
namespace {

struct SpoiltCase {
    const char* rule;
    const char* field;
    std::function<void(Scenario&, Strategy&)> provoke;
};

class ErrorPlace : public testing::TestWithParam<SpoiltCase> {};

// What the evaluation says of a comparison whose only strategy was spoilt.
TEST_P(ErrorPlace, IsTheFieldToChange) {
    Machine machine;
    machine.cores = 1;
    Session session({{}, machine, {}});
    session.document().open(SHARDSCOPE_SOURCE_DIR "/scenarios/gpt-13b-16-gpus.yaml");
    session.document().edit("spoil", [](Scenario& scenario) {
        scenario.strategies.resize(1);
        GetParam().provoke(scenario, scenario.strategies.front());
    });
    session.wait();
    const Evaluation& evaluation = *session.evaluation();
    const std::optional<Error>& error =
        evaluation.error ? evaluation.error : evaluation.report.strategies.front().error;
    ASSERT_TRUE(error) << "nothing is wrong";
    EXPECT_EQ(error->rule, GetParam().rule) << error->what();
    EXPECT_EQ(error_field(*error).toStdString(), GetParam().field) << error->what();
}

const SpoiltCase kCases[] = {
    {"range", "tp", [](Scenario&, Strategy& s) { s.tp = 0; }},
    {"range", "pp", [](Scenario&, Strategy& s) { s.pp = 0; }},
    {"range", "dp", [](Scenario&, Strategy& s) { s.dp = 0; }},
    {"range", "ranks", [](Scenario&, Strategy& s) { s.ranks = 0; }},
    {"range", "zero", [](Scenario&, Strategy& s) { s.zero = 4; }},
    {"range", "micro_batch", [](Scenario&, Strategy& s) { s.micro_batch = 0; }},
    {"range", "virtual_stages", [](Scenario&, Strategy& s) { s.virtual_stages = 0; }},
    {"range", "every",
     [](Scenario&, Strategy& s) {
         s.recompute = {Recompute::Kind::full, 0};
     }},
    {"range", "blocks",
     [](Scenario&, Strategy& s) {
         s.recompute = {Recompute::Kind::full, 4, 0};
     }},
    {"range", "blocks",
     [](Scenario&, Strategy& s) {
         s.recompute = {Recompute::Kind::full, 4, 5};
     }},
    {"range", "global_batch", [](Scenario& c, Strategy&) { c.training.global_batch = 0; }},
    {"reduce-at", "zero",
     [](Scenario&, Strategy& s) {
         s.zero = 2;
         s.reduce_at = ReduceAt::boundary;
     }},
    {"world-size", "pp",
     [](Scenario&, Strategy& s) {
         s.tp = 4;
         s.pp = 3;
     }},
    {"world-size", "tp",
     [](Scenario&, Strategy& s) {
         s.tp = 3;
         s.pp = 2;
     }},
    {"world-size", "dp", [](Scenario&, Strategy& s) { s.dp = 3; }},
    {"world-size", "ranks", [](Scenario&, Strategy& s) { s.ranks = 17; }},
    {"batch", "global_batch", [](Scenario& c, Strategy&) { c.training.global_batch = 65; }},
    {"batch", "micro_batch", [](Scenario&, Strategy& s) { s.micro_batch = 3; }},
    {"sequence-parallel", "sequence_parallel",
     [](Scenario&, Strategy& s) { s.sequence_parallel = true; }},
    {"range", "cp", [](Scenario&, Strategy& s) { s.cp = 0; }},
    {"world-size", "cp",
     [](Scenario&, Strategy& s) {
         s.tp = 1;
         s.cp = 3;
     }},
    {"expert-parallel", "ep", [](Scenario&, Strategy& s) { s.ep = 2; }},
    {"dispatcher", "dispatcher", [](Scenario&, Strategy& s) { s.dispatcher = Dispatcher::deepep; }},
    {"shard-group", "shard_group",
     [](Scenario&, Strategy& s) {
         s.zero = 3;
         s.shard_group = 3;
     }},
    {"tp-overlap", "tp_overlap",
     [](Scenario&, Strategy& s) {
         s.tp = 1;
         s.tp_overlap = TensorOverlap::gradients;
     }},
    {"overlap-gather", "overlap_gather",
     [](Scenario&, Strategy& s) {
         s.zero = 3;
         s.overlap_gather = true;
     }},
    {"expandable-segments", "expandable_segments",
     [](Scenario&, Strategy& s) { s.expandable_segments = true; }},
    {"virtual-stages", "virtual_stages", [](Scenario&, Strategy& s) { s.virtual_stages = 2; }},
    {"virtual-stages", "virtual_stages",
     [](Scenario&, Strategy& s) {
         s.pp = 2;
         s.virtual_stages = 2;
         s.schedule = Schedule::gpipe;
     }},
    {"partition", "pp",
     [](Scenario&, Strategy& s) {
         s.pp = 16;
         s.virtual_stages = 100;
     }},
    {"partition", "partition",
     [](Scenario&, Strategy& s) {
         s.pp = 2;
         s.partition.kind = Partition::Kind::counts;
         s.partition.counts = {1};
     }},
    {"pattern", "partition",
     [](Scenario&, Strategy& s) {
         s.pp = 2;
         s.partition = {Partition::Kind::pattern, "(", {}};
     }},
    {"tensor-parallel", "tp",
     [](Scenario& c, Strategy& s) {
         c.cluster.nodes = 7;
         c.training.global_batch = 64;
         s.tp = 7;
         s.zero = 0;
     }},
    {"device-peak", "precision",
     [](Scenario& c, Strategy&) { c.cluster.device.peak.erase(c.training.arithmetic()); }},
    {"not-calibrated", "cluster", [](Scenario& c, Strategy&) { c.cluster.this_machine = true; }},
    {"heads", "model",
     [](Scenario& c, Strategy&) {
         std::visit(
             [](auto& kind) {
                 if constexpr (requires { kind.heads; }) kind.heads = 7;
             },
             c.model.kind);
     }},
    {"schedule-size", "micro_batch",
     [](Scenario& c, Strategy& s) {
         c.training.global_batch = 16'000'000;  // of short samples, so that bytes do not overflow
         *sequence_length(c.model) = 8;
         s.pp = 2;
         s.micro_batch = 1;
     }},
};

INSTANTIATE_TEST_SUITE_P(Rules, ErrorPlace, testing::ValuesIn(kCases), [](const auto& param) {
    std::string name =
        std::string(param.param.rule) + "_" + param.param.field + "_" + std::to_string(param.index);
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
});

TEST(ErrorPlaceOfEdits, IsTheSequence) {
    EXPECT_EQ(error_field(Error("sequence", "model mlp has no sequence length", "")), "sequence");
    EXPECT_EQ(error_field(Error("internal", "", "", ErrorKind::run_failed)), "");
}

}  // namespace
}  // namespace shardscope::gui
