// Good scenarios: what every key means, defaults, and the way out and back in.
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/catalogue.h"
#include "core/scenario_io.h"
#include "core/strategy/strategy_io.h"
#include "core/training_io.h"

namespace shardscope {
namespace {

const std::string kTail = "training: {global_batch: 8}\ncluster: {this_machine: {ranks: 2}}\n";
const std::string kGpt = "model: {gpt: {layers: 2, hidden: 64, heads: 4, vocab: 256, seq: 16}}\n";

Scenario parsed(const std::string& text, const std::string& path = "folder/s.yaml") {
    return parse_scenario(text, path, {"", 2, Bytes(1 << 30)});
}

Strategy strategy(const std::string& entry) {
    const Scenario scenario = parsed(kGpt + kTail + "strategies: [" + entry + "]\n");
    EXPECT_EQ(scenario.strategies.size(), 1u);
    return scenario.strategies[0];
}

ModelSpec model(const std::string& text) { return parsed("model: " + text + "\n" + kTail).model; }

TrainingSpec training(const std::string& text) {
    return parsed(kGpt + "training: " + text + "\ncluster: {this_machine: {ranks: 2}}\n").training;
}

TEST(Scenario, DefaultsAreWhatAPractitionerExpects) {
    const Scenario s = parsed(kGpt + kTail);
    EXPECT_EQ(s.name, "s");
    EXPECT_TRUE(std::holds_alternative<SyntheticData>(s.data));
    EXPECT_EQ(s.training.micro_batch, 0);
    EXPECT_EQ(s.training.steps, 20);
    EXPECT_EQ(s.training.precision, DType::fp32);
    EXPECT_FALSE(s.training.gradient_dtype);
    EXPECT_EQ(s.training.optimizer.kind, OptimizerKind::adamw);
    EXPECT_EQ(s.training.optimizer.weight_decay, 0.01);
    EXPECT_EQ(s.training.clip, 0);
    EXPECT_EQ(s.training.seed, 1u);
    std::vector<std::string> names;
    for (const Strategy& each : s.strategies) names.push_back(each.name);
    EXPECT_EQ(names, (std::vector<std::string>{"single", "ddp", "zero-1", "zero-2", "zero-3"}));
}

TEST(Scenario, GptFillsItsWidth) {
    const auto gpt = std::get<GptSpec>(parsed(kGpt + kTail).model.kind);
    EXPECT_EQ(gpt.layers, 2);
    EXPECT_EQ(gpt.ffn, 256);
    EXPECT_TRUE(gpt.tied_embeddings);
}

TEST(Scenario, LlamaReadsEveryKey) {
    const ModelSpec spec = model(
        "{llama: {layers: 3, hidden: 64, heads: 8, kv_heads: 2, ffn: 96, vocab: 100, seq: 32, "
        "head_dim: 16, rope_theta: 5e5, norm_epsilon: 1e-6, tied_embeddings: true}}");
    const auto llama = std::get<LlamaSpec>(spec.kind);
    EXPECT_EQ(spec.name, "llama");
    EXPECT_EQ(llama.kv_heads, 2);
    EXPECT_EQ(llama.head_dim, 16);
    EXPECT_EQ(llama.rope_theta, 5e5);
    EXPECT_EQ(llama.norm_epsilon, 1e-6);
    EXPECT_TRUE(llama.tied_embeddings);
}

TEST(Scenario, LayerListTakesEveryForm) {
    const auto list = std::get<LayerListSpec>(
        model("{layers: [{linear: [784, 128]}, relu, {layer_norm: 128}, "
              "{linear: {in: 128, out: 32, bias: false}}, gelu, layer_norm, {linear: [32, 10]}]}")
            .kind);
    using Kind = LayerListSpec::Kind;
    ASSERT_EQ(list.items.size(), 7u);
    EXPECT_EQ(list.items[0].in, 784);
    EXPECT_TRUE(list.items[0].bias);
    EXPECT_EQ(list.items[1].kind, Kind::relu);
    EXPECT_EQ(list.items[2].kind, Kind::layer_norm);
    EXPECT_EQ(list.items[2].in, 128);
    EXPECT_FALSE(list.items[3].bias);
    EXPECT_EQ(list.items[4].kind, Kind::gelu);
    EXPECT_EQ(list.items[5].in, 0);
}

TEST(Scenario, CatalogueModelsMayChangeTheirSequence) {
    const ModelSpec plain = model("gpt2-124m");
    EXPECT_EQ(plain.name, "gpt2-124m");
    EXPECT_EQ(std::get<GptSpec>(plain.kind).seq, 1024);
    const ModelSpec shorter = model("{catalogue: llama-3-8b, seq: 4096}");
    EXPECT_EQ(shorter.name, "llama-3-8b");
    EXPECT_EQ(std::get<LlamaSpec>(shorter.kind).seq, 4096);
    EXPECT_EQ(std::get<LlamaSpec>(shorter.kind).rope_theta, 500000);
}

TEST(Scenario, DataPathsAreTakenFromTheFilesFolder) {
    const auto data = [](const std::string& text, const std::string& path) {
        return parsed(kGpt + kTail + "data: " + text + "\n", path).data;
    };
    EXPECT_EQ(std::get<TextData>(data("{text: a.txt}", "x/y/s.yaml")).path, "x/y/a.txt");
    EXPECT_EQ(std::get<TextData>(data("{text: ../a.txt}", "x/s.yaml")).path, "x/../a.txt");
    EXPECT_EQ(std::get<TextData>(data("{text: /a.txt}", "x/s.yaml")).path, "/a.txt");
    EXPECT_EQ(std::get<TokenData>(data("{tokens: a.bin}", "s.yaml")).path, "a.bin");
    EXPECT_EQ(std::get<IdxData>(data("{idx: [i, l]}", "/s.yaml")).labels, "/l");
    EXPECT_EQ(std::get<SyntheticData>(data("synthetic", "s.yaml")).samples, 0);
    EXPECT_EQ(std::get<SyntheticData>(data("{synthetic: {samples: 8}}", "s.yaml")).samples, 8);
}

TEST(Scenario, OptimizersHaveTheirOwnDefaults) {
    EXPECT_EQ(training("{global_batch: 1, optimizer: adam}").optimizer.weight_decay, 0);
    const auto adamw =
        training("{global_batch: 1, optimizer: {adamw: {lr: 3e-4, betas: [0.8, 0.95]}}}").optimizer;
    EXPECT_EQ(adamw.lr, 3e-4);
    EXPECT_EQ(adamw.beta1, 0.8);
    EXPECT_EQ(adamw.beta2, 0.95);
    EXPECT_EQ(adamw.weight_decay, 0.01);
    const auto sgd = training("{global_batch: 1, optimizer: {sgd: {momentum: 0.9}}}").optimizer;
    EXPECT_EQ(sgd.kind, OptimizerKind::sgd);
    EXPECT_EQ(sgd.states(), 1);
    EXPECT_EQ(sgd.weight_decay, 0);
    const auto lion = training("{global_batch: 1, optimizer: {lion: {lr: 3e-5}}}").optimizer;
    EXPECT_EQ(lion.kind, OptimizerKind::lion);
    EXPECT_EQ(lion.lr, 3e-5);
    EXPECT_EQ(lion.beta2, 0.99);
    EXPECT_EQ(training("{global_batch: 1, optimizer: lion}").optimizer.lr, 1e-4);
    const auto muon =
        training("{global_batch: 1, optimizer: {muon: {betas: [0.8, 0.9]}}}").optimizer;
    EXPECT_EQ(muon.momentum, 0.95);
    EXPECT_EQ(muon.beta1, 0.8);
    EXPECT_EQ(muon.weight_decay, 0.1);
    EXPECT_EQ(training("{global_batch: 1, optimizer: adam-8bit}").optimizer.weight_decay, 0.01);
    EXPECT_EQ(training("{global_batch: 1, optimizer: adafactor}").optimizer.states(), 0);
    EXPECT_EQ(
        training("{global_batch: 1, optimizer: {adafactor: {beta1: 0.9}}}").optimizer.states(), 1);
}

TEST(Scenario, TrainingReadsEveryKey) {
    const TrainingSpec t = training(
        "{global_batch: 64, micro_batch: 4, steps: 3, precision: bf16, gradient_dtype: fp32, clip: "
        "0.5, "
        "seed: 18446744073709551615}");
    EXPECT_EQ(t.global_batch, 64);
    EXPECT_EQ(t.micro_batch, 4);
    EXPECT_EQ(t.steps, 3);
    EXPECT_EQ(t.precision, DType::bf16);
    EXPECT_EQ(t.gradient_dtype, DType::fp32);
    EXPECT_EQ(t.clip, 0.5);
    EXPECT_EQ(t.seed, ~std::uint64_t{0});
}

TEST(Scenario, StrategiesReadPresetsAndKeys) {
    EXPECT_EQ(strategy("single").ranks, 1);
    EXPECT_EQ(strategy("{preset: zero-2, name: two}").zero, 2);
    EXPECT_EQ(strategy("{preset: zero-2, name: two}").name, "two");
    EXPECT_EQ(strategy("{preset: zero-2}").name, "zero-2");
    EXPECT_EQ(strategy("{zero: 3, tp: 2}").name, "zero-3 tp2");
    EXPECT_EQ(strategy("{name: ddp}").zero, 0);
    EXPECT_EQ(strategy("{bucket: 25MiB}").bucket->value, 25 << 20);
    EXPECT_EQ(strategy("{bucket: 4 MB}").bucket->value, 4'000'000);
    EXPECT_EQ(strategy("{bucket: 1000}").bucket->value, 1000);
    EXPECT_EQ(strategy("{bucket: auto}").bucket, std::nullopt);
    EXPECT_EQ(strategy("{dp: 4, prefetch: 0}").dp, 4);
    EXPECT_EQ(strategy("{reduce_at: micro_batch}").reduce_at, ReduceAt::micro_batch);
    EXPECT_EQ(strategy("{micro_batch: 2}").micro_batch, 2);
}

TEST(Scenario, StrategiesReadModelParallelism) {
    const Strategy plain = strategy("ddp");
    EXPECT_FALSE(plain.sequence_parallel);
    EXPECT_EQ(plain.schedule, Schedule::one_f_one_b);
    EXPECT_EQ(plain.partition, Partition{});
    EXPECT_EQ(plain.recompute, Recompute{});
    EXPECT_TRUE(strategy("{tp: 2, sequence_parallel: true}").sequence_parallel);
    EXPECT_EQ(strategy("{schedule: gpipe}").schedule, Schedule::gpipe);
    EXPECT_EQ(strategy("{schedule: 1f1b}").schedule, Schedule::one_f_one_b);
    EXPECT_EQ(strategy("{schedule: zb-h1}").schedule, Schedule::zero_bubble);
    EXPECT_EQ(strategy("{schedule: zb-v}").schedule, Schedule::zero_bubble_v);
    EXPECT_EQ(strategy("{pp: 2, virtual_stages: 3}").virtual_stages, 3);
    EXPECT_EQ(strategy("{attention: unfused}").attention, AttentionKind::unfused);
}

TEST(Scenario, StrategiesReadContextParallelism) {
    EXPECT_EQ(strategy("ddp").cp, 1);
    EXPECT_EQ(context_kind(strategy("{cp: 2}")), ContextKind::ring);
    EXPECT_EQ(context_kind(strategy("{cp: 2, profile: megatron}")), ContextKind::ring);
    EXPECT_EQ(context_kind(strategy("{cp: 2, profile: fsdp}")), ContextKind::all_gather);
    EXPECT_EQ(context_kind(strategy("{cp: 2, profile: deepspeed}")), ContextKind::ulysses);
    EXPECT_EQ(strategy("{cp: 2, cp_kind: all-gather}").cp_kind, ContextKind::all_gather);
    EXPECT_EQ(strategy("{cp: 2, cp_kind: auto}").cp_kind, std::nullopt);
    const Strategy s = strategy("{tp: 2, cp: 4, cp_kind: ulysses, zero: 1}");
    EXPECT_EQ(s.name, "zero-1 tp2 cp4 ulysses");
    EXPECT_EQ(layout_of(s, 8), "tp2 cp4 ulysses dp8 zero1");
    EXPECT_EQ(layout_of(strategy("{cp: 4}"), 1), "cp4 dp1");
}

TEST(Scenario, StrategiesReadShardGroups) {
    EXPECT_EQ(strategy("{zero: 3}").shard_group, 0);
    EXPECT_EQ(strategy("{zero: 3, shard_group: all}").shard_group, 0);
    EXPECT_EQ(strategy("{zero: 3, shard_group: 8}").shard_group, 8);
    const Strategy s = strategy("{zero: 3, shard_group: node}");
    EXPECT_EQ(s.shard_group, Strategy::kWholeNode);
    EXPECT_EQ(layout_of(s, 16), "dp16 zero3 over a node");
}

TEST(Scenario, StrategiesReadZeroPlusPlus) {
    const Strategy plain = strategy("{zero: 3}");
    EXPECT_FALSE(plain.quantized_weights || plain.quantized_gradients);
    EXPECT_EQ(plain.secondary_shard, 0);
    const Strategy s = strategy(
        "{zero: 3, quantized_weights: true, secondary_shard: 8, quantized_gradients: true}");
    EXPECT_EQ(layout_of(s, 16), "dp16 zero3 qwz hpz8 qgz");
    EXPECT_EQ(s.name, "zero-3 qwz hpz8 qgz");
    EXPECT_EQ(strategy("{zero: 3, secondary_shard: node}").secondary_shard, Strategy::kWholeNode);
    EXPECT_EQ(strategy("{zero: 3, secondary_shard: none}").secondary_shard, 0);
}

TEST(Scenario, StrategiesReadOffload) {
    using enum OffloadTo;
    EXPECT_FALSE(strategy("{zero: 3}").offload.any());
    EXPECT_FALSE(strategy("{zero: 3, offload: none}").offload.any());
    const Strategy s = strategy(
        "{zero: 3, recompute: full, offload: {optimizer: nvme, parameters: cpu, activations: "
        "cpu}}");
    EXPECT_EQ(s.offload, (Offload{nvme, cpu, cpu}));
    EXPECT_EQ(layout_of(s, 4),
              "dp4 zero3, recompute full, offload optimizer to nvme, parameters to cpu, "
              "activations to cpu");
    EXPECT_EQ(strategy("{zero: 2, offload: {optimizer: cpu}}").name,
              "zero-2 offload optimizer to cpu");
}

TEST(Scenario, PartitionsTakeEveryForm) {
    using Kind = Partition::Kind;
    const auto partition = [](const std::string& text) {
        return strategy("{pp: 2, partition: " + text + "}").partition;
    };
    EXPECT_EQ(partition("blocks"), (Partition{Kind::blocks, "", {}}));
    EXPECT_EQ(partition("uniform"), (Partition{Kind::uniform, "", {}}));
    EXPECT_EQ(partition("parameters"), (Partition{Kind::parameters, "", {}}));
    EXPECT_EQ(partition("{pattern: '^blocks\\.\\d+$'}"),
              (Partition{Kind::pattern, "^blocks\\.\\d+$", {}}));
    EXPECT_EQ(partition("[3, 2]"), (Partition{Kind::counts, "", {3, 2}}));
}

TEST(Scenario, RecomputeTakesEveryForm) {
    using Kind = Recompute::Kind;
    const auto recompute = [](const std::string& text) {
        return strategy("{recompute: " + text + "}").recompute;
    };
    EXPECT_EQ(recompute("none"), (Recompute{Kind::none, 1}));
    EXPECT_EQ(recompute("selective"), (Recompute{Kind::selective, 1}));
    EXPECT_EQ(recompute("full"), (Recompute{Kind::full, 1}));
    EXPECT_EQ(recompute("{every: 1}"), (Recompute{Kind::full, 1}));
    EXPECT_EQ(recompute("{every: 4}"), (Recompute{Kind::full, 4}));
    EXPECT_EQ(recompute("{every: 4, blocks: 3}"), (Recompute{Kind::full, 4, 3}));
    EXPECT_EQ(recompute("{every: 4, blocks: 4}"), (Recompute{Kind::full, 1}));
}

TEST(Scenario, RecomputedBlocksAreSpreadEvenly) {
    const auto blocks = [](int every, int count) {
        std::string which;
        const Recompute recompute{Recompute::Kind::full, every, count};
        for (int i = 0; i < 8; ++i) which += recompute.has(i) ? 'x' : '-';
        return which;
    };
    EXPECT_EQ(blocks(1, 1), "xxxxxxxx");
    EXPECT_EQ(blocks(4, 1), "x---x---");
    EXPECT_EQ(blocks(4, 2), "x-x-x-x-");
    EXPECT_EQ(blocks(4, 3), "x-xxx-xx");
    EXPECT_EQ(blocks(8, 5), "x-x-xx-x");
}

TEST(Scenario, NamesAreMadeOfWhatSetsStrategiesApart) {
    EXPECT_EQ(strategy("{pp: 4}").name, "ddp pp4");
    EXPECT_EQ(strategy("{pp: 4, schedule: zb-h1, zero: 1}").name, "zero-1 pp4 zb-h1");
    EXPECT_EQ(strategy("{tp: 2, sequence_parallel: true, pp: 4, virtual_stages: 2}").name,
              "ddp tp2 sp pp4 v2");
    EXPECT_EQ(strategy("{recompute: full}").name, "ddp recompute full");
    EXPECT_EQ(strategy("{recompute: {every: 2}}").name, "ddp recompute every 2");
    EXPECT_EQ(strategy("{recompute: {every: 4, blocks: 3}}").name, "ddp recompute 3 of 4");
}

TEST(Scenario, ANameThatIsAPresetsMeansThePreset) {
    EXPECT_EQ(strategy("{name: zero-3}").zero, 3);
    EXPECT_EQ(strategy("{name: zero-3, zero: 2}").zero, 2);
}

TEST(Scenario, StrategiesKnowTheirPlace) {
    const Scenario s =
        parsed(kGpt + kTail + "strategies:\n  - ddp\n  - {name: b, zero: 1}\n", "f.yaml");
    EXPECT_EQ(s.strategies[1].place, "f.yaml:6:5");
}

TEST(Scenario, AliasesShareValues) {
    const Scenario s =
        parsed(kGpt + kTail + "strategies: [{name: a, bucket: &b 1MiB}, {name: b, bucket: *b}]\n");
    EXPECT_EQ(s.strategies[1].bucket->value, 1 << 20);
}

// Re-reading gives the same text, so the same values: the writer leaves none out (the tests above
// check that each key reaches its field).
void expect_round_trip(const Scenario& scenario) {
    const std::string yaml = scenario_to_yaml(scenario);
    SCOPED_TRACE(yaml);
    EXPECT_EQ(scenario_to_yaml(parsed(yaml, scenario.file)), yaml);
    const std::string json = scenario_to_json(scenario);
    EXPECT_EQ(scenario_to_yaml(parsed(json, scenario.file)), yaml);
    EXPECT_TRUE(nlohmann::json::accept(json));
}

TEST(Scenario, RoundTripsThroughYamlAndJson) {
    expect_round_trip(parsed(
        "name: 'a: \"b\" # c \\ Ω'\n"
        "model: {layers: [{linear: [784, 128]}, relu, {layer_norm: 128}, "
        "{linear: {in: 128, out: 10, bias: false}}]}\n"
        "data: {idx: [images, /labels]}\n"
        "training: {global_batch: 64, micro_batch: 4, precision: fp64, clip: 0.1, "
        "optimizer: {sgd: {lr: 0.30000000000000004, momentum: 0.9}}}\n"
        "cluster: {gpu: h200, nodes: 3, device: {host_cost: 1us}}\n"
        "strategies: [single, {name: x, zero: 2, bucket: 3MiB, dp: 2, ranks: 2, micro_batch: 1, "
        "reduce_at: micro_batch}]\n"));
    expect_round_trip(parsed(
        "model: gpt2-124m\ntraining: {global_batch: 8}\ncluster: h200\nstrategies:\n"
        "  - {tp: 2, sequence_parallel: true, pp: 4, virtual_stages: 2, partition: uniform}\n"
        "  - {pp: 2, schedule: zb-h1, partition: [5, 9], recompute: selective}\n"
        "  - {pp: 2, schedule: gpipe, partition: {pattern: '\\.[0-9]+$'}, recompute: {every: 2}}\n"
        "  - {zero: 2, recompute: {every: 5, blocks: 3}}\n"
        "  - {pp: 2, schedule: zb-v, partition: [3, 4, 4, 3]}\n"
        "  - {recompute: full, attention: unfused, partition: parameters}\n"
        "  - {cp: 2, cp_kind: all-gather, zero: 3, shard_group: 4}\n"
        "  - {cp: 4, zero: 1, shard_group: node}\n"));
}

TEST(Scenario, EveryOptimizerRoundTrips) {
    for (const char* optimizer :
         {"adamw", "adam", "sgd", "adam-8bit", "lion", "adafactor", "muon",
          "{adam-8bit: {lr: 2e-4, betas: [0.8, 0.9], epsilon: 1e-6, weight_decay: 0.2}}",
          "{lion: {lr: 2e-4, beta1: 0.8, beta2: 0.9, weight_decay: 0.2}}",
          "{adafactor: {lr: 2e-4, beta1: 0.8, weight_decay: 0.2}}",
          "{muon: {lr: 2e-4, momentum: 0.9, betas: [0.8, 0.9], epsilon: 1e-6, weight_decay: 0.2}}"})
        expect_round_trip(
            parsed(std::string("model: gpt2-124m\ncluster: h200\nstrategies: [ddp]\n") +
                   "training: {global_batch: 8, optimizer: " + optimizer + "}\n"));
}

TEST(Scenario, RoundTripKeepsTheValues) {
    const Scenario first = parsed(kGpt + "data: {text: a.txt}\n" + kTail, "x/s.yaml");
    const Scenario again = parsed(scenario_to_yaml(first), "x/s.yaml");
    EXPECT_EQ(std::get<TextData>(again.data).path, "x/a.txt");
    EXPECT_EQ(again.cluster.device.memory, first.cluster.device.memory);
    EXPECT_TRUE(again.cluster.this_machine);
    EXPECT_EQ(again.cluster.cores, 2);
    EXPECT_EQ(again.strategies[0].ranks, 1);
    EXPECT_EQ(again.strategies[1].ranks, std::nullopt);
}

TEST(Scenario, EveryFileInScenariosLoadsAndRoundTrips) {
    int files = 0;
    const std::filesystem::path folder = std::filesystem::path(SHARDSCOPE_SOURCE_DIR) / "scenarios";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        const std::string parent = entry.path().parent_path().filename();
        if (entry.path().extension() != ".yaml" || parent == "clusters" || parent == "models")
            continue;
        SCOPED_TRACE(entry.path().string());
        expect_round_trip(load_scenario(entry.path().string(), {"", 2, Bytes(1 << 30)}));
        ++files;
    }
    EXPECT_GE(files, 14);
}

TEST(Scenario, EveryCatalogueModelLoads) {
    ASSERT_GE(model_catalogue().size(), 5u);
    for (const CatalogueEntry& entry : model_catalogue()) {
        EXPECT_EQ(model(std::string(entry.name)).name, entry.name);
        EXPECT_EQ(entry.path, "scenarios/models/" + std::string(entry.name) + ".yaml");
    }
}

// One word tells how numbers are stored and what blocks multiply in; it is written back as it was read.
TEST(Scenario, PrecisionIsStorageAndArithmetic) {
    const auto training = [](const std::string& word) {
        return read_training(
            YamlValue::parse("{global_batch: 8, precision: " + word + "}", "t.yaml"));
    };
    const std::tuple<std::string, DType, std::optional<MathType>> expected[] = {
        {"fp16", DType::fp16, std::nullopt},
        {"bf16", DType::bf16, std::nullopt},
        {"tf32", DType::fp32, MathType::tf32},
        {"fp8", DType::bf16, MathType::fp8},
        {"fp8-rowwise", DType::bf16, MathType::fp8_rowwise},
        {"mxfp8", DType::bf16, MathType::mxfp8},
        {"nvfp4", DType::bf16, MathType::nvfp4}};
    for (const auto& [word, storage, math] : expected) {
        const TrainingSpec spec = training(word);
        EXPECT_EQ(spec.precision, storage) << word;
        EXPECT_EQ(spec.math, math) << word;
        EXPECT_EQ(name_of(spec.arithmetic()), word);
        EXPECT_EQ(training_to_json(spec)["precision"], word);
    }
}

TEST(Scenario, ProfileIsReadAndWritten) {
    for (const RuntimeProfile profile : kRuntimeProfiles) {
        const Strategy read = strategy("{profile: " + std::string(name_of(profile)) + "}");
        EXPECT_EQ(read.profile, profile);
        EXPECT_EQ(strategy_to_json(read)["profile"], name_of(profile));
    }
}

}  // namespace
}  // namespace shardscope
