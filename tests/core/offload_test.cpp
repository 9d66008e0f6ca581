// What lies outside the device: bytes per tier and traffic per step in closed forms, and what is refused.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/checked.h"
#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/program/check.h"
#include "core/report/evaluate.h"
#include "core/report/report_import.h"
#include "core/report/report_io.h"
#include "core/report/report_text.h"
#include "tests/core/plan_facts.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using enum OffloadTo;
using test::checked_plan;
using test::kHalfBytes;
using test::kStateBytes;
using test::kTinyHidden;
using test::kTinyLayers;
using test::kTinySeq;
using test::padded;

constexpr std::int64_t kStates = 3;  // Adam's two and the master weights

Scenario offloaded(int zero, const Offload& offload, int ranks = 4,
                   std::int64_t micro_batches = 2) {
    Scenario s = test::tiny_scenario(test::tiny_llama(), ranks);
    s.cluster = catalogue_cluster("h100-sxm");
    s.cluster.gpus_per_node = ranks;
    s.training.precision = DType::bf16;
    s.training.micro_batch = 24 / ranks / micro_batches;
    s.strategies[0].zero = zero;
    s.strategies[0].bucket = Bytes(6000);
    s.strategies[0].offload = offload;
    if (offload.activations != none) s.strategies[0].recompute = {Recompute::Kind::full, 1};
    return s;
}

// Calls visit(instruction) for everything that the first role does in a step.
template <class Visit>
void for_each_step_instruction(const Plan& plan, Visit visit) {
    const RoleProgram& role = plan.program.roles[0];
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions) visit(i);
}

std::int64_t moved(const Plan& plan, Stream stream) {
    std::int64_t bytes = 0;
    for_each_step_instruction(plan, [&](const Instruction& i) {
        if (const auto* move = std::get_if<Move>(&i.operation); move && i.stream == stream)
            bytes += move->bytes().value;
    });
    return bytes;
}

std::int64_t placed(std::int64_t bytes) { return round_up(bytes, kArenaAlignment); }

struct Shards {
    std::int64_t sum = 0, largest = 0;
    std::vector<std::int64_t> each;
    std::int64_t placed_bytes(std::int64_t per_element) const {
        std::int64_t bytes = 0;
        for (const std::int64_t shard : each) bytes += placed(shard * per_element);
        return bytes;
    }
};
Shards shards_of(const Plan& plan) {
    Shards shards;
    for (const Unit& unit : plan.units[0]) {
        shards.sum += unit.shard;
        shards.largest = std::max(shards.largest, unit.shard);
        shards.each.push_back(unit.shard);
    }
    return shards;
}

std::int64_t device_bytes(const Plan& plan, Category category) {
    std::int64_t bytes = 0;
    for (const Buffer& b : plan.program.roles[0].buffers)
        if (b.tier == Tier::device && b.category == category &&
            b.residence == Residence::persistent)
            bytes += b.size().value;
    return bytes;
}

TEST(Offload, TheHostHasStatesMastersAndGradients) {
    for (const int zero : {1, 2, 3})
        for (const int ranks : {1, 4}) {
            SCOPED_TRACE(testing::Message() << "zero " << zero << " ranks " << ranks);
            const Plan plan = checked_plan(offloaded(zero, {.optimizer = cpu}, ranks));
            const Shards shards = shards_of(plan);
            const std::int64_t kept =
                shards.placed_bytes(kHalfBytes) + kStates * shards.placed_bytes(kStateBytes);
            EXPECT_EQ(plan.memory[0].beside.host.value,
                      kept + 2 * placed(shards.largest * kHalfBytes));
            EXPECT_EQ(plan.memory[0].beside.nvme.value, 0);
            EXPECT_EQ(device_bytes(plan, Category::optimizer_states), 0);
            EXPECT_EQ(device_bytes(plan, Category::gradients),
                      zero == 1 ? padded(plan) * kHalfBytes : 0);
        }
}

// Gradients leave with every micro-batch from stage 2 on, and come back to be added to; updated parameters
// come once.
TEST(Offload, TrafficOfAStep) {
    for (const int zero : {1, 2, 3})
        for (const std::int64_t micro_batches : {1, 2, 3}) {
            SCOPED_TRACE(testing::Message() << "zero " << zero << ", " << micro_batches);
            const Plan plan = checked_plan(offloaded(zero, {.optimizer = cpu}, 4, micro_batches));
            const std::int64_t bytes = shards_of(plan).sum * kHalfBytes;
            const std::int64_t times = zero == 1 ? 1 : micro_batches;
            EXPECT_EQ(moved(plan, Stream::to_host), times * bytes);
            EXPECT_EQ(moved(plan, Stream::to_device), (times - 1) * bytes + bytes);
        }
}

TEST(Offload, StatesOnNvmeAreReadAndWrittenOnce) {
    const Plan plan = checked_plan(offloaded(2, {.optimizer = nvme}));
    const Shards shards = shards_of(plan);
    EXPECT_EQ(plan.memory[0].beside.nvme.value, kStates * shards.placed_bytes(kStateBytes));
    EXPECT_EQ(
        plan.memory[0].beside.host.value,
        shards.placed_bytes(kHalfBytes) + 2 * (placed(shards.largest * kHalfBytes) +
                                               kStates * placed(shards.largest * kStateBytes)));
    EXPECT_EQ(moved(plan, Stream::nvme_read), kStates * kStateBytes * shards.sum);
    EXPECT_EQ(moved(plan, Stream::nvme_write), kStates * kStateBytes * shards.sum);
}

// Of every gather a rank fetches what it gives.
TEST(Offload, ParametersAreFetchedBeforeTheyAreGathered) {
    for (const OffloadTo to : {cpu, nvme}) {
        const Plan plan = checked_plan(offloaded(3, {.optimizer = cpu, .parameters = to}));
        const Shards shards = shards_of(plan);
        std::int64_t gathered = 0;
        for_each_step_instruction(plan, [&](const Instruction& i) {
            if (const auto* c = std::get_if<Collective>(&i.operation);
                c && c->kind == CollectiveKind::all_gather)
                gathered += c->bytes().value;
        });
        const std::int64_t gradients = shards.sum * kHalfBytes;  // back for the second micro-batch
        EXPECT_EQ(moved(plan, Stream::to_device), gathered / 4 + gradients);
        EXPECT_EQ(moved(plan, Stream::nvme_read), to == nvme ? gathered / 4 : 0);
        EXPECT_EQ(moved(plan, Stream::nvme_write), to == nvme ? shards.sum * kHalfBytes : 0);
        EXPECT_EQ(plan.memory[0].beside.nvme.value,
                  to == nvme ? shards.placed_bytes(kHalfBytes) : 0);
        EXPECT_EQ(device_bytes(plan, Category::parameters), 0);
    }
}

TEST(Offload, ParametersOnTheHostCountThere) {
    const Plan plan = checked_plan(offloaded(3, {.optimizer = cpu, .parameters = cpu}));
    const Shards shards = shards_of(plan);
    EXPECT_EQ(plan.memory[0].beside.host.value,
              2 * shards.placed_bytes(kHalfBytes) + kStates * shards.placed_bytes(kStateBytes));
}

// In fp32 what lies on the host is what the host steps: there is no master beside it.
TEST(Offload, OneCopyInFp32) {
    Scenario s = offloaded(3, {.optimizer = cpu, .parameters = cpu});
    s.training.precision = DType::fp32;
    const Plan plan = checked_plan(s);
    EXPECT_EQ(plan.memory[0].beside.host.value, 4 * shards_of(plan).placed_bytes(kStateBytes));
}

TEST(Offload, CheckpointsWaitOnTheHost) {
    const Plan plan = checked_plan(offloaded(0, {.activations = cpu}));
    const std::int64_t checkpoint = plan.layout.micro_batch * kTinySeq * kTinyHidden * kHalfBytes;
    EXPECT_EQ(plan.memory[0].beside.host.value, kTinyLayers * placed(checkpoint));
    EXPECT_EQ(moved(plan, Stream::to_host), 2 * kTinyLayers * checkpoint);
    EXPECT_EQ(moved(plan, Stream::to_device), 2 * kTinyLayers * checkpoint);
    const Plan stored = checked_plan(offloaded(0, {.activations = nvme}));
    EXPECT_EQ(stored.memory[0].beside.nvme.value, kTinyLayers * placed(checkpoint));
    EXPECT_EQ(moved(stored, Stream::nvme_read), 2 * kTinyLayers * checkpoint);
}

// With more blocks than are on their way at once.
TEST(Offload, CheckpointsLeaveTheDevice) {
    Scenario s = offloaded(0, {.activations = cpu}, 1, 1);
    std::get<LlamaSpec>(s.model.kind).layers = 12;
    const Bytes peak = checked_plan(s).memory[0].arena;
    s.strategies[0].offload = {};
    const std::int64_t checkpoint = 24 * kTinySeq * kTinyHidden * kHalfBytes;
    EXPECT_GE(checked_plan(s).memory[0].arena.value, peak.value + 8 * checkpoint);
}

// A pipeline's first stage keeps those of as many micro-batches as it has in flight.
TEST(Offload, CheckpointsOfAPipelineAreInFlight) {
    Scenario s = offloaded(0, {.activations = cpu}, 2, 1);
    s.model = test::deep_llama();
    s.strategies[0].pp = 2;
    s.training.micro_batch = 4;
    const Plan plan = checked_plan(s);
    const std::int64_t checkpoint = 4 * kTinySeq * kTinyHidden * kHalfBytes;
    for (const int stage : {0, 1})
        EXPECT_EQ(plan.memory[static_cast<std::size_t>(stage)].beside.host.value,
                  (2 - stage) * kTinyLayers * placed(checkpoint));
}

TEST(Offload, EveryCombinationIsAProgram) {
    for (const int zero : {1, 2, 3})
        for (const int ranks : {1, 4})
            for (const OffloadTo optimizer : {cpu, nvme})
                for (const OffloadTo parameters : {none, cpu, nvme})
                    for (const OffloadTo activations : {none, cpu, nvme})
                        for (const DType precision : {DType::fp32, DType::bf16}) {
                            if (zero < 3 && parameters != none) continue;
                            Scenario s =
                                offloaded(zero, {optimizer, parameters, activations}, ranks, 3);
                            s.training.precision = precision;
                            s.training.clip = zero == 2 ? 0 : 1;
                            SCOPED_TRACE(layout_of(s.strategies[0], ranks));
                            EXPECT_NO_THROW(checked_plan(s));
                        }
}

TEST(Offload, GoesWithOtherParallelism) {
    const Offload all{.optimizer = cpu, .parameters = nvme, .activations = cpu};
    for (const auto& change : std::vector<std::function<void(Strategy&)>>{
             [](Strategy& s) { s.tp = 2, s.sequence_parallel = true; },
             [](Strategy& s) { s.pp = 2; },
             [](Strategy& s) { s.pp = 2, s.schedule = Schedule::zero_bubble; },
             [](Strategy& s) { s.pp = 2, s.virtual_stages = 3; },
             [](Strategy& s) { s.pp = 4, s.schedule = Schedule::zero_bubble; },
             [](Strategy& s) { s.shard_group = 2; }, [](Strategy& s) { s.prefetch = 3; },
             [](Strategy& s) { s.zero = 1, s.offload.parameters = none, s.pp = 2; },
             [](Strategy& s) {
                 s.zero = 1, s.offload.parameters = none, s.reduce_at = ReduceAt::micro_batch;
             }}) {
        Scenario s = offloaded(3, all, 4, 3);
        s.model = test::deep_llama();
        s.training.micro_batch = 2;
        change(s.strategies[0]);
        SCOPED_TRACE(layout_of(s.strategies[0], 0));
        EXPECT_NO_THROW(checked_plan(s));
    }
}

// Products keep what they keep, on the host: DeepSpeed's estimator has 18 bytes per parameter there for
// stage 3 with offload_optimizer (stage3.py), of which 2 are gradients and 4 those in fp32.
// Where DeepSpeed keeps small parameters whole on the device, updates of them and of others take turns in what is staged.
TEST(Offload, StagedParametersWaitForThoseBeforeThem) {
    TransformerSpec mixture = test::tiny_transformer();
    mixture.layers = 6;
    mixture.experts = {8, 2, 20};
    Scenario s = offloaded(3, {nvme, nvme, none}, 8);
    s.model = {"mixture", mixture};
    s.training.precision = DType::fp32;  // without a master the step reads what is staged
    s.training.micro_batch = 1;
    Strategy& strategy = s.strategies[0];
    strategy.profile = RuntimeProfile::deepspeed_2021;
    strategy.tp = 4;
    strategy.sequence_parallel = true;
    strategy.etp = 2;
    strategy.pp = 2;
    strategy.virtual_stages = 2;
    const Plan plan = test::lower_tiny(s);
    for (const RoleProgram& role : plan.program.roles) {
        const auto fetched = std::ranges::count_if(
            role.buffers, [](const Buffer& b) { return b.name.starts_with("fetched "); });
        EXPECT_GT(fetched, 0);
    }
    std::vector<MemoryPlan> arenas;
    for (const RoleProgram& role : plan.program.roles)
        arenas.push_back(plan_memory(role, Bytes(0)));
    EXPECT_NO_THROW(check_program(plan.program, arenas));
}

TEST(Offload, DeepSpeedHasEighteenBytes) {
    Scenario s = offloaded(3, {.optimizer = cpu});
    s.strategies[0].profile = RuntimeProfile::deepspeed;
    const Plan plan = test::lower_tiny(s);
    const Shards shards = shards_of(plan);
    std::int64_t kept = 0;
    for (const Buffer& b : plan.program.roles[0].buffers)
        if (b.tier == Tier::host && b.residence == Residence::persistent) kept += b.size().value;
    EXPECT_EQ(kept, 18 * shards.sum);
    EXPECT_GT(plan.memory[0].beside.host.value, kept);
}

TEST(Offload, ANodeHasWhatItsRanksHave) {
    Scenario s = offloaded(2, {.optimizer = nvme}, 8);
    s.training.micro_batch = 3;
    s.cluster.gpus_per_node = 4;
    s.cluster.nodes = 2;
    const Plan plan = test::lower_tiny(s);
    const BesideDevice node = largest_beside(plan, s.cluster);
    EXPECT_EQ(node.host, plan.memory[0].beside.host * 4);
    EXPECT_EQ(node.nvme, plan.memory[0].beside.nvme * 4);
}

TEST(Offload, TheVerdictNamesTheMemory) {
    Scenario s = offloaded(2, {.optimizer = nvme});
    const auto model = std::make_shared<const Model>(build_model(s.model));
    const auto verdict = [&] {
        return verdict_text(plan_strategy(s, model, s.strategies[0]).report);
    };
    EXPECT_EQ(verdict(), "fits");
    s.cluster.host.memory = Bytes(1000);
    EXPECT_EQ(verdict(), "does not fit: host");
    s.cluster.host.nvme = Bytes(1000);
    EXPECT_EQ(verdict(), "does not fit: host, nvme");
    s.cluster.device.memory = Bytes(1000);
    s.strategies[0].offload = {};
    EXPECT_EQ(verdict(), "does not fit");
}

TEST(Offload, ReportsSayWhatLiesBesideTheDevice) {
    Scenario s = offloaded(2, {.optimizer = nvme});
    s.cluster.host.memory = Bytes(1000);
    const auto model = std::make_shared<const Model>(build_model(s.model));
    Candidate candidate = plan_strategy(s, model, s.strategies[0]);
    const MemoryPlan& plan = candidate.plan->memory[0];
    Trace trace;
    RankTrace& rank = trace.ranks.emplace_back();
    rank.rank = Rank(0);
    rank.multiplicity = 4;
    rank.memory.categories = plan.categories;
    rank.memory.peak = plan.peak();
    rank.memory.beside = plan.beside;
    candidate.report.simulated = summarise(trace, *candidate.plan, s.cluster);
    Report report;
    report.scenario = s;
    report.scenario.cluster.host.memory = Bytes(1'000'000);  // the least that is read back
    report.strategies = {candidate.report};
    const std::string json = report_to_json(report);
    const auto results = [](const std::string& text) {
        return text.substr(text.rfind("\"strategies\""));
    };
    EXPECT_EQ(results(report_to_json(report_from_json(json, "report.json"))), results(json));
    EXPECT_THAT(json,
                HasSubstr("\"node_nvme_bytes\": " + std::to_string(4 * plan.beside.nvme.value)));
    EXPECT_THAT(json, HasSubstr("\"exceeded\": [\n        \"host\""));
    const std::string text = simulation_text(report);
    EXPECT_THAT(text, HasSubstr("does not fit: host"));
    EXPECT_THAT(text, HasSubstr("Memory beside the devices"));
}

std::string offload_refusal(const Scenario& s) {
    try {
        test::lower_tiny(s);
    } catch (const Error& e) {
        return e.rule + ": " + e.what();
    }
    return "accepted";
}

TEST(Offload, Refusals) {
    EXPECT_THAT(offload_refusal(offloaded(0, {.optimizer = cpu})),
                HasSubstr("offload.optimizer with zero 0"));
    EXPECT_THAT(offload_refusal(offloaded(2, {.optimizer = cpu, .parameters = cpu})),
                HasSubstr("offload.parameters with zero 2"));
    EXPECT_THAT(offload_refusal(offloaded(3, {.parameters = cpu})),
                HasSubstr("offload.parameters without offload.optimizer"));
    Scenario s = offloaded(2, {.optimizer = cpu});
    s.training.optimizer.kind = OptimizerKind::muon;
    EXPECT_THAT(offload_refusal(s),
                HasSubstr("offload.optimizer with optimizer muon, which the host does "
                          "not step; use adamw, adam, sgd or lion"));
    s = offloaded(2, {.activations = cpu});
    s.strategies[0].recompute = {};
    EXPECT_THAT(offload_refusal(s), HasSubstr("offload.activations without recompute: full"));
    s = test::tiny_scenario(test::tiny_llama(), 4);
    s.strategies[0].zero = 2;
    s.strategies[0].offload.optimizer = cpu;
    EXPECT_THAT(offload_refusal(s), HasSubstr("offload on CPUs"));
    s = offloaded(3, {.optimizer = cpu});
    s.strategies[0].profile = RuntimeProfile::fsdp;
    EXPECT_THAT(offload_refusal(s), HasSubstr("which offloads parameters and states together"));
    s.strategies[0].offload.parameters = cpu;
    s.strategies[0].pp = 2;
    EXPECT_THAT(offload_refusal(s), HasSubstr("offload with profile fsdp and pp 2"));
    s = offloaded(2, {.optimizer = cpu});
    s.model = test::tiny_gpt();
    s.strategies[0].pp = 2;
    EXPECT_THAT(offload_refusal(s), HasSubstr("an embedding that two stages share"));
}

TEST(Offload, AClusterMustStateWhatIsNeeded) {
    const auto without = [](const Offload& offload, const std::function<void(NodeHost&)>& change) {
        Scenario s = offloaded(3, offload);
        change(s.cluster.host);
        return offload_refusal(s);
    };
    EXPECT_THAT(
        without({.optimizer = cpu}, [](NodeHost& h) { h.memory = {}; }),
        HasSubstr("offload optimizer to cpu on cluster h100-sxm, which states no host.memory; "
                  "add host: {memory: 2TB} to the cluster"));
    Scenario unnamed = offloaded(3, {.optimizer = cpu});
    unnamed.cluster.name.clear();
    unnamed.cluster.host = {};
    EXPECT_THAT(offload_refusal(unnamed), HasSubstr("cpu on a cluster that states no host.memory"));
    EXPECT_THAT(without({.optimizer = cpu}, [](NodeHost& h) { h.link.bandwidth = {}; }),
                HasSubstr("host.link.bandwidth"));
    EXPECT_THAT(without({.optimizer = cpu}, [](NodeHost& h) { h.memory_bandwidth = {}; }),
                HasSubstr("host.memory_bandwidth"));
    EXPECT_THAT(without({.optimizer = nvme}, [](NodeHost& h) { h.nvme = {}; }),
                HasSubstr("host.nvme.capacity"));
    EXPECT_THAT(without({.activations = nvme}, [](NodeHost& h) { h.nvme_write = {}; }),
                HasSubstr("host.nvme.write"));
    EXPECT_EQ(without({.activations = cpu}, [](NodeHost& h) { h.memory_bandwidth = {}; }),
              "accepted");
}

TEST(Offload, FsdpOffloadsEverything) {
    for (const int ranks : {1, 4}) {
        Scenario s = offloaded(3, {.optimizer = cpu, .parameters = cpu}, ranks);
        s.strategies[0].profile = RuntimeProfile::fsdp;
        const Plan plan = test::lower_tiny(s);
        // fp32 parameters, which are the master weights, gradients and two states.
        EXPECT_EQ(plan.memory[0].beside.host.value, 4 * shards_of(plan).placed_bytes(kStateBytes));
    }
}

}  // namespace
}  // namespace shardscope
