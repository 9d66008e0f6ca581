// What is read of a DeepSpeed configuration: defaults, messages, notes, and nothing that goes by silently.
#include "core/deepspeed/import.h"

#include <cstdio>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/deepspeed/summary_io.h"
#include "core/error.h"
#include "tests/support/golden.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

DeepSpeedConfig parsed_config(const std::string& text) { return parse_deepspeed(text, "ds.json"); }

// The batch and what else a test is about.
std::string config_with(const std::string& rest) {
    return "{\"train_batch_size\": 64, " + rest + "}";
}

std::string note_on(const DeepSpeedConfig& config, const std::string& key) {
    for (const DeepSpeedNote& note : config.notes)
        if (note.key == key) return note.text;
    return "";
}

const ZeroKey& zero_key(const DeepSpeedConfig& config, const std::string& key) {
    for (const ZeroKey& row : config.zero_keys)
        if (row.key == key) return row;
    throw std::runtime_error("no key " + key);
}

TEST(DeepSpeedImport, DefaultsAreDeepSpeeds) {
    const DeepSpeedConfig config =
        parsed_config(config_with("\"optimizer\": {\"type\": \"Adam\"}"));
    ASSERT_TRUE(config.optimizer);
    const OptimizerSpec spec = config.optimizer->spec();
    EXPECT_EQ(spec.kind, OptimizerKind::adamw);
    EXPECT_EQ(spec.lr, 1e-3);
    EXPECT_EQ(spec.beta1, 0.9);
    EXPECT_EQ(spec.beta2, 0.999);
    EXPECT_EQ(spec.epsilon, 1e-8);
    EXPECT_EQ(spec.weight_decay, 0);
    EXPECT_EQ(config.clip.value, 1.0);
    EXPECT_THAT(note_on(config, "gradient_clipping"), HasSubstr("since 2026-06-23"));
    EXPECT_THAT(note_on(config, "optimizer.type"), HasSubstr("AdamW"));
    EXPECT_EQ(config.precision.value, DType::fp32);
    EXPECT_EQ(config.zero.value, 0);
    EXPECT_EQ(config.reduce_bucket.value, 500'000'000);
    EXPECT_EQ(deepspeed_strategy(config).partition.kind, Partition::Kind::parameters);
}

TEST(DeepSpeedImport, OptimizersAreWhatTheirKeysMake) {
    const auto optimizer = [](const std::string& text) {
        return parsed_config(config_with("\"optimizer\": " + text)).optimizer->spec();
    };
    EXPECT_EQ(optimizer("{\"type\": \"adam\", \"params\": {\"adam_w_mode\": false}}").kind,
              OptimizerKind::adam);
    // AdamW is decoupled whatever adam_w_mode says.
    EXPECT_EQ(optimizer("{\"type\": \"AdamW\", \"params\": {\"adam_w_mode\": false}}").kind,
              OptimizerKind::adamw);
    EXPECT_EQ(optimizer("{\"type\": \"AdamW\", \"params\": {\"torch_adam\": true}}").weight_decay,
              0.01);
    const OptimizerSpec all = optimizer(
        "{\"type\": \"ADAMW\", \"params\": {\"lr\": 3e-4, \"betas\": [0.8, 0.95], \"eps\": 1e-6, "
        "\"weight_decay\": 0.1}}");
    EXPECT_EQ(all.lr, 3e-4);
    EXPECT_EQ(all.beta1, 0.8);
    EXPECT_EQ(all.beta2, 0.95);
    EXPECT_EQ(all.epsilon, 1e-6);
    EXPECT_EQ(all.weight_decay, 0.1);
    const OptimizerSpec sgd =
        optimizer("{\"type\": \"SGD\", \"params\": {\"lr\": 0.1, \"momentum\": 0.9}}");
    EXPECT_EQ(sgd.kind, OptimizerKind::sgd);
    EXPECT_EQ(sgd.momentum, 0.9);
    // FusedLion's defaults.
    const OptimizerSpec lion =
        optimizer("{\"type\": \"Lion\", \"params\": {\"weight_decay\": 0.1}}");
    EXPECT_EQ(lion.kind, OptimizerKind::lion);
    EXPECT_EQ(lion.lr, 1e-3);
    EXPECT_EQ(lion.beta2, 0.99);
    EXPECT_EQ(lion.weight_decay, 0.1);
}

TEST(DeepSpeedImport, PrecisionAndGradients) {
    const DeepSpeedConfig config = parsed_config(config_with(
        "\"bf16\": {\"enabled\": true}, \"data_types\": {\"grad_accum_dtype\": \"fp32\"}, "
        "\"communication_data_type\": \"fp32\""));
    EXPECT_EQ(config.precision.value, DType::bf16);
    EXPECT_EQ(config.gradient_dtype.value, DType::fp32);
    EXPECT_NO_THROW(check_deepspeed(config, 1, DType::fp32));
    EXPECT_THROW(check_deepspeed(config, 1, DType::bf16), Error);
    EXPECT_EQ(parsed_config(config_with("\"bfloat16\": {\"enabled\": true}")).precision.value,
              DType::bf16);
}

TEST(DeepSpeedImport, Fp16IsSimulated) {
    const DeepSpeedSummary summary = summarise_deepspeed(
        parsed_config(config_with("\"fp16\": {\"enabled\": true, \"loss_scale\": 0}, "
                                  "\"bf16\": {\"enabled\": false}")),
        4, 0, 1);
    EXPECT_EQ(summary.training.precision, DType::fp16);
    EXPECT_EQ(summary.training.gradient_dtype, std::nullopt);
    EXPECT_THAT(deepspeed_to_text(summary), HasSubstr("fp16 is simulated only"));
    EXPECT_EQ(parsed_config(config_with("\"fp16\": {\"enabled\": false}")).precision.value,
              DType::fp32);
}

TEST(DeepSpeedImport, BucketsAreElements) {
    const auto bucket = [](const std::string& zero, DType dtype) {
        return deepspeed_bucket(parsed_config(config_with("\"zero_optimization\": " + zero)), dtype)
            .value;
    };
    EXPECT_EQ(bucket("{\"stage\": 2}", DType::fp32), 2'000'000'000);
    EXPECT_EQ(bucket("{\"stage\": 2}", DType::bf16), 1'000'000'000);
    EXPECT_EQ(bucket("{\"stage\": 1, \"reduce_bucket_size\": 2e8}", DType::bf16), 400'000'000);
    EXPECT_EQ(bucket("{\"stage\": 1, \"reduce_bucket_size\": 0}", DType::bf16), 2);
    // Stage 0 does not look at it.
    EXPECT_EQ(bucket("{\"stage\": 0, \"reduce_bucket_size\": 10}", DType::fp32), 2'000'000'000);
}

TEST(DeepSpeedImport, ZeroKeysHaveBothNames) {
    EXPECT_EQ(parsed_config(config_with("\"zero_optimization\": {\"prefetch_bucket_size\": 0}"))
                  .prefetch.value,
              0);
    const DeepSpeedConfig config = parsed_config(config_with(
        "\"zero_optimization\": {\"stage\": 3, \"stage3_param_persistence_threshold\": 1e6}"));
    EXPECT_EQ(config.prefetch.value, 1);
    const ZeroKey& threshold = zero_key(config, "stage3_param_persistence_threshold");
    EXPECT_EQ(threshold.value, "1e6");
    EXPECT_EQ(threshold.default_value, "1e5");
    EXPECT_THAT(threshold.here, HasSubstr("1,000,000 elements"));
    EXPECT_EQ(zero_key(config, "overlap_comm").default_value, "true");
    EXPECT_EQ(zero_key(parsed_config(config_with("\"zero_optimization\": {\"stage\": 2}")),
                       "overlap_comm")
                  .default_value,
              "false");
}

TEST(DeepSpeedImport, OverlapCommIsOverlapReduce) {
    const auto overlap = [](const std::string& text) {
        return deepspeed_strategy(
                   parsed_config(config_with("\"zero_optimization\": {" + text + "}")))
            .overlap_reduce;
    };
    EXPECT_EQ(overlap("\"stage\": 2, \"overlap_comm\": true"), true);
    EXPECT_EQ(overlap("\"stage\": 3, \"overlap_comm\": false"), false);
    EXPECT_EQ(overlap("\"stage\": 2"), std::nullopt) << "as the profile does";
    EXPECT_EQ(overlap("\"stage\": 0, \"overlap_comm\": true"), std::nullopt);
}

TEST(DeepSpeedImport, TheOldFormOfZeroIsStage1) {
    EXPECT_EQ(parsed_config(config_with("\"zero_optimization\": true")).zero.value, 1);
    EXPECT_EQ(parsed_config(config_with("\"zero_optimization\": false")).zero.value, 0);
}

TEST(DeepSpeedImport, AutoCountsAsNotGivenAndSaysWhoFillsIt) {
    const DeepSpeedConfig config = parsed_config(
        "{\"train_batch_size\": \"auto\", \"train_micro_batch_size_per_gpu\": 4, "
        "\"gradient_accumulation_steps\": \"auto\", \"gradient_clipping\": \"auto\", "
        "\"fp16\": {\"enabled\": \"auto\"}, \"bf16\": {\"enabled\": \"auto\"}, "
        "\"optimizer\": {\"type\": \"AdamW\", \"params\": {\"lr\": \"auto\", \"betas\": "
        "\"auto\"}}, "
        "\"zero_optimization\": {\"stage\": 3, \"reduce_bucket_size\": \"auto\"}}");
    EXPECT_TRUE(config.batch_is_auto);
    EXPECT_FALSE(config.batch.train);
    EXPECT_EQ(config.batch.micro, 4);
    EXPECT_EQ(config.clip.value, 1.0);
    EXPECT_TRUE(config.clip.is_auto);
    EXPECT_EQ(config.optimizer->lr.value, 1e-3);
    EXPECT_EQ(config.reduce_bucket.value, 500'000'000);
    EXPECT_THAT(note_on(config, "train_batch_size"), HasSubstr("per_device_train_batch_size"));
    EXPECT_THAT(note_on(config, "optimizer.params.lr"), HasSubstr("learning_rate"));
    EXPECT_THAT(note_on(config, "bf16.enabled"), HasSubstr("bf16"));
    EXPECT_THAT(note_on(config, "zero_optimization.reduce_bucket_size"), HasSubstr("hidden_size²"));
}

TEST(DeepSpeedImport, WhatHasNoEffectIsNotedOnce) {
    const DeepSpeedConfig config = parsed_config(config_with(
        "\"steps_per_print\": 10, \"wandb\": {\"enabled\": true, \"project\": \"x\"}, \"amp\": "
        "{\"enabled\": false}, \"sparse_attention\": {}, \"scheduler\": {}"));
    EXPECT_NE(note_on(config, "steps_per_print"), "");
    EXPECT_THAT(note_on(config, "wandb"), HasSubstr("report"));
    EXPECT_THAT(note_on(config, "amp"), HasSubstr("off"));
    std::set<std::string> places;
    for (const DeepSpeedNote& note : config.notes)
        if (!note.place.empty()) {
            EXPECT_TRUE(places.insert(note.place).second) << note.key;
        }
}

TEST(DeepSpeedImport, TensorParallelismAndRecomputation) {
    const DeepSpeedConfig config =
        parsed_config(config_with("\"tensor_parallel\": {\"autotp_size\": 4}, \"pipeline\": "
                                  "{\"activation_checkpoint_interval\": 1, \"stages\": 2}"));
    const Strategy strategy = deepspeed_strategy(config);
    EXPECT_EQ(strategy.tp, 4);
    EXPECT_EQ(strategy.recompute.kind, Recompute::Kind::full);
    EXPECT_THAT(note_on(config, "pipeline.stages"), HasSubstr("pp"));
}

struct ConfigRefusal {
    std::string rest;  // of the configuration, after the batch
    std::string rule;
    std::string shown;
};

void PrintTo(const ConfigRefusal& refused, std::ostream* out) { *out << refused.rest; }

class RefusedConfig : public testing::TestWithParam<ConfigRefusal> {};

TEST_P(RefusedConfig, NamesPlaceRuleAndFix) {
    const ConfigRefusal& refused = GetParam();
    try {
        parsed_config(config_with(refused.rest));
        FAIL() << "accepted: " << refused.rest;
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, refused.rule) << e.what();
        EXPECT_THAT(e.what(), HasSubstr(refused.shown));
        int line = 0, column = 0;
        EXPECT_EQ(std::sscanf(e.message.c_str(), "ds.json:%d:%d: ", &line, &column), 2)
            << e.message;
        EXPECT_FALSE(e.fix.empty());
        EXPECT_EQ(e.exit_code(), 3);
    }
}

std::string zero(const std::string& rest) { return "\"zero_optimization\": {" + rest + "}"; }
std::string adam_config(const std::string& params) {
    return "\"optimizer\": {\"type\": \"Adam\", \"params\": {" + params + "}}";
}

const ConfigRefusal kRefused[] = {
    // Unknown keys, at every level; the first is in DeepSpeed's own tests, and passes there.
    {"\"grandient_accumulation_steps\": 1", "unknown-key", "use \"gradient_accumulation_steps\""},
    {"\"zero_optimisation\": {}", "unknown-key", "use \"zero_optimization\""},
    {"\"qqqq\": 1", "unknown-key", "unknown key \"qqqq\""},
    {zero("\"stages\": 1"), "unknown-key", "use \"stage\""},
    {zero("\"stage3_prefetch_buckets\": 1"), "unknown-key", "stage3_prefetch_bucket_size"},
    {zero("\"offload_optimizer\": {\"devise\": \"cpu\"}"), "unknown-key", "use \"device\""},
    {adam_config("\"learning_rate\": 1"), "unknown-key", "learning_rate"},
    {"\"optimizer\": {\"typ\": \"Adam\"}", "unknown-key", "use \"type\""},
    {"\"bf16\": {\"enable\": true}", "unknown-key", "use \"enabled\""},
    {"\"fp16\": {\"lossscale\": 0}", "unknown-key", "use \"loss_scale\""},
    {"\"pipeline\": {\"stage\": 2}", "unknown-key", "use \"stages\""},
    {"\"data_types\": {\"grad_dtype\": \"fp32\"}", "unknown-key", "in data_types"},
    {"\"scheduler\": {\"tpye\": \"x\"}", "unknown-key", "use \"type\""},
    {"\"tensor_parallel\": {\"auto_tp_size\": 2}", "unknown-key", "use \"autotp_size\""},
    {"\"activation_checkpointing\": {\"profiles\": true}", "unknown-key", "use \"profile\""},
    // Types and ranges.
    {zero("\"stage\": 4"), "range", "from 0 to 3"},
    {zero("\"stage\": \"two\""), "type", "zero_optimization.stage"},
    {zero("\"reduce_bucket_size\": 1.5"), "type", "whole number"},
    {zero("\"reduce_bucket_size\": -1"), "range", "reduce_bucket_size"},
    {zero("\"overlap_comm\": 1"), "type", "true or false"},
    {zero("\"stage3_prefetch_bucket_size\": 1, \"prefetch_bucket_size\": 1"), "one-of", "same key"},
    {"\"zero_optimization\": 2", "type", "must be a map"},
    {adam_config("\"lr\": -1"), "range", "optimizer.params.lr"},
    {adam_config("\"betas\": [0.9]"), "type", "must have 2"},
    {"\"gradient_clipping\": -1", "range", "gradient_clipping"},
    {"\"train_micro_batch_size_per_gpu\": \"4\"", "type", "in quotes"},
    {"\"bf16\": {}, \"bfloat16\": {}", "one-of", "same key"},
    // DeepSpeed's own refusals.
    {"\"bf16\": {\"enabled\": true}, \"fp16\": {\"enabled\": true}", "deepspeed",
     "bfloat16 and fp16 modes cannot be simultaneously enabled"},
    {adam_config("\"max_grad_norm\": 1.0"), "deepspeed",
     "'max_grad_norm' is not supported as an optimizer parameter, please switch to using the "
     "deepspeed parameter 'gradient_clipping'"},
    {"\"optimizer\": {\"type\": \"SGD\"}, " + zero("\"stage\": 1"), "deepspeed",
     "You are using an untested ZeRO Optimizer. Please add "
     "<\"zero_allow_untested_optimizer\": true>"},
    {"\"optimizer\": {\"type\": \"OneBitAdam\"}, " + zero("\"stage\": 2"), "deepspeed",
     "1bit-Adam is not compatible with ZeRO"},
    {"\"amp\": {\"enabled\": true}, " + zero("\"stage\": 1"), "deepspeed",
     "Amp and ZeRO are not currently compatible"},
    {zero("\"stage\": 2, \"offload_optimizer\": {\"device\": \"cpu\", \"ratio\": 0.3}"),
     "deepspeed", "Partial offloading only supported for ZeRO Stage 3."},
    {"\"fp16\": {\"fp16_master_weights_and_grads\": true}", "deepspeed",
     "Fp16_master_weights_and_grads is only supported with ZeRO Stage 1, 2, or 3."},
    {"\"bf16\": {\"bf16_optimizer_states\": true}, " + zero("\"stage\": 1"), "deepspeed",
     "bf16_optimizer_states requires bf16_master_weights_and_grads"},
    {"\"bf16\": {\"bf16_optimizer_states\": true}", "deepspeed",
     "bf16_optimizer_states is only supported with ZeRO Stage 1, 2, or 3."},
    {"\"gradient_allreduce_op\": \"sum\", " + zero("\"stage\": 3"), "deepspeed",
     "gradient_allreduce_op='sum' is not supported with ZeRO stage 3"},
    {"\"gradient_allreduce_op\": \"max\"", "deepspeed", "Invalid gradient_allreduce_op"},
    {"\"communication_data_type\": \"fp8\"", "deepspeed", "Invalid communication_data_type"},
    {zero("\"stage\": 1, \"allgather_bucket_size\": 3"), "deepspeed",
     "allgather_bucket_size must be a multiple of nccl_start_alignment_factor, 2"},
    {"\"gradient_predivide_factor\": 2.0, " + zero("\"stage\": 2"), "deepspeed",
     "gradient_predivide_factor != 1.0 is not yet supported with ZeRO-2 with reduce scatter "
     "enabled"},
    // What this program cannot do.
    {"\"bf16\": {\"bf16_master_weights_and_grads\": true}, " + zero("\"stage\": 1"), "unsupported",
     "fp32"},
    {"\"optimizer\": {\"type\": \"MuonX\"}", "unknown-name",
     "use \"Adam\", \"AdamW\", \"Lion\" or \"SGD\""},
    {"\"data_types\": {\"param_dtype\": \"bf16\"}", "unsupported", "param_dtype"},
    {zero("\"stage\": 3, \"offload_optimizer\": {\"device\": \"cpu\", \"ratio\": 0.3}"),
     "unsupported", "as a whole"},
    {zero("\"stage\": 2, \"offload_optimizer\": {\"device\": \"gpu\"}"), "unknown-name",
     "device to offload to"},
    {zero("\"stage\": 3, \"zero_quantized_nontrainable_weights\": true"), "unsupported",
     "quantised"},
    {zero("\"stage\": 3, \"zeropp_loco_param\": {\"err_beta\": 0.8}"), "unsupported", "LoCo"},
    {zero("\"stage\": 3, \"zero_quantized_weights\": 8"), "type", "true or false"},
    {zero("\"stage\": 2, \"zenflow\": {\"topk_ratio\": 0.1}"), "unsupported", "ZenFlow"},
    {"\"optimizer\": {\"type\": \"Lamb\"}", "unsupported", "the optimizer Lamb"},
    {"\"optimizer\": {\"type\": \"Muon\"}", "unsupported", "optimizer: muon"},
    {"\"optimizer\": {\"type\": \"Adafactor\"}", "unknown-name", "no optimizer"},
    {"\"optimizer\": {\"type\": \"OneBitAdam\"}", "unsupported", "OneBitAdam"},
    {"\"optimizer\": {\"type\": \"sgd\"}", "unknown-name", "use \"SGD\""},
    {"\"optimizer\": {\"type\": \"Adan\"}", "unknown-name", "use \"Adam\""},
    {"\"optimizer\": {\"type\": \"SGD\", \"params\": {\"nesterov\": true}}", "unsupported",
     "Nesterov"},
    {"\"optimizer\": {\"type\": \"SGD\", \"params\": {\"dampening\": 0.1}}", "unsupported",
     "dampening"},
    {adam_config("\"amsgrad\": true"), "unsupported", "AMSGrad"},
    {adam_config("\"bias_correction\": false"), "unsupported", "bias correction"},
    {"\"scheduler\": {\"type\": \"WarmupLR\", \"params\": {}}", "unsupported",
     "the learning rate is constant"},
    {"\"gradient_allreduce_op\": \"sum\"", "unsupported", "averaged"},
    {"\"activation_checkpointing\": {\"partition_activations\": true}", "unsupported",
     "partition_activations"},
    {"\"pipeline\": {\"activation_checkpoint_interval\": 2}", "unsupported", "segments of 2"},
    {"\"amp\": {\"enabled\": true}", "unsupported", "amp"},
    {"\"torch_autocast\": {\"enabled\": true}", "unsupported", "autocast"},
    {"\"sparse_gradients\": true", "unsupported", "sparse"},
    {"\"elasticity\": {\"enabled\": true}", "unsupported", "batch"},
    {"\"curriculum_learning\": {\"enabled\": true}", "unsupported", "curriculum"},
    {"\"data_efficiency\": {\"enabled\": true}", "unsupported", "data"},
    {"\"progressive_layer_drop\": {\"enabled\": true}", "unsupported", "dropped"},
    {"\"quantize_training\": {\"enabled\": true}", "unsupported", "quantised"},
    {"\"sparse_attention\": {\"mode\": \"fixed\"}", "unsupported", "sparse attention"},
    {"\"compression_training\": {\"weight_quantization\": {}}", "unsupported", "compression"},
    {"\"sequence_parallel_size\": 2", "unsupported", "cp_kind: ulysses"},
};

INSTANTIATE_TEST_SUITE_P(Table, RefusedConfig, testing::ValuesIn(kRefused));

// Groups that the file asks for are of the ranks that it is asked about.
TEST(DeepSpeedSummary, GroupsDivideTheRanks) {
    for (const char* group : {"zero_hpz_partition_size", "mics_shard_size"}) {
        const auto summary = [&](const std::string& ranks) {
            return summarise_deepspeed(
                parsed_config(
                    config_with(zero("\"stage\": 3, \"" + std::string(group) + "\": " + ranks))),
                8, 0, 1);
        };
        EXPECT_NO_THROW(summary("4")) << group;
        EXPECT_THROW(summary("3"), Error) << group;
    }
}

TEST(DeepSpeedSummary, PipelinesGoWithStage1Only) {
    const auto summary = [](int stage, int pp) {
        return summarise_deepspeed(
            parsed_config(config_with(zero("\"stage\": " + std::to_string(stage)))), 4, 0, pp);
    };
    EXPECT_EQ(summary(1, 2).dp, 2);
    EXPECT_EQ(summary(3, 1).dp, 4);
    for (const int stage : {2, 3}) {
        try {
            summary(stage, 2);
            FAIL();
        } catch (const Error& e) {
            EXPECT_EQ(e.rule, "deepspeed");
            EXPECT_THAT(e.message,
                        HasSubstr("ZeRO-2 and ZeRO-3 are incompatible with pipeline parallelism"));
            EXPECT_THAT(e.fix, HasSubstr("runs here"));
        }
    }
}

TEST(DeepSpeedSummary, TheTriadUsesTheDataParallelSize) {
    const std::string text = "{\"train_micro_batch_size_per_gpu\": 2}";
    EXPECT_EQ(summarise_deepspeed(parsed_config(text), 16, 0, 1).batch->train, 32);
    EXPECT_EQ(summarise_deepspeed(parsed_config(text), 16, 2, 4).batch->train, 4);
    try {
        summarise_deepspeed(parsed_config(text), 16, 3, 1);
        FAIL();
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "world-size");
    }
}

// One file with much in it; comments, "auto" and notes.
const char* const kFile = R"({
  // Hugging Face's Trainer fills in "auto".
  "train_micro_batch_size_per_gpu": 4,
  "gradient_accumulation_steps": 2,
  "train_batch_size": "auto",
  "gradient_clipping": 0.5,
  "steps_per_print": 10,
  "bf16": {"enabled": true},
  "optimizer": {
    "type": "Adam",
    "params": {"lr": 3e-4, "betas": [0.9, 0.95], "weight_decay": "auto"}
  },
  "zero_optimization": {
    "stage": 3,
    "overlap_comm": true,          # the default of stage 3
    "reduce_bucket_size": 2e8,
    "stage3_prefetch_bucket_size": "auto",
    "offload_optimizer": {"device": "none"}
  }
}
)";

TEST(DeepSpeedImport, ReadsZeroPlusPlusAndMics) {
    const auto strategy = [](const std::string& text) {
        return deepspeed_strategy(parsed_config("{" + zero("\"stage\": 3, " + text) + "}"));
    };
    const Strategy all = strategy(
        "\"zero_quantized_weights\": true, \"zero_hpz_partition_size\": 8, "
        "\"zero_quantized_gradients\": true");
    EXPECT_TRUE(all.quantized_weights);
    EXPECT_EQ(all.secondary_shard, 8);
    EXPECT_TRUE(all.quantized_gradients);
    EXPECT_EQ(layout_of(all, 16), "dp16 zero3 qwz hpz8 qgz");
    EXPECT_EQ(strategy("\"zero_hpz_partition_size\": 1").secondary_shard, 0);
    EXPECT_EQ(strategy("\"mics_shard_size\": 4").shard_group, 4);
    EXPECT_EQ(strategy("\"mics_shard_size\": -1").shard_group, 0);
    EXPECT_FALSE(
        deepspeed_strategy(parsed_config("{" + zero("\"zero_quantized_weights\": true") + "}"))
            .quantized_weights)
        << "of stage 3 only";
}

TEST(DeepSpeedImport, ReadsOffload) {
    const auto offload = [](const std::string& text) {
        return deepspeed_strategy(parsed_config("{" + text + "}")).offload;
    };
    using enum OffloadTo;
    EXPECT_EQ(offload(zero("\"stage\": 2, \"offload_optimizer\": {\"device\": \"cpu\"}")),
              (Offload{cpu, none, none}));
    EXPECT_EQ(offload(zero("\"stage\": 3, \"offload_optimizer\": {\"device\": \"nvme\", "
                           "\"nvme_path\": \"/local\", \"pipeline_read\": true}, "
                           "\"offload_param\": {\"device\": \"cpu\"}")),
              (Offload{nvme, cpu, none}));
    EXPECT_EQ(offload(zero("\"stage\": 2, \"cpu_offload\": true")), (Offload{cpu, none, none}));
    EXPECT_EQ(offload(zero("\"stage\": 3, \"cpu_offload\": true, \"cpu_offload_param\": true")),
              (Offload{cpu, cpu, none}));
    EXPECT_EQ(offload(zero("\"stage\": 2, \"offload_param\": {\"device\": \"cpu\"}")), Offload{})
        << "of stage 3 only";
    EXPECT_EQ(offload(zero("\"offload_optimizer\": {\"device\": \"cpu\"}")), Offload{})
        << "without ZeRO";
    const Strategy s = deepspeed_strategy(
        parsed_config("{\"activation_checkpointing\": {\"cpu_checkpointing\": true}}"));
    EXPECT_EQ(s.offload, (Offload{none, none, cpu}));
    EXPECT_EQ(s.recompute, (Recompute{Recompute::Kind::full, 1}));
}

TEST(DeepSpeedSummary, IsPrinted) {
    const DeepSpeedSummary summary = summarise_deepspeed(parsed_config(kFile), 8, 0, 1);
    test::expect_golden("deepspeed_summary.txt", deepspeed_to_text(summary));
    test::expect_golden("deepspeed_summary.json", deepspeed_to_json(summary));
    EXPECT_TRUE(nlohmann::json::accept(deepspeed_to_json(summary)));
}

TEST(DeepSpeedSummary, WithoutABatchSaysWhoGivesIt) {
    const DeepSpeedSummary summary = summarise_deepspeed(
        parsed_config(
            "{\"train_batch_size\": \"auto\", \"gradient_accumulation_steps\": \"auto\"}"),
        8, 0, 1);
    EXPECT_FALSE(summary.batch);
    EXPECT_THAT(deepspeed_to_text(summary), HasSubstr("give global_batch in a scenario"));
    EXPECT_TRUE(nlohmann::json::parse(deepspeed_to_json(summary))["batch"].is_null());
}

// Either reads or throws Error; anything else fails the test.
void survive_config(const std::string& text) {
    try {
        const DeepSpeedSummary summary = summarise_deepspeed(parsed_config(text), 8, 0, 1);
        EXPECT_FALSE(deepspeed_to_text(summary).empty());
    } catch (const Error& e) {
        EXPECT_FALSE(e.rule.empty());
        EXPECT_FALSE(e.fix.empty()) << e.what();
        EXPECT_TRUE(e.message.starts_with("ds.json:")) << e.what();
    } catch (const std::exception& e) {
        ADD_FAILURE() << "not an Error: " << e.what() << "\n" << text;
    }
}

TEST(MutatedDeepSpeed, TruncatedAnywhere) {
    const std::string text = kFile;
    for (std::size_t length = 0; length <= text.size(); ++length)
        survive_config(text.substr(0, length));
}

TEST(MutatedDeepSpeed, BytesAndPieces) {
    const std::vector<std::string> pieces = {"{",
                                             "}",
                                             "[",
                                             "]",
                                             ":",
                                             ",",
                                             "\"",
                                             "'",
                                             "#",
                                             "//",
                                             "/*",
                                             "*/",
                                             "\n",
                                             "\\",
                                             "\\u",
                                             "null",
                                             "true",
                                             "\"auto\"",
                                             "1e999",
                                             "-1",
                                             "99999999999999999999",
                                             "0.5",
                                             "\xC3",
                                             "\"enabled\": true,",
                                             "\"stage\": 2,",
                                             "{\"type\": \"SGD\"},",
                                             "\"params\": {},"};
    const std::uint64_t seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto below = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    for (int round = 0; round < 5000; ++round) {
        std::string text = kFile;
        for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
            const std::size_t at = below(text.size()), length = below(12);
            const std::string& piece = pieces[below(pieces.size())];
            switch (below(4)) {
                case 0:
                    text.insert(at, piece);
                    break;
                case 1:
                    text.replace(at, length, piece);
                    break;
                case 2:
                    text.insert(at, text.substr(below(text.size()), length));
                    break;
                default:
                    text[at] = static_cast<char>(below(256));
            }
        }
        survive_config(text);
    }
}

}  // namespace
}  // namespace shardscope
