#include "gui/models/error_place.h"

#include <QRegularExpression>
#include <array>
#include <utility>

namespace shardscope::gui {
namespace {

// Rules whose remedy, or whose message where the value itself is out of range, names what to change.
QString named_field(const Error& error) {
    static const QRegularExpression kRemedy(
        "^use (?:an? )?(tp|cp|pp|ep|etp|dp|ranks|zero|global_batch|micro_batch|virtual_stages|"
        "schedule|recompute blocks)\\b");
    static const QRegularExpression kValue(
        "\\b(tp|cp|pp|ep|etp|dp|ranks|global_batch|micro_batch|virtual_stages|recompute every|"
        "recompute blocks) is ");
    if (error.rule == "range") {
        const auto value = kValue.match(QString::fromStdString(error.message));
        if (value.hasMatch()) return value.captured(1).section(' ', -1);
    }
    const auto remedy = kRemedy.match(QString::fromStdString(error.fix));
    return remedy.hasMatch() ? remedy.captured(1).section(' ', -1) : QString();
}

// Rules that are about one field, whatever the remedy.
constexpr std::array<std::pair<std::string_view, const char*>, 24> kFields{{
    {"reduce-at", "zero"},
    {"tensor-parallel", "tp"},
    {"sequence-parallel", "sequence_parallel"},
    {"context-parallel", "cp"},
    {"expert-parallel", "ep"},
    {"dispatcher", "dispatcher"},
    {"shard-group", "shard_group"},
    {"tp-overlap", "tp_overlap"},
    {"overlap-gather", "overlap_gather"},
    {"expandable-segments", "expandable_segments"},
    {"virtual-stages", "virtual_stages"},
    {"schedule-size", "micro_batch"},
    {"pattern", "partition"},
    {"device-peak", "precision"},
    {"gradient-dtype", "precision"},
    {"not-calibrated", "cluster"},
    {"positions", "sequence"},
    {"sequence", "sequence"},
    {"heads", "model"},
    {"layers", "model"},
    {"layer-shape", "model"},
    {"classes", "model"},
    {"group", "model"},
    {"model-size", "model"},
}};

}  // namespace

QString error_field(const Error& error) {
    if (error.rule == "partition")
        return error.message.find("virtual_stages") != std::string::npos &&
                       error.message.find("partition lists") == std::string::npos
                   ? "pp"
                   : "partition";
    for (const auto& [rule, field] : kFields)
        if (error.rule == rule) return field;
    const bool named = error.rule == "range" || error.rule == "world-size" || error.rule == "batch";
    return named ? named_field(error) : QString();
}

}  // namespace shardscope::gui
