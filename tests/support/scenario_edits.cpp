#include "tests/support/scenario_edits.h"

#include "core/model/model_source.h"

namespace shardscope::test {
namespace {

template <typename Value>
Value any_of(std::mt19937& random, std::initializer_list<Value> values) {
    return values.begin()[random() % values.size()];
}

void change(TrainingSpec& t, std::mt19937& random) {
    switch (random() % 8) {
        case 0:
            t.global_batch = any_of<std::int64_t>(random, {1, 16, 64, 4096});
            break;
        case 1:
            t.micro_batch = any_of<std::int64_t>(random, {0, 1, 2});
            break;
        case 2:
            t.precision = any_of(random, {DType::fp32, DType::fp64, DType::bf16});
            t.gradient_dtype.reset();
            break;
        case 3:
            t.precision = DType::bf16;
            t.gradient_dtype = DType::fp32;
            break;
        case 4:
            t.optimizer = {};
            t.optimizer.kind = kOptimizerKinds[std::uniform_int_distribution<std::size_t>(
                0, kOptimizerKinds.size() - 1)(random)];
            if (t.optimizer.kind == OptimizerKind::sgd || t.optimizer.kind == OptimizerKind::muon)
                t.optimizer.momentum = any_of(random, {0.0, 0.9});
            break;
        case 5:
            t.optimizer.lr = any_of(random, {1e-3, 3e-4, 0.1 + 0.2});
            t.optimizer.weight_decay = any_of(random, {0.0, 0.01, 0.1});
            break;
        case 6:
            t.clip = any_of(random, {0.0, 1.0});
            t.steps = any_of<std::int64_t>(random, {20, 7});
            break;
        default:
            t.seed = random();
    }
}

void change(Partition& partition, std::mt19937& random) {
    partition = {};
    partition.kind = any_of(
        random, {Partition::Kind::blocks, Partition::Kind::uniform, Partition::Kind::parameters,
                 Partition::Kind::pattern, Partition::Kind::counts});
    if (partition.kind == Partition::Kind::pattern) partition.pattern = "^blocks: \"\\d\"";
    if (partition.kind == Partition::Kind::counts) partition.counts = {3, 1, 2};
}

void change_model_parallel(Strategy& s, std::mt19937& random) {
    switch (random() % 13) {
        case 12:
            s.dispatcher = any_of(
                random, {Dispatcher::all_to_all, Dispatcher::all_gather, Dispatcher::deepep});
            s.dispatch_precision =
                any_of(random, {DispatchPrecision::stored, DispatchPrecision::fp8});
            s.overlap_shared_experts = any_of(random, {false, true});
            break;
        case 11:
            s.quantized_weights = any_of(random, {false, true});
            s.secondary_shard = any_of(random, {0, 2, 8, Strategy::kWholeNode});
            s.quantized_gradients = any_of(random, {false, true});
            break;
        case 8:
            s.tp_overlap = any_of<std::optional<TensorOverlap>>(
                random, {std::nullopt, TensorOverlap::none, TensorOverlap::gradients,
                         TensorOverlap::pieces});
            break;
        case 9:
            s.overlap_reduce = any_of<std::optional<bool>>(random, {std::nullopt, true, false});
            s.overlap_gather = !s.overlap_gather;
            if (s.profile != RuntimeProfile::shardscope)
                s.expandable_segments =
                    any_of<std::optional<bool>>(random, {std::nullopt, true, false});
            break;
        case 10:
            s.offload.optimizer =
                any_of(random, {OffloadTo::none, OffloadTo::cpu, OffloadTo::nvme});
            s.offload.activations = any_of(random, {OffloadTo::none, OffloadTo::cpu});
            break;
        case 6:
            s.cp = any_of(random, {1, 2, 4});
            s.cp_kind = any_of<std::optional<ContextKind>>(
                random,
                {std::nullopt, ContextKind::ring, ContextKind::all_gather, ContextKind::ulysses});
            break;
        case 7:
            s.shard_group = any_of(random, {0, 2, 8, Strategy::kWholeNode});
            break;
        case 0:
            s.sequence_parallel = !s.sequence_parallel;
            break;
        case 1:
            s.schedule =
                any_of(random, {Schedule::gpipe, Schedule::one_f_one_b, Schedule::zero_bubble});
            break;
        case 2:
            s.virtual_stages = any_of(random, {1, 2, 5});
            break;
        case 3:
            change(s.partition, random);
            break;
        case 4:
            s.recompute = {any_of(random, {Recompute::Kind::none, Recompute::Kind::selective,
                                           Recompute::Kind::full}),
                           1};
            if (s.recompute.kind == Recompute::Kind::full)
                s.recompute.every = any_of(random, {1, 2});
            break;
        default:
            s.attention = any_of(random, {AttentionKind::flash, AttentionKind::unfused});
    }
}

void change(Strategy& s, std::mt19937& random) {
    switch (random() % 10) {
        case 0:
            s.tp = any_of(random, {1, 2, 8});
            break;
        case 1:
            s.pp = any_of(random, {1, 2, 3});
            break;
        case 2:
            s.dp = any_of<std::optional<int>>(random, {std::nullopt, 4});
            break;
        case 3:
            s.ranks = any_of<std::optional<int>>(random, {std::nullopt, 1, 8});
            break;
        case 4:
            s.zero = any_of(random, {0, 1, 2, 3});
            break;
        case 5:
            s.micro_batch = any_of<std::optional<std::int64_t>>(random, {std::nullopt, 1, 2});
            break;
        case 6:
            s.bucket = any_of(random, {Bytes(25 * 1024 * 1024), Bytes(1), Bytes(1000)});
            s.prefetch = any_of(random, {0, 1, 4});
            break;
        case 7:
            s.reduce_at =
                any_of(random, {ReduceAt::by_stage, ReduceAt::boundary, ReduceAt::micro_batch});
            break;
        case 8: {
            // Names of presets among them, which mean more in a file than a name.
            const std::string name = any_of<std::string>(
                random, {"zero-3", "ddp", "single", "null", "1", "true", "ü: \"x\" #", " a ", "~"});
            s.name = name;
            break;
        }
        default:
            change_model_parallel(s, random);
    }
}

}  // namespace

void change(Scenario& scenario, std::mt19937& random) {
    const auto what = random() % 10;
    if (what < 2) {
        change(scenario.training, random);
    } else if (what == 2) {
        scenario.cluster.nodes = any_of(random, {1, 2, 16});
        scenario.cluster.gpus_per_node = any_of(random, {2, 4, 8});
    } else if (what == 3) {
        if (std::int64_t* const length = sequence_length(scenario.model))
            *length = any_of<std::int64_t>(random, {128, 1024, 1000});
    } else {
        const std::size_t row = random() % scenario.strategies.size();
        Strategy changed = scenario.strategies[row];
        change(changed, random);
        // Names are unique in a file.
        for (std::size_t i = 0; i < scenario.strategies.size(); ++i)
            if (i != row && scenario.strategies[i].name == changed.name)
                changed.name = scenario.strategies[row].name;
        scenario.strategies[row] = changed;
    }
}

}  // namespace shardscope::test
