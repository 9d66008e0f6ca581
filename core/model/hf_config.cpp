#include "core/model/hf_config.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/error.h"
#include "core/nearest.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

struct IgnoredKey {
    std::string_view key, why;
};

constexpr std::string_view kInference = "for generating text";
constexpr std::string_view kTokensFromData = "tokens come from the scenario's data";
constexpr std::string_view kOtherTasks = "for other tasks than language modelling";
constexpr std::string_view kPrecision = "the scenario's training.precision decides";
constexpr std::string_view kOrigin = "where the file is from";

// Keys that PretrainedConfig and the supported families write and that do not shape the model.
constexpr IgnoredKey kIgnored[] = {
    {"_attn_implementation", "all of them compute the same"},
    {"_attn_implementation_autoset", "all of them compute the same"},
    {"_commit_hash", kOrigin},
    {"_name_or_path", kOrigin},
    {"attention_probs_dropout_prob", "transformers reads attention_dropout instead"},
    {"auto_map", kOrigin},
    {"bad_words_ids", kInference},
    {"begin_suppress_tokens", kInference},
    {"bos_token_id", kTokensFromData},
    {"cache_implementation", kInference},
    {"chunk_size_feed_forward", "computes the same in pieces"},
    {"classifier_dropout", kOtherTasks},
    {"decoder_start_token_id", kTokensFromData},
    {"diversity_penalty", kInference},
    {"do_sample", kInference},
    {"dtype", kPrecision},
    {"early_stopping", kInference},
    {"eos_token_id", kTokensFromData},
    {"finetuning_task", kOtherTasks},
    {"gradient_checkpointing", "the strategy's recompute decides"},
    {"hidden_dropout_prob", "transformers reads hidden_dropout instead"},
    {"id2label", kOtherTasks},
    {"is_decoder", "for encoder-decoder models"},
    {"label2id", kOtherTasks},
    {"length_penalty", kInference},
    {"max_length", kInference},
    {"min_length", kInference},
    {"n_ctx", "transformers reads n_positions instead"},
    {"no_repeat_ngram_size", kInference},
    {"num_beam_groups", kInference},
    {"num_beams", kInference},
    {"num_return_sequences", kInference},
    {"output_attentions", kInference},
    {"output_hidden_states", kInference},
    {"output_past", kInference},
    {"output_scores", kInference},
    {"pad_token_id", kTokensFromData},
    {"prefix", kInference},
    {"pretraining_tp", "computes the same in pieces"},
    {"problem_type", kOtherTasks},
    {"quantization_config", "training here is not quantised; the scenario's precision decides"},
    {"reorder_and_upcast_attn", "computes the same with other rounding"},
    {"repetition_penalty", kInference},
    {"return_dict", kInference},
    {"return_dict_in_generate", kInference},
    {"sep_token_id", kTokensFromData},
    {"summary_activation", kOtherTasks},
    {"summary_first_dropout", kOtherTasks},
    {"summary_proj_to_labels", kOtherTasks},
    {"summary_type", kOtherTasks},
    {"summary_use_proj", kOtherTasks},
    {"suppress_tokens", kInference},
    {"task_specific_params", kInference},
    {"temperature", kInference},
    {"tokenizer_class", kTokensFromData},
    {"top_k", kInference},
    {"top_p", kInference},
    {"torch_dtype", kPrecision},
    {"torchscript", kInference},
    {"transformers_version", kOrigin},
    {"typical_p", kInference},
    {"unk_token_id", kTokensFromData},
    {"use_bfloat16", kPrecision},
    {"use_cache", kInference},
};

// Why a known key has no effect; empty for others.
std::string_view why_ignored(std::string_view key) {
    for (const IgnoredKey& ignored : kIgnored)
        if (ignored.key == key) return ignored.why;
    return {};
}

constexpr NumberRange kProbability{0, 1};

}  // namespace

HfConfig::HfConfig(const YamlValue& file) : map_(YamlMap::open(file)) {}

std::optional<YamlValue> HfConfig::find(std::string_view key) {
    asked_.emplace(key);
    auto value = map_.find(key);
    if (value && value->is_null()) value.reset();
    return value;
}

bool HfConfig::present(std::string_view key) const { return map_.find(key).has_value(); }

std::string HfConfig::place(std::string_view key) const {
    const auto value = map_.find(key);
    return value ? value->place() : map_.value().place();
}

void HfConfig::read(std::string_view key, std::string value, bool in_file) {
    asked_.emplace(key);
    result_.read.push_back({std::string(key), std::move(value), in_file});
}

void HfConfig::record(std::string_view key, std::string value) {
    read(key, std::move(value), present(key));
}

std::int64_t HfConfig::size(std::string_view key, IntegerRange range) {
    const auto value = find(key);
    if (!value) {
        std::vector<std::string> others;
        for (const YamlValue& other : map_.keys())
            if (!was_read(other.text()) && why_ignored(other.text()).empty())
                others.push_back(other.text());
        const std::vector<std::string_view> views(others.begin(), others.end());
        const auto near = nearest_name(key, views);
        map_.value().fail(
            "missing-key",
            fmt::format("a model of this type has a \"{}\", but the file has none", key),
            near ? fmt::format("is \"{}\" meant?", *near) : fmt::format("add \"{}\": …", key));
    }
    const std::int64_t result = value->integer(range);
    read(key, fmt::format("{}", result), true);
    return result;
}

std::int64_t HfConfig::size(std::string_view key, IntegerRange range, std::int64_t otherwise) {
    const auto value = find(key);
    const std::int64_t result = value ? value->integer(range) : otherwise;
    read(key, fmt::format("{}", result), value.has_value());
    return result;
}

double HfConfig::number(std::string_view key, NumberRange range, double otherwise) {
    const auto value = find(key);
    const double result = value ? value->number(range) : otherwise;
    read(key, fmt::format("{}", result), value.has_value());
    return result;
}

bool HfConfig::flag(std::string_view key, bool otherwise) {
    const auto value = find(key);
    const bool result = value ? value->boolean() : otherwise;
    read(key, result ? "true" : "false", value.has_value());
    return result;
}

std::string HfConfig::word(std::string_view key, const std::string& otherwise) {
    const auto value = find(key);
    std::string result = value ? value->name() : otherwise;
    read(key, result, value.has_value());
    return result;
}

void HfConfig::note(std::string_view key, std::string text) {
    asked_.emplace(key);
    result_.notes.push_back({std::string(key), std::move(text)});
}

void HfConfig::dropout(std::string_view key, double otherwise) {
    const auto value = find(key);
    const double p = value ? value->number(kProbability) : otherwise;
    if (p > 0)
        note(key, fmt::format("{}{}: not applied, nothing is dropped in training here", p,
                              value ? "" : " by default"));
    else if (value)
        note(key, "0: nothing is dropped");
}

void HfConfig::only(std::string_view key, bool implemented, const char* what) {
    const auto value = find(key);
    if (!value) return;
    if (value->boolean() != implemented)
        refuse(key,
               fmt::format("\"{}\": {} means {}, which is not supported", key, !implemented, what),
               fmt::format("use a model with \"{}\": {}", key, implemented));
    record(key, implemented ? "true" : "false");
}

void HfConfig::refuse(std::string_view key, const std::string& message,
                      const std::string& fix) const {
    throw Error("unsupported-structure", fmt::format("{}: {}", place(key), message), fix);
}

bool HfConfig::was_read(std::string_view key) const {
    return std::any_of(result_.read.begin(), result_.read.end(),
                       [key](const HfImport::Read& read) { return read.key == key; });
}

void HfConfig::finish() {
    const std::vector<std::string_view> known(asked_.begin(), asked_.end());
    std::vector<HfImport::Note> notes = std::move(result_.notes);
    result_.notes.clear();
    const auto from = [&](std::string_view key) {
        return std::find_if(notes.begin(), notes.end(),
                            [key](const HfImport::Note& n) { return n.key == key; });
    };
    for (const YamlValue& value : map_.keys()) {
        const std::string key = value.text();
        if (const auto known_note = from(key); known_note != notes.end()) {
            result_.notes.push_back(*known_note);
            notes.erase(known_note);
            continue;
        }
        if (was_read(key)) continue;
        std::string why(why_ignored(key));
        if (why.empty() && asked_.count(key) != 0) why = "null: as if it were not there";
        if (why.empty()) {
            const auto near = nearest_name(key, known);
            why = near ? fmt::format("unknown; is \"{}\" meant?", *near)
                       : "unknown, not read; if it changes the model, this is another model";
        }
        result_.notes.push_back({printable(key), std::move(why)});
    }
    result_.notes.insert(result_.notes.end(), notes.begin(), notes.end());
}

}  // namespace shardscope
