#include "core/deepspeed/summary_io.h"

#include <array>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/deepspeed/import.h"
#include "core/error.h"
#include "core/report/text_table.h"
#include "core/strategy/strategy_io.h"
#include "core/strategy/validate.h"
#include "core/training_io.h"
#include "core/yaml_writer.h"

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

Cluster ranks(int count) {
    Cluster cluster;
    cluster.nodes = 1;
    cluster.gpus_per_node = count;
    return cluster;
}

ResolvedBatch resolve(const DeepSpeedConfig& config, int dp) {
    try {
        return resolve_batch(config.batch, dp);
    } catch (const Error& e) {
        throw Error(e.rule, fmt::format("{}: {}", config.batch_place(), e.message), e.fix);
    }
}

TrainingSpec training_of(const DeepSpeedSummary& summary) {
    const DeepSpeedConfig& config = summary.config;
    TrainingSpec training;
    if (summary.batch) training.global_batch = summary.batch->train;
    training.precision = config.precision.value;
    if (config.gradient_dtype.value != training.precision)
        training.gradient_dtype = config.gradient_dtype.value;
    if (training.gradient_dtype && *training.gradient_dtype != DType::fp32) {
        const std::string_view gradients = name_of(*training.gradient_dtype);
        throw Error(
            "gradient-dtype",
            fmt::format("{}: gradients in {} do not go with precision {}",
                        config.gradient_dtype.place, gradients, name_of(training.precision)),
            fmt::format("use fp32, or \"{}\": {{\"enabled\": true}}", gradients));
    }
    if (config.optimizer) training.optimizer = config.optimizer->spec();
    training.clip = config.clip.value;
    return training;
}

// Groups of ranks that the file asks for must go with the ranks. What a cluster has for offload is not known here.
void check_degrees_of(const DeepSpeedSummary& summary) {
    Scenario scenario;
    scenario.cluster = ranks(summary.world);
    scenario.training = summary.training;
    Strategy strategy = summary.strategy;
    strategy.offload = {};
    if (!summary.batch) {
        scenario.training.global_batch = summary.dp;
        strategy.micro_batch = 1;
    }
    layout_for(scenario, strategy);
}

DType gradient_dtype(const TrainingSpec& training) {
    return training.gradient_dtype.value_or(training.precision);
}

Json training_json(const DeepSpeedSummary& summary) {
    Json json = training_to_json(summary.training);
    for (const char* key : {"micro_batch", "steps", "seed"}) json.erase(key);  // not the file's
    if (!summary.batch) json.erase("global_batch");
    if (!summary.config.optimizer) json.erase("optimizer");
    return json;
}

Json summary_strategy_json(const DeepSpeedSummary& summary) {
    const Strategy& s = summary.strategy;
    Json json = strategy_to_json(s);
    for (const char* key :
         {"dp", "ranks", "reduce_at", "sequence_parallel", "schedule", "virtual_stages",
          "attention", "cp", "cp_kind", "ep", "etp", "dispatcher", "dispatch_precision",
          "overlap_shared_experts", "overlap_gather", "tp_overlap", "expandable_segments"})
        json.erase(key);  // not the file's
    if (s.tp == 1) json.erase("tp");
    if (s.pp == 1) json.erase("pp"), json.erase("partition");
    if (s.zero < 3) json.erase("prefetch");
    if (!s.overlap_reduce) json.erase("overlap_reduce");
    if (!s.offload.any()) json.erase("offload");
    if (s.shard_group == 0) json.erase("shard_group");
    if (!s.quantized_weights) json.erase("quantized_weights");
    if (s.secondary_shard == 0) json.erase("secondary_shard");
    if (!s.quantized_gradients) json.erase("quantized_gradients");
    if (s.recompute.kind == Recompute::Kind::none) json.erase("recompute");
    return json;
}

// The part of a scenario that the file is.
Json scenario_json(const DeepSpeedSummary& summary) {
    Json json;
    json["training"] = training_json(summary);
    json["strategies"] = Json::array({summary_strategy_json(summary)});
    return json;
}

std::string batch_text(const DeepSpeedSummary& summary) {
    if (!summary.batch)
        return "left to Hugging Face's Trainer (\"auto\"); give global_batch in a scenario";
    const ResolvedBatch& batch = *summary.batch;
    return fmt::format(
        "train_batch_size {} = train_micro_batch_size_per_gpu {} · gradient_accumulation_steps {} "
        "· "
        "{} data-parallel rank{}\n           {}",
        batch.train, batch.micro, batch.accumulation, summary.dp, summary.dp == 1 ? "" : "s",
        batch.inference);
}

std::string optimizer_text(const DeepSpeedSummary& summary) {
    if (!summary.config.optimizer) return "none in the file";
    const OptimizerSpec& o = summary.training.optimizer;
    if (o.kind == OptimizerKind::sgd)
        return fmt::format("sgd: lr {}, momentum {}, weight_decay {}", o.lr, o.momentum,
                           o.weight_decay);
    if (o.kind == OptimizerKind::lion)
        return fmt::format("lion: lr {}, betas {} and {}, weight_decay {}", o.lr, o.beta1, o.beta2,
                           o.weight_decay);
    return fmt::format("{}: lr {}, betas {} and {}, epsilon {}, weight_decay {}", name_of(o.kind),
                       o.lr, o.beta1, o.beta2, o.epsilon, o.weight_decay);
}

std::string summary_heading(const DeepSpeedSummary& summary) {
    const DeepSpeedConfig& config = summary.config;
    const Strategy& s = summary.strategy;
    std::string text =
        fmt::format("{} on {} rank{}", config.file, summary.world, summary.world == 1 ? "" : "s");
    if (s.tp * s.pp > 1) text += fmt::format(": tp {} × pp {} × dp {}", s.tp, s.pp, summary.dp);
    text += "\n\nbatch      " + batch_text(summary);
    text += "\noptimizer  " + optimizer_text(summary);
    text += fmt::format("\nclip       {}{}", config.clip.value,
                        config.clip.given() ? "" : " (DeepSpeed's default)");
    text += fmt::format("\nprecision  {}, gradients {}", name_of(summary.training.precision),
                        name_of(gradient_dtype(summary.training)));
    return text + fmt::format("\nZeRO       stage {}\n", s.zero);
}

std::string zero_table(const DeepSpeedConfig& config) {
    TextTable table;
    for (const char* column : {"zero_optimization", "value", "default", "what it means here"})
        table.add_column(column, TextTable::Align::left);
    for (const ZeroKey& key : config.zero_keys)
        table.add_row({key.key, key.value, key.default_value, key.here});
    return table.to_string();
}

std::string notes_text(const DeepSpeedConfig& config) {
    std::string text;
    for (const DeepSpeedNote& note : config.notes)
        text += fmt::format("  {}{}: {}\n", note.place.empty() ? "" : note.place + " ", note.key,
                            note.text);
    return text;
}

Json batch_json(const DeepSpeedSummary& summary) {
    if (!summary.batch) return nullptr;
    const ResolvedBatch& batch = *summary.batch;
    return {{"train_batch_size", batch.train},
            {"train_micro_batch_size_per_gpu", batch.micro},
            {"gradient_accumulation_steps", batch.accumulation},
            {"data_parallel", summary.dp},
            {"inference", batch.inference}};
}

Json zero_json(const DeepSpeedConfig& config) {
    Json json = Json::object();
    for (const ZeroKey& key : config.zero_keys) {
        json[key.key]["value"] = key.value.empty() ? Json(nullptr) : Json(key.value);
        json[key.key]["default"] = key.default_value;
        json[key.key]["here"] = key.here;
    }
    return json;
}

}  // namespace

DeepSpeedSummary summarise_deepspeed(DeepSpeedConfig config, int world, int tp, int pp) {
    DeepSpeedSummary summary;
    summary.config = std::move(config);
    const DeepSpeedConfig& file = summary.config;
    summary.world = world;
    if (tp > 0 && file.tp.given() && file.tp.value != tp)
        throw Error("disagree",
                    fmt::format("{}: tensor_parallel.autotp_size is {}, but tp is {}",
                                file.tp.place, file.tp.value, tp),
                    "make them equal, or keep one of the two");
    Strategy& strategy = summary.strategy;
    strategy = deepspeed_strategy(file);
    strategy.name = std::filesystem::path(file.file).stem().string();
    strategy.place = file.file;
    strategy.pp = pp;
    if (tp > 0) strategy.tp = tp;
    summary.dp = data_parallel_degree(ranks(world), strategy);
    if (file.batch.sufficient() || !file.batch_is_auto) {
        summary.batch = resolve(file, summary.dp);
        strategy.micro_batch = summary.batch->micro;
    }
    summary.training = training_of(summary);
    check_deepspeed(file, pp, gradient_dtype(summary.training));
    strategy.bucket = deepspeed_bucket(file, gradient_dtype(summary.training));
    check_degrees_of(summary);
    return summary;
}

std::string deepspeed_to_text(const DeepSpeedSummary& summary) {
    std::string text = summary_heading(summary) + "\n" + zero_table(summary.config);
    if (!summary.config.notes.empty()) text += "\nNotes\n" + notes_text(summary.config);
    return text + "\nIn a scenario\n\n" + json_to_yaml(scenario_json(summary));
}

std::string deepspeed_to_json(const DeepSpeedSummary& summary) {
    Json json;
    json["file"] = summary.config.file;
    json["world_size"] = summary.world;
    json["batch"] = batch_json(summary);
    json["zero_optimization"] = zero_json(summary.config);
    json["notes"] = Json::array();
    for (const DeepSpeedNote& note : summary.config.notes)
        json["notes"].push_back({{"place", note.place}, {"key", note.key}, {"text", note.text}});
    json["scenario"] = scenario_json(summary);
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace shardscope
