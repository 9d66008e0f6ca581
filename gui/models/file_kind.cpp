// What a file is, by what it contains.
#include <algorithm>
#include <optional>
#include <string_view>

#include "core/deepspeed/json.h"
#include "core/report/report_import.h"
#include "core/yaml_reader.h"
#include "core/yaml_text.h"
#include "gui/models/edits.h"

namespace shardscope::gui {
namespace {

bool has(const YamlMap& map, std::string_view key) { return map.find(key).has_value(); }

template <std::size_t Count>
bool has_any(const YamlMap& map, const std::string_view (&keys)[Count]) {
    return std::any_of(std::begin(keys), std::end(keys),
                       [&](std::string_view key) { return has(map, key); });
}

constexpr std::string_view kDeepSpeedKeys[] = {"train_batch_size",
                                               "train_micro_batch_size_per_gpu",
                                               "gradient_accumulation_steps",
                                               "zero_optimization",
                                               "zero_allow_untested_optimizer",
                                               "gradient_clipping",
                                               "fp16",
                                               "bf16",
                                               "steps_per_print",
                                               "wall_clock_breakdown"};
constexpr std::string_view kScenarioKeys[] = {"model", "strategies", "training"};
constexpr std::string_view kHuggingFaceKeys[] = {"model_type", "architectures"};
constexpr std::string_view kClusterKeys[] = {"device", "gpus_per_node", "intra_node"};

FileKind kind_of(const YamlValue& value) {
    if (!value.is_map()) return FileKind::unknown;
    const YamlMap map = YamlMap::open(value);
    if (has(map, "schema_version") || (has(map, "context") && has(map, "scenario")))
        return FileKind::report;
    if (has_any(map, kHuggingFaceKeys)) return FileKind::hf_config;
    if (has_any(map, kScenarioKeys)) return FileKind::scenario;
    if (has_any(map, kDeepSpeedKeys)) return FileKind::deepspeed;
    return has_any(map, kClusterKeys) ? FileKind::cluster : FileKind::unknown;
}

// Larger than any file but a report.
bool is_long(const std::string& text) {
    return text.size() > static_cast<std::size_t>(kTextMaxBytes);
}

}  // namespace

FileKind file_kind(const QString& path) {
    const std::string name = path.toStdString();
    const std::string text = read_text_file(name, "scenario", kReportMaxBytes);
    if (is_long(text))
        return text.find("\"schema_version\"") < 4096 ? FileKind::report : FileKind::unknown;
    try {
        return kind_of(YamlValue::parse(text, name));
    } catch (const Error&) {
        // DeepSpeed's files may have comments, and commas too many.
        std::optional<FileKind> kind;
        try {
            kind = kind_of(parse_deepspeed_json(text, name));
        } catch (const Error&) {
            // Neither reads it: what is wrong is told as of a scenario, below.
        }
        if (kind != FileKind::deepspeed) throw;
        return *kind;
    }
}

bool open_file(Document& document, const QString& path) {
    switch (file_kind(path)) {
        case FileKind::scenario:
            document.open(path);
            return true;
        case FileKind::cluster:
            open_cluster(document, path);
            return true;
        case FileKind::hf_config:
            open_model_config(document, path);
            return true;
        case FileKind::deepspeed:
            add_deepspeed(document, path);
            return true;
        case FileKind::report:
            return false;
        case FileKind::unknown:
            break;
    }
    throw Error(
        "file-kind",
        path.toStdString() +
            " is neither a scenario nor a report, a cluster, a Hugging Face config.json or a "
            "DeepSpeed configuration",
        "open a file that has `model:` and `strategies:`, or one of the others");
}

}  // namespace shardscope::gui
