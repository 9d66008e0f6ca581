// What each column of a measured run does to its scenario, and what stands for an empty one.
#include "core/validation/run_scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/link_type.h"
#include "core/error.h"
#include "core/model/model.h"
#include "core/scenario_io.h"
#include "tests/support/measured_rows.h"

namespace shardscope {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

using test::full_row;

MappedRun mapped(void (*change)(MeasuredRun&)) {
    MeasuredRun run = full_row();
    change(run);
    return map_run(run);
}

Strategy mapped_strategy(void (*change)(MeasuredRun&)) {
    const MappedRun run = mapped(change);
    EXPECT_EQ(run.scenario.strategies.size(), 1u);
    return run.scenario.strategies.front();
}

TransformerSpec mapped_model(void (*change)(MeasuredRun&)) {
    return std::get<TransformerSpec>(mapped(change).scenario.model.kind);
}

TrainingSpec mapped_training(void (*change)(MeasuredRun&)) {
    return mapped(change).scenario.training;
}

Cluster mapped_cluster(void (*change)(MeasuredRun&)) { return mapped(change).scenario.cluster; }

void unchanged(MeasuredRun&) {}

TEST(RunScenario, AFullRowAssumesNothing) {
    const MappedRun run = mapped(unchanged);
    EXPECT_TRUE(run.assumed.with(0).empty());
    EXPECT_EQ(run.scenario.strategies.size(), 1u);
    const Strategy& s = run.scenario.strategies.front();
    EXPECT_EQ(layout_of(s, *s.dp), "tp2 pp2 dp4 1f1b, megatron");
    EXPECT_EQ(s.micro_batch, 2);
    EXPECT_EQ(run.scenario.training.global_batch, 64);
}

TEST(RunScenario, IdFamilyAndMeasurementsDoNotCount) {
    const std::string text = scenario_to_json(mapped(unchanged).scenario);
    EXPECT_EQ(text, scenario_to_json(mapped([](MeasuredRun& run) {
                                         run.id = "y";
                                         run.family = "g";
                                         run.line = 9;
                                         run.step_time_s = 2;
                                         run.peak_memory_gib = 3;
                                     }).scenario));
    EXPECT_NE(text, scenario_to_json(mapped([](MeasuredRun& run) { run.seq = 256; }).scenario));
}

TEST(RunScenario, HardwareColumns) {
    const Cluster c = mapped_cluster(unchanged);
    EXPECT_EQ(c.nodes, 2);
    EXPECT_EQ(c.gpus_per_node, 8);
    EXPECT_EQ(c.name, "a100-80gb");
    EXPECT_DOUBLE_EQ(c.intra_node.bandwidth.value, 300e9);
    EXPECT_DOUBLE_EQ(c.inter_node.bandwidth.value, 800e9 / 8 / 8) << "of one GPU";
    EXPECT_EQ(mapped_cluster([](MeasuredRun& run) {
                  run.gpu = "H200";
                  run.gpu_memory_gb.reset();
              }).name,
              "h200");
    EXPECT_EQ(mapped_cluster([](MeasuredRun& run) { run.gpu_memory_gb = 64; }).device.memory,
              Bytes(std::int64_t{64} << 30));
    EXPECT_DOUBLE_EQ(mapped_cluster([](MeasuredRun& run) {
                         run.intra_node_GBps = 200;
                     }).intra_node.bandwidth.value,
                     200e9);
    const Cluster small = mapped_cluster([](MeasuredRun& run) {
        run.gpus = 4;
        run.dp = 1;
    });
    EXPECT_EQ(small.nodes, 1);
    EXPECT_EQ(small.gpus_per_node, 4);
}

TEST(RunScenario, PrecisionsBySpellingAndByTheNearest) {
    const auto precision = [](const char* written, const char* gpu = "B200",
                              const char* framework = "megatron") {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        run.framework = framework;
        run.gpu_memory_gb.reset();
        run.precision = written;
        run.grad_dtype = "";
        const MappedRun mapped = map_run(run);
        const auto assumed = mapped.assumed.with(0);
        const bool said =
            std::ranges::find(assumed, "precision", &Assumption::column) != assumed.end();
        return std::pair(std::string(name_of(mapped.scenario.training.arithmetic())), said);
    };
    EXPECT_EQ(precision("FP8 (delayed scaling)"), std::pair(std::string("fp8"), false));
    EXPECT_EQ(precision("float8 rowwise"), std::pair(std::string("fp8-rowwise"), false));
    EXPECT_EQ(precision("FP8-MX"), std::pair(std::string("mxfp8"), false));
    EXPECT_EQ(precision("bf16 mixed precision"), std::pair(std::string("bf16"), false));
    EXPECT_EQ(precision("fp8 blockwise"), std::pair(std::string("mxfp8"), true));
    EXPECT_EQ(precision("fp8 blockwise", "H100"), std::pair(std::string("fp8"), true));
    EXPECT_EQ(precision("fp8 blockwise", "H100", "fsdp2"),
              std::pair(std::string("fp8-rowwise"), true));
    for (const char* tensors : {"FP8-CS", "FP8-DS", "fp8-per-tensor", "bf16+fp8", "FP8 (E4M3)"})
        EXPECT_EQ(precision(tensors), std::pair(std::string("fp8"), false)) << tensors;
    EXPECT_EQ(precision("FP8-SC"), std::pair(std::string("mxfp8"), true));
    EXPECT_EQ(precision("bfloat16-mixed"), std::pair(std::string("bf16"), false));
    EXPECT_EQ(precision("16-mixed"), std::pair(std::string("fp16"), false));
    EXPECT_EQ(precision("bf16-true"), std::pair(std::string("bf16"), true));
}

TEST(RunScenario, WordsInOtherSpellings) {
    const MappedRun run = mapped([](MeasuredRun& r) {
        r.framework = "Megatron-LM";
        r.precision = "BF16";
        r.grad_dtype = "FP32";
        r.schedule = "Interleaved";
        r.virtual_stages = 2;
        r.attention = "FlashAttention";
        r.recompute = "None";
        r.mlp = "GeLU";
    });
    MeasuredRun plain = full_row();
    plain.schedule = "interleaved-1f1b";
    plain.virtual_stages = 2;
    EXPECT_EQ(scenario_to_json(run.scenario), scenario_to_json(map_run(plain).scenario));
    EXPECT_TRUE(run.assumed.with(0).empty());
    EXPECT_EQ(mapped_strategy([](MeasuredRun& r) {
                  r.recompute = "selective (attention)";
              }).recompute.kind,
              Recompute::Kind::selective);
    const auto schedule = [](const char* word) {
        MeasuredRun r = full_row();
        r.schedule = word;
        r.virtual_stages.reset();
        const Strategy s = map_run(r).scenario.strategies.front();
        return std::pair(s.schedule, s.virtual_stages > 1);
    };
    for (const char* word : {"VPP", "interleaved 1F1B schedule"})
        EXPECT_EQ(schedule(word), std::pair(Schedule::one_f_one_b, true)) << word;
    EXPECT_EQ(schedule("1F1B (non-interleaved)"), std::pair(Schedule::one_f_one_b, false));
    EXPECT_EQ(schedule("AFAB"), std::pair(Schedule::gpipe, false));
    EXPECT_EQ(mapped_training([](MeasuredRun& r) { r.grad_dtype = "float32"; }).gradient_dtype,
              DType::fp32);
    EXPECT_EQ(mapped_strategy([](MeasuredRun& r) { r.framework = "NeMo 2.0"; }).profile,
              RuntimeProfile::megatron);
    EXPECT_EQ(mapped_strategy([](MeasuredRun& r) { r.attention = "FlashAttention-2"; }).attention,
              AttentionKind::flash);
    EXPECT_THAT(mapped([](MeasuredRun& r) { r.attention = "?"; }).assumed.with(0),
                Contains((Assumption{"attention", "flash"})));
    const auto network = [](const char* note) {
        MeasuredRun r = full_row();
        r.network_note = note;
        return map_run(r).scenario.cluster.inter_node.type;
    };
    EXPECT_EQ(network("omni-path"), LinkType::omni_path);
    EXPECT_EQ(network("100 Gbit/s RoCEv2"), LinkType::roce);
    EXPECT_EQ(network("by default"), LinkType::infiniband) << "no EFA";
}

TEST(RunScenario, NotesThatSayWhatHasNoColumn) {
    EXPECT_EQ(mapped_cluster(unchanged).inter_node.type, LinkType::infiniband);
    const Cluster c = mapped_cluster([](MeasuredRun& run) {
        run.network_note = "Omni-Path; as measured";
        run.assumptions = "HBM2e (2.4 TB/s) at 350 W power limit: no 400 W";
    });
    EXPECT_EQ(c.inter_node.type, LinkType::omni_path);
    EXPECT_EQ(c.inter_node.efficiency, facts_of(LinkType::omni_path).efficiency);
    EXPECT_DOUBLE_EQ(c.device.memory_bandwidth.value, 2.4e12);
    EXPECT_DOUBLE_EQ(c.device.power_limit.value, 350);
    EXPECT_EQ(mapped_cluster([](MeasuredRun& run) { run.assumptions = "a W power limit, TB/s"; }),
              mapped_cluster(unchanged));
}

TEST(RunScenario, ModelColumns) {
    const TransformerSpec gpt = mapped_model(unchanged);
    EXPECT_EQ(gpt.positions, Positions::learned);
    EXPECT_EQ(gpt.norm, NormKind::layer_norm);
    EXPECT_TRUE(gpt.qkv_bias && gpt.projection_bias && gpt.mlp_bias && gpt.tied_embeddings);
    const TransformerSpec llama = mapped_model([](MeasuredRun& run) {
        run.mlp = "swiglu";
        run.kv_heads = 4;
        run.ffn = 2816;
        run.tied_embeddings = false;
    });
    EXPECT_EQ(llama.positions, Positions::rotary);
    EXPECT_EQ(llama.norm, NormKind::rms_norm);
    EXPECT_FALSE(llama.qkv_bias || llama.tied_embeddings);
    EXPECT_EQ(llama.kv_heads, 4);
    EXPECT_EQ(llama.ffn, 2816);
}

TEST(RunScenario, MegatronPadsTheVocabulary) {
    EXPECT_EQ(mapped_model([](MeasuredRun& run) { run.vocab = 50257; }).vocab, 50432)
        << "128 · tp 2";
    EXPECT_EQ(mapped_model([](MeasuredRun& run) {
                  run.vocab = 50257;
                  run.framework = "fsdp1";
              }).vocab,
              50257);
}

TEST(RunScenario, LaunchesOfBigScienceWait) {
    const MappedRun run = mapped(
        [](MeasuredRun& r) { r.source = "bigscience-workshop/bigscience experiments/tr1-13B.md"; });
    EXPECT_TRUE(run.scenario.cluster.device.blocking_launches);
    EXPECT_THAT(run.assumed.with(0),
                Contains((Assumption{"source", "launches wait for the device"})));
    EXPECT_FALSE(mapped_cluster(unchanged).device.blocking_launches);
}

TEST(RunScenario, PrecisionColumns) {
    EXPECT_EQ(mapped_training(unchanged).gradient_dtype, DType::fp32);
    const TrainingSpec fp16 = mapped_training([](MeasuredRun& run) {
        run.precision = "fp16";
        run.grad_dtype = "fp16";
    });
    EXPECT_EQ(fp16.precision, DType::fp16);
    EXPECT_EQ(fp16.gradient_dtype, DType::fp16);
    EXPECT_FALSE(fp16.math);
    const TrainingSpec fp8 = mapped_training([](MeasuredRun& run) {
        run.gpu = "H100";
        run.precision = "fp8-rowwise";
    });
    EXPECT_EQ(fp8.precision, DType::bf16);
    EXPECT_EQ(fp8.math, MathType::fp8_rowwise);
}

TEST(RunScenario, StrategyColumns) {
    EXPECT_EQ(mapped_strategy([](MeasuredRun& run) { run.zero_stage = 2; }).zero, 2);
    EXPECT_TRUE(
        mapped_strategy([](MeasuredRun& run) { run.sequence_parallel = true; }).sequence_parallel);
    EXPECT_EQ(mapped_strategy([](MeasuredRun& run) { run.attention = "unfused"; }).attention,
              AttentionKind::unfused);
    EXPECT_EQ(mapped_strategy([](MeasuredRun& run) { run.schedule = "gpipe"; }).schedule,
              Schedule::gpipe);
    EXPECT_EQ(mapped_strategy([](MeasuredRun& run) { run.schedule = "zb-h1"; }).schedule,
              Schedule::zero_bubble);
    EXPECT_EQ(mapped_strategy([](MeasuredRun& run) { run.schedule = "zb-v"; }).schedule,
              Schedule::zero_bubble_v);
    EXPECT_EQ(mapped_strategy([](MeasuredRun& run) { run.virtual_stages = 4; }).virtual_stages, 4);
    EXPECT_EQ(mapped_strategy([](MeasuredRun& run) { run.micro_batch = 8; }).micro_batch, 8);
    EXPECT_EQ(mapped_strategy([](MeasuredRun& run) { run.recompute = "full"; }).recompute,
              (Recompute{Recompute::Kind::full, 1}));
    EXPECT_EQ(mapped_strategy([](MeasuredRun& run) { run.recompute = "selective"; }).recompute.kind,
              Recompute::Kind::selective);
}

TEST(RunScenario, ZbVHasItsTwoChunks) {
    const Strategy s = mapped_strategy([](MeasuredRun& run) {
        run.schedule = "ZBV";
        run.virtual_stages = 2;
    });
    EXPECT_EQ(s.schedule, Schedule::zero_bubble_v);
    EXPECT_EQ(s.virtual_stages, 1);
}

// How tokens travel is said in words alone, and only of models with experts.
TEST(RunScenario, NotesSayHowTokensTravel) {
    const auto travels = [](const char* note, const char* model = "DeepSeek-V3",
                            std::int64_t experts = 64) {
        MeasuredRun run = full_row();
        run.model = model;
        run.mlp = "swiglu";
        run.experts = experts;
        run.experts_per_token = 2;
        run.expert_ffn = 512;
        run.assumptions = note;
        return dispatch_text(map_run(run).scenario.strategies.front());
    };
    EXPECT_EQ(travels(""), "");
    EXPECT_EQ(travels("alltoall dispatcher"), "");
    EXPECT_EQ(travels("DeepEP"), ", deepep dispatch");
    EXPECT_EQ(travels("DeepEP with FP8 dispatch"), ", deepep dispatch in fp8");
    EXPECT_EQ(travels("allgather dispatcher; shared-expert overlap"),
              ", allgather dispatch, overlapped shared experts");
    EXPECT_EQ(travels("no DeepEP, no fp8 dispatch"), "");
    EXPECT_EQ(travels("shared expert overlap", "Mixtral"), "") << "it has no shared experts";
    EXPECT_EQ(travels("DeepEP", "a dense one", 1), "");
}

// Groups as released, where the run has enough experts for them.
TEST(RunScenario, ReleasedModelsHaveTheirGroups) {
    const auto groups = [](std::int64_t experts, std::int64_t per_token) {
        MeasuredRun run = full_row();
        run.model = "DeepSeek-V3";
        run.mlp = "swiglu";
        run.experts = experts;
        run.experts_per_token = per_token;
        const Scenario s = map_run(run).scenario;
        const ExpertsSpec& e = std::get<TransformerSpec>(s.model.kind).experts;
        return std::pair(e.groups, e.groups_per_token);
    };
    EXPECT_EQ(groups(256, 8), std::pair(std::int64_t{8}, std::int64_t{4}));
    EXPECT_EQ(groups(12, 2), std::pair(std::int64_t{1}, std::int64_t{1}));
    EXPECT_EQ(groups(8, 8), std::pair(std::int64_t{1}, std::int64_t{1}));
}

TEST(RunScenario, ExpertTensorParallelismIsReadFromItsColumnAndNotes) {
    const auto etp = [](std::optional<std::int64_t> column, const char* note) {
        MeasuredRun run = full_row();
        run.mlp = "swiglu";
        run.experts = 16;
        run.experts_per_token = 2;
        run.sequence_parallel = true;
        run.ep = 4;
        run.etp = column;
        run.assumptions = note;
        return map_run(run).scenario.strategies.front().etp;
    };
    EXPECT_EQ(etp({}, ""), std::nullopt) << "Megatron's default, tp";
    EXPECT_EQ(etp(1, "ETP 2"), 1);
    for (const char* note : {"ETP1", "TP2 EP4 ETP 1, VP 4", "ETP=1", "ETP: 1"})
        EXPECT_EQ(etp({}, note), 1) << note;
    for (const char* note : {"ETP", "ETP of tp", "ETP=0", "ETP 99999999999999999999"})
        EXPECT_EQ(etp({}, note), std::nullopt) << note;
}

// A forward pass is a third of the work, so a share of 0.24 is 0.72 of the blocks.
TEST(RunScenario, FsdpRecomputesTheBlocksThatANoteCounts) {
    const auto blocks = [](const char* note) {
        MeasuredRun run = full_row();
        run.framework = "fsdp1";
        run.dp = 16;
        run.tp = run.pp = 1;
        run.zero_stage = 3;
        run.recompute = "selective";
        run.assumptions = note;
        return map_run(run).scenario.strategies.at(0).recompute;
    };
    using Kind = Recompute::Kind;
    EXPECT_EQ(blocks(""), (Recompute{Kind::full, 2}));
    EXPECT_EQ(blocks("recompute fraction 0.33 of a fwd+bwd"), (Recompute{Kind::full, 1}));
    EXPECT_EQ(blocks("recompute fraction 0.24 of a fwd+bwd"), (Recompute{Kind::full, 7, 5}));
    EXPECT_EQ(blocks("recompute fraction 0.07 of a fwd+bwd"), (Recompute{Kind::full, 5}));
}

TEST(RunScenario, NodesWithLessThanAPortPerGpuHaveFewerPorts) {
    const auto network = [](double gigabits) {
        MeasuredRun run = full_row();
        run.inter_node_Gbps_per_node = gigabits;
        return map_run(run).scenario.cluster.inter_node;
    };
    for (const auto& [gigabits, ports] :
         {std::pair{25.0, 1}, {400.0, 4}, {800.0, 8}, {3200.0, 8}}) {
        EXPECT_EQ(network(gigabits).ports, ports) << gigabits;
        EXPECT_DOUBLE_EQ(network(gigabits).bandwidth.value * ports, gigabits * 1e9 / 8);
    }
}

TEST(RunScenario, WhatHasNoEffectIsNotAsked) {
    const Strategy s = mapped_strategy([](MeasuredRun& run) {
        run.tp = run.pp = 1;
        run.dp = 16;
        run.sequence_parallel = true;
        run.schedule = "interleaved-1f1b";
        run.virtual_stages = 3;
    });
    EXPECT_FALSE(s.sequence_parallel);
    EXPECT_EQ(s.virtual_stages, 1);
}

struct Empty {
    const char* column;
    const char* value;  // what is assumed
    void (*empty)(MeasuredRun&);
};

class EmptyCells : public testing::TestWithParam<Empty> {};

TEST_P(EmptyCells, HaveTheDefaultOfTheTable) {
    const auto& [column, value, empty] = GetParam();
    EXPECT_THAT(mapped(empty).assumed.with(0), Contains((Assumption{column, value})));
}

INSTANTIATE_TEST_SUITE_P(
    All, EmptyCells,
    testing::Values(
        Empty{"gpus_per_node", "8", [](MeasuredRun& run) { run.gpus_per_node.reset(); }},
        Empty{"intra_node_GBps", "300", [](MeasuredRun& run) { run.intra_node_GBps.reset(); }},
        Empty{"inter_node_Gbps_per_node", "1600",
              [](MeasuredRun& run) { run.inter_node_Gbps_per_node.reset(); }},
        Empty{"mlp", "gelu", [](MeasuredRun& run) { run.mlp = ""; }},
        Empty{"mlp", "swiglu",
              [](MeasuredRun& run) {
                  run.mlp = "";
                  run.ffn = 2816;
              }},
        Empty{"ffn", "4096", [](MeasuredRun& run) { run.ffn.reset(); }},
        Empty{"ffn", "2816",
              [](MeasuredRun& run) {
                  run.ffn.reset();
                  run.mlp = "swiglu";
              }},
        Empty{"kv_heads", "16", [](MeasuredRun& run) { run.kv_heads.reset(); }},
        Empty{"head_dim", "128",
              [](MeasuredRun& run) {
                  run.head_dim.reset();
                  run.model = "Qwen/Qwen3-0.6B";
              }},
        Empty{"etp", "1",
              [](MeasuredRun& run) {
                  run.mlp = "swiglu";
                  run.experts = 16;
                  run.experts_per_token = 2;
                  run.sequence_parallel = true;
                  run.gpus = 16;
                  run.dp = 4;
                  run.tp = 2;
                  run.pp = 2;
                  run.ep = 8;
              }},
        Empty{"tied_embeddings", "1", [](MeasuredRun& run) { run.tied_embeddings.reset(); }},
        Empty{"precision", "bf16", [](MeasuredRun& run) { run.precision = ""; }},
        Empty{"precision", "fp16",
              [](MeasuredRun& run) {
                  run.precision = "";
                  run.grad_dtype = "fp16";
              }},
        Empty{"precision", "fp16",
              [](MeasuredRun& run) {
                  run.precision = "";
                  run.gpu = "V100";
                  run.gpu_memory_gb = 32;
              }},
        Empty{"mlp", "swiglu",
              [](MeasuredRun& run) {
                  run.mlp = "";
                  run.experts = 8;
                  run.experts_per_token = 2;
              }},
        Empty{"sequence_parallel", "1",
              [](MeasuredRun& run) {
                  run.sequence_parallel.reset();
                  run.mlp = "swiglu";
                  run.experts = 8;
                  run.experts_per_token = 2;
              }},
        Empty{"grad_dtype", "fp32", [](MeasuredRun& run) { run.grad_dtype = ""; }},
        Empty{"grad_dtype", "bf16",
              [](MeasuredRun& run) {
                  run.grad_dtype = "";
                  run.framework = "fsdp1";
              }},
        Empty{"tp", "2", [](MeasuredRun& run) { run.tp.reset(); }},  // 16 = tp · pp 2 · dp 4
        Empty{"pp", "2", [](MeasuredRun& run) { run.pp.reset(); }},
        Empty{"dp", "4", [](MeasuredRun& run) { run.dp.reset(); }},
        Empty{"tp", "1",  // FSDP's programs have it where they are told to
              [](MeasuredRun& run) {
                  run.tp.reset();
                  run.dp.reset();
                  run.framework = "fsdp2";
              }},
        Empty{"virtual_stages", "1", [](MeasuredRun& run) { run.virtual_stages.reset(); }},
        Empty{"virtual_stages", "2",
              [](MeasuredRun& run) {
                  run.virtual_stages.reset();
                  run.schedule = "interleaved-1f1b";
              }},
        Empty{"schedule", "1f1b", [](MeasuredRun& run) { run.schedule = ""; }},
        Empty{"zero_stage", "0", [](MeasuredRun& run) { run.zero_stage.reset(); }},
        Empty{"zero_stage", "3",
              [](MeasuredRun& run) {
                  run.zero_stage.reset();
                  run.framework = "fsdp1";
              }},
        Empty{"sequence_parallel", "0", [](MeasuredRun& run) { run.sequence_parallel.reset(); }},
        Empty{"sequence_parallel", "1",
              [](MeasuredRun& run) {
                  run.sequence_parallel.reset();
                  run.framework = "fsdp2";
              }},
        Empty{"attention", "flash", [](MeasuredRun& run) { run.attention = ""; }},
        Empty{"recompute", "every 2", [](MeasuredRun& run) {
                  run.recompute = "selective";
                  run.framework = "fsdp2";
              }}));

struct RefusedRun {
    const char* rule;
    const char* message;
    void (*change)(MeasuredRun&);
};

class RefusedRows : public testing::TestWithParam<RefusedRun> {};

TEST_P(RefusedRows, AreNotGuessed) {
    const auto& [rule, message, change] = GetParam();
    try {
        mapped(change);
        ADD_FAILURE() << "not refused: " << message;
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, rule);
        EXPECT_THAT(error.message, HasSubstr(message));
        EXPECT_FALSE(error.fix.empty());
    }
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusedRows,
    testing::Values(
        RefusedRun{"gpu", "\"Z100\"", [](MeasuredRun& run) { run.gpu = "Z100"; }},
        RefusedRun{"missing-value", "\"gpu\"", [](MeasuredRun& run) { run.gpu = ""; }},
        RefusedRun{"missing-value", "\"gpus\"", [](MeasuredRun& run) { run.gpus.reset(); }},
        RefusedRun{"missing-value", "\"layers\"", [](MeasuredRun& run) { run.layers.reset(); }},
        RefusedRun{"missing-value", "\"hidden\"", [](MeasuredRun& run) { run.hidden.reset(); }},
        RefusedRun{"missing-value", "\"heads\"", [](MeasuredRun& run) { run.heads.reset(); }},
        RefusedRun{"missing-value", "\"vocab\"", [](MeasuredRun& run) { run.vocab.reset(); }},
        RefusedRun{"missing-value", "\"seq\"", [](MeasuredRun& run) { run.seq.reset(); }},
        RefusedRun{"missing-value", "\"global_batch\"",
                   [](MeasuredRun& run) { run.global_batch.reset(); }},
        RefusedRun{"nodes", "12 GPUs do not fill nodes of 8",
                   [](MeasuredRun& run) { run.gpus = 12; }},
        RefusedRun{"world-size", "tp 2 × pp 2 × dp 3 is not the 16 GPUs",
                   [](MeasuredRun& run) { run.dp = 3; }},
        RefusedRun{"world-size", "tp 2 × cp 3 × pp 2 × dp 4 is not the 16 GPUs",
                   [](MeasuredRun& run) { run.cp = 3; }},
        RefusedRun{"missing-value", "\"framework\" is empty",
                   [](MeasuredRun& run) { run.framework = ""; }},
        RefusedRun{"unknown-name", "framework \"megatrn\"",
                   [](MeasuredRun& run) { run.framework = "megatrn"; }},
        RefusedRun{"framework", "offloads what no column says",
                   [](MeasuredRun& run) { run.framework = "DeepSpeed ZeRO-Infinity"; }},
        RefusedRun{"framework", "the row's assumptions offload what no column says",
                   [](MeasuredRun& run) { run.assumptions = "CPU offload of the optimizer"; }},
        RefusedRun{"unknown-name", "precision \"fp7\"",
                   [](MeasuredRun& run) { run.precision = "fp7"; }},
        RefusedRun{"precision", "NVIDIA A100 SXM 80 GB has no fp8",
                   [](MeasuredRun& run) { run.precision = "fp8"; }},
        RefusedRun{"gradient-dtype", "gradients in fp16 do not go with precision bf16",
                   [](MeasuredRun& run) { run.grad_dtype = "fp16"; }},
        RefusedRun{"unknown-name", "\"mish\" is not modelled",
                   [](MeasuredRun& run) { run.mlp = "mish"; }},
        RefusedRun{"gpu", "\"RTX 6000\"", [](MeasuredRun& run) { run.gpu = "RTX 6000"; }},
        RefusedRun{"gpu", "\"Gaudi 2\" is no GPU of NVIDIA's or AMD's",
                   [](MeasuredRun& run) { run.gpu = "Gaudi 2"; }},
        RefusedRun{"gpu", "\"TPU v5p\" is no GPU", [](MeasuredRun& run) { run.gpu = "TPU v5p"; }},
        RefusedRun{"framework", "MaxText runs on JAX and XLA, whose kernels are not modelled",
                   [](MeasuredRun& run) { run.framework = "MaxText"; }},
        RefusedRun{"framework", "Colossal-AI has engines of its own",
                   [](MeasuredRun& run) { run.framework = "Colossal-AI"; }},
        RefusedRun{"unknown-name", "schedule \"zb-x\"",
                   [](MeasuredRun& run) { run.schedule = "zb-x"; }},
        RefusedRun{"unknown-name", "attention \"linear\"",
                   [](MeasuredRun& run) { run.attention = "linear"; }},
        RefusedRun{"unknown-name", "recompute \"some\"",
                   [](MeasuredRun& run) { run.recompute = "some"; }},
        RefusedRun{"range", "f.csv:7: too much",
                   [](MeasuredRun& run) {
                       run.unreadable = Error("range", "f.csv:7: too much", "write less");
                   }},
        RefusedRun{"missing-value", "experts_per_token",
                   [](MeasuredRun& run) { run.experts = 8; }}));

TEST(RunScenario, ContextParallelismIsTheProductsKind) {
    const MappedRun ring = mapped([](MeasuredRun& r) {
        r.cp = 2;
        r.dp = 2;
    });
    const Strategy& megatron = ring.scenario.strategies[0];
    EXPECT_EQ(megatron.cp, 2);
    EXPECT_EQ(megatron.dp, 2);
    EXPECT_EQ(context_kind(megatron), ContextKind::ring);
    EXPECT_THAT(ring.assumed.with(0), Contains((Assumption{"cp_kind", "ring"})));
    const MappedRun gathered = mapped([](MeasuredRun& r) {
        r.framework = "fsdp2";
        r.cp = 2;
        r.dp = 2;
    });
    EXPECT_EQ(context_kind(gathered.scenario.strategies[0]), ContextKind::all_gather);
}

TEST(RunScenario, WithoutMemoryTheLargestOfTheGpuIsTaken) {
    const MappedRun run = mapped([](MeasuredRun& r) { r.gpu_memory_gb.reset(); });
    EXPECT_EQ(run.scenario.cluster.name, "a100-80gb");
    EXPECT_THAT(run.assumed.with(0), Contains((Assumption{"gpu_memory_gb", "79"})));
    EXPECT_THAT(mapped(unchanged).assumed.with(0),
                Not(Contains(testing::Field(&Assumption::column, "gpu_memory_gb"))));
}

}  // namespace
}  // namespace shardscope
