#include "core/deepspeed/scenario_import.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/deepspeed/import.h"
#include "core/error.h"
#include "core/strategy/validate.h"
#include "core/training_io.h"

namespace shardscope {
namespace {

std::string shown(double value) { return fmt::format("{}", value); }
std::string shown(std::int64_t value) { return fmt::format("{}", value); }
std::string shown(int value) { return fmt::format("{}", value); }
std::string shown(DType value) { return std::string(name_of(value)); }
std::string shown(const std::optional<DType>& value) {
    return value ? std::string(name_of(*value)) : "the precision";
}
std::string shown(const Recompute& recompute) { return recompute_text(recompute); }
std::string shown(OptimizerKind kind) { return std::string(name_of(kind)); }

[[noreturn]] void disagree(const std::string& one, const std::string& other) {
    throw Error("disagree", fmt::format("{}, but {}", one, other),
                "make them equal, or keep one of the two");
}

std::string said(const std::string& place, std::string_view key, const std::string& value) {
    return fmt::format("{}: {} is {}", place, key, value);
}

template <typename T>
std::string place_in(const DeepSpeedConfig& config, const Setting<T>& setting) {
    return setting.given() ? setting.place : config.file + " (DeepSpeed's default)";
}

using Entries = std::vector<DeepSpeedEntry>;

// The settings of all files, which must agree, and then what `training:` says besides.
class TrainingMerge {
public:
    TrainingMerge(const std::optional<YamlValue>& training, const Entries& entries)
        : map_(training ? std::optional(YamlMap::open(*training)) : std::nullopt),
          training_(training),
          entries_(entries) {}

    TrainingSpec run() {
        TrainingDefaults defaults;
        defaults.needs_batch = false;
        apply(defaults.spec, false);
        TrainingSpec spec = training_ ? read_training(*training_, defaults) : defaults.spec;
        apply(spec, true);
        finish_gradients(spec);
        return spec;
    }

    // Where a key of `training:` is; empty: it is not there.
    std::string place(std::string_view key) const {
        const auto value = map_ ? map_->find(key) : std::nullopt;
        return value ? value->place() : "";
    }

private:
    // `check`: instead of setting a field, demand that it is what the files say.
    void apply(TrainingSpec& spec, bool check) {
        const auto optimizer = [](auto member) {
            return [member](const DeepSpeedConfig& c) {
                return c.optimizer ? &((*c.optimizer).*member) : nullptr;
            };
        };
        using O = DeepSpeedOptimizer;
        OptimizerSpec& o = spec.optimizer;
        const bool any = std::any_of(entries_.begin(), entries_.end(), [](const auto& entry) {
            return entry.config.optimizer.has_value();
        });
        if (any && !check) o = DeepSpeedOptimizer{}.spec();
        merge("clip", "gradient_clipping", spec.clip, check, 1.0,
              [](const DeepSpeedConfig& c) { return &c.clip; });
        merge("precision", "bf16.enabled", spec.precision, check, DType::fp32,
              [](const DeepSpeedConfig& c) { return &c.precision; });
        merge("gradient_dtype", "grad_accum_dtype", spec.gradient_dtype, check, {},
              [](const DeepSpeedConfig& c) { return &c.gradient_dtype; });
        if (!any) return;
        merge_kind(o, check, optimizer(&O::kind));
        merge("optimizer.lr", "lr", o.lr, check, o.lr, optimizer(&O::lr));
        merge("optimizer.betas[0]", "betas[0]", o.beta1, check, o.beta1, optimizer(&O::beta1));
        merge("optimizer.betas[1]", "betas[1]", o.beta2, check, o.beta2, optimizer(&O::beta2));
        merge("optimizer.epsilon", "eps", o.epsilon, check, o.epsilon, optimizer(&O::epsilon));
        merge("optimizer.weight_decay", "weight_decay", o.weight_decay, check, o.weight_decay,
              optimizer(&O::weight_decay));
        merge("optimizer.momentum", "momentum", o.momentum, check, o.momentum,
              optimizer(&O::momentum));
    }

    // What all files that do not leave it open say of a setting; empty: none says anything.
    template <typename Get>
    auto common(std::string_view key, Get get) const
        -> decltype(get(std::declval<const DeepSpeedConfig&>())) {
        const DeepSpeedEntry* first = nullptr;
        for (const DeepSpeedEntry& entry : entries_) {
            const auto* setting = get(entry.config);
            if (!setting || setting->is_auto) continue;
            if (!first) first = &entry;
            const auto* earlier = get(first->config);
            if (earlier->value != setting->value)
                disagree(said(place_in(first->config, *earlier), key, shown(earlier->value)),
                         said(place_in(entry.config, *setting), key, shown(setting->value)));
            if (setting->given() && !earlier->given()) first = &entry;
        }
        return first ? get(first->config) : nullptr;
    }

    template <typename T, typename Get>
    void merge(const std::string& ours, std::string_view theirs, T& value, bool check, T otherwise,
               Get get) const {
        const auto* setting = common(theirs, get);
        if (!check) {
            value = setting ? setting->value : otherwise;
        } else if (setting && setting->given() && setting->value != value) {
            disagree(said(setting->place, theirs, shown(setting->value)),
                     said(place(ours.substr(0, ours.find('.'))), ours, shown(value)));
        }
    }

    // Without weight decay Adam and AdamW are the same.
    template <typename Get>
    void merge_kind(OptimizerSpec& spec, bool check, Get get) const {
        const auto is_adam = [](OptimizerKind kind) {
            return kind == OptimizerKind::adam || kind == OptimizerKind::adamw;
        };
        const auto* setting = common("optimizer.type", get);
        const bool same_adam = check && setting && is_adam(setting->value) && is_adam(spec.kind) &&
                               spec.weight_decay == 0;
        if (!same_adam)
            merge("optimizer", "optimizer.type", spec.kind, check, OptimizerKind::adamw, get);
    }

    // Gradients are kept as the parameters are, or in fp32.
    void finish_gradients(TrainingSpec& spec) const {
        if (spec.gradient_dtype == spec.precision) spec.gradient_dtype.reset();
        if (!spec.gradient_dtype || *spec.gradient_dtype == DType::fp32) return;
        const auto* setting =
            common("grad_accum_dtype", [](const DeepSpeedConfig& c) { return &c.gradient_dtype; });
        throw Error(
            "gradient-dtype",
            fmt::format("{}: gradients in {} do not go with precision {}",
                        setting && setting->given() ? setting->place : entries_[0].config.file,
                        name_of(*spec.gradient_dtype), name_of(spec.precision)),
            fmt::format("use {} or remove the key", name_of(spec.precision)));
    }

    std::optional<YamlMap> map_;
    const std::optional<YamlValue>& training_;
    const Entries& entries_;
};

// What a strategy's own entry says of what its file says too.
template <typename T>
void expect_same(const YamlMap& entry, std::string_view key, const T& value,
                 const Setting<T>& setting, std::string_view theirs) {
    const auto found = entry.find(key);
    if (!found || !setting.given() || setting.value == value) return;
    disagree(said(setting.place, theirs, shown(setting.value)),
             said(found->place(), key, shown(value)));
}

void complete_strategy(const DeepSpeedEntry& entry, const TrainingSpec& training, Strategy& s) {
    const DeepSpeedConfig& config = entry.config;
    const DType gradients = training.gradient_dtype.value_or(training.precision);
    const YamlMap map = YamlMap::open(entry.entry);
    expect_same(map, "zero", s.zero, config.zero, "zero_optimization.stage");
    expect_same(map, "tp", s.tp, config.tp, "tensor_parallel.autotp_size");
    expect_same(map, "recompute", s.recompute, config.recompute,
                "pipeline.activation_checkpoint_interval");
    check_deepspeed(config, s.pp, gradients);
    const Bytes bucket = deepspeed_bucket(config, gradients);
    const auto own = map.find("bucket");
    if (!own) s.bucket = bucket;
    if (own && config.reduce_bucket.given() && bucket_size(s) != bucket)
        disagree(fmt::format("{}: reduce_bucket_size is {} elements of {}, {} bytes",
                             config.reduce_bucket.place, config.reduce_bucket.value,
                             name_of(gradients), bucket.value),
                 said(own->place(), "bucket", fmt::format("{} bytes", bucket_size(s).value)));
}

// What resolve_batch reads: the file's numbers, and the scenario's where the file leaves them open.
struct OpenBatch {
    BatchTriad triad;
    std::string filled;  // where the scenario gives what it gave; empty: nothing
};

OpenBatch fill_batch(const DeepSpeedEntry& entry, const Strategy& s, const TrainingSpec& training,
                     const TrainingMerge& merge) {
    const DeepSpeedConfig& config = entry.config;
    const auto own = YamlMap::open(entry.entry).find("micro_batch");
    OpenBatch open{config.batch, ""};
    const std::string batch_place = merge.place("global_batch");
    if (!batch_place.empty()) {
        if (config.batch.train && *config.batch.train != training.global_batch)
            disagree(said(config.batch_places[0], "train_batch_size", shown(*config.batch.train)),
                     said(batch_place, "global_batch", shown(training.global_batch)));
        if (!config.batch.train)
            open.filled +=
                fmt::format(", global_batch {} at {}", training.global_batch, batch_place);
        open.triad.train = training.global_batch;
    }
    if (s.micro_batch) {
        if (config.batch.micro && *config.batch.micro != *s.micro_batch)
            disagree(said(config.batch_places[1], "train_micro_batch_size_per_gpu",
                          shown(*config.batch.micro)),
                     said(own ? own->place() : "", "micro_batch", shown(*s.micro_batch)));
        if (!config.batch.micro && own)
            open.filled += fmt::format(", micro_batch {} at {}", *s.micro_batch, own->place());
        open.triad.micro = s.micro_batch;
    } else if (!config.batch.micro && !config.batch.accumulation && training.micro_batch > 0) {
        open.filled +=
            fmt::format(", micro_batch {} at {}", training.micro_batch, merge.place("micro_batch"));
        open.triad.micro = training.micro_batch;
    }
    return open;
}

ResolvedBatch resolve_at(const DeepSpeedConfig& config, const OpenBatch& open, const Strategy& s,
                         int dp) {
    if (!open.triad.sufficient() && config.batch_is_auto) {
        throw Error(
            "batch",
            fmt::format("{}: the batch is \"auto\": Hugging Face's Trainer fills it from its "
                        "arguments",
                        config.file),
            "give global_batch in training, or a number in the file");
    }
    try {
        return resolve_batch(open.triad, dp);
    } catch (const Error& e) {
        throw Error(e.rule,
                    fmt::format("{}: {} ({}: strategy {}{})", config.batch_place(), e.message,
                                place_of(s), s.name, open.filled),
                    e.fix);
    }
}

}  // namespace

DeepSpeedConfig load_named_deepspeed(const YamlValue& key, const std::string& folder) {
    const std::string path = key.text();
    return load_deepspeed(path.front() == '/' ? path : folder + path);
}

void read_deepspeed_training(const std::optional<YamlValue>& training, const Entries& entries,
                             Scenario& scenario) {
    TrainingMerge merge(training, entries);
    scenario.training = merge.run();
    std::string first;  // who said the batch
    for (const DeepSpeedEntry& entry : entries) {
        Strategy& s = scenario.strategies[entry.strategy];
        complete_strategy(entry, scenario.training, s);
        const int dp = data_parallel_degree(scenario.cluster, s);
        const OpenBatch open = fill_batch(entry, s, scenario.training, merge);
        const ResolvedBatch batch = resolve_at(entry.config, open, s, dp);
        const std::string here = fmt::format(
            "{}: strategy {} with {} data-parallel ranks trains on {} "
            "samples per step",
            entry.config.batch_place(), s.name, dp, batch.train);
        if (first.empty()) first = here;
        if (scenario.training.global_batch != 0 && scenario.training.global_batch != batch.train)
            disagree(first, here);
        scenario.training.global_batch = batch.train;
        s.micro_batch = batch.micro;
    }
}

}  // namespace shardscope
