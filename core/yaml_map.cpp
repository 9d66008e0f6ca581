// The map half of yaml_reader.h.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/nearest.h"
#include "core/yaml_reader.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

std::string joined_path(const std::string& path, std::string_view key) {
    return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

// How a message names the map itself.
std::string map_name(const std::string& path) {
    return path.empty() ? "the file's top level" : path;
}

}  // namespace

YamlMap::YamlMap(const YamlValue& value, std::vector<std::string_view> known, Remedy remedy)
    : value_(value), known_(std::move(known)) {
    if (!value.is_map()) {
        value.fail(
            "type",
            fmt::format("{} is {}, but must be a map", map_name(value.path()), value.shown()),
            known_.empty()
                ? std::string("write {}")
                : fmt::format("write keys and values, such as \"{}: …\"", known_.front()));
    }
    for (const YamlNode::Entry& entry : value.node_->entries) {
        const std::string& key = entry.key->text;
        if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
        const std::string special = remedy != nullptr ? remedy(key) : "";
        YamlValue(entry.key, value.file_, value.path_)
            .fail("unknown-key",
                  fmt::format("unknown key \"{}\" in {}", printable(key), map_name(value.path())),
                  special.empty() ? suggest_name(key, known_) : special);
    }
}

YamlMap YamlMap::open(const YamlValue& value) {
    std::vector<std::string_view> all;
    if (value.is_map())
        for (const YamlNode::Entry& entry : value.node_->entries) all.push_back(entry.key->text);
    return {value, std::move(all)};
}

std::vector<YamlValue> YamlMap::keys() const {
    std::vector<YamlValue> keys;
    for (const YamlNode::Entry& entry : value_.node_->entries)
        keys.emplace_back(entry.key, value_.file_, value_.path_);
    return keys;
}

std::optional<YamlValue> YamlMap::find(std::string_view key) const {
    for (const YamlNode::Entry& entry : value_.node_->entries) {
        if (entry.key->text != key) continue;
        // An empty value has no place of its own.
        const bool empty = entry.value->kind == YamlNode::Kind::null;
        YamlNodePtr node = entry.value;
        if (empty) {
            auto placed = std::make_shared<YamlNode>(*node);
            placed->line = entry.key->line;
            placed->column = entry.key->column;
            node = placed;
        }
        return YamlValue(node, value_.file_, joined_path(value_.path_, key));
    }
    return std::nullopt;
}

YamlValue YamlMap::require(std::string_view key) const {
    if (auto value = find(key)) return *value;
    value_.fail("missing-key", fmt::format("{} has no \"{}\"", map_name(value_.path()), key),
                fmt::format("add \"{}: …\"", key));
}

YamlCase YamlMap::one_of(std::span<const std::string_view> keys) const {
    std::optional<YamlCase> only;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const auto value = find(keys[i]);
        if (!value) continue;
        if (only) {
            value->fail("one-of",
                        fmt::format("{} has both \"{}\" and \"{}\"", map_name(value_.path()),
                                    keys[only->index], keys[i]),
                        "keep one of the two");
        }
        only = YamlCase{i, *value};
    }
    if (!only) {
        const std::vector<std::string> all(keys.begin(), keys.end());
        value_.fail("one-of",
                    fmt::format("{} has none of {}", map_name(value_.path()), join_or(all)),
                    fmt::format("add one of {}", join_or(all)));
    }
    return *only;
}

bool YamlMap::read(std::string_view key, std::int64_t& to, IntegerRange range) const {
    const auto value = find(key);
    if (value) to = value->integer(range);
    return value.has_value();
}

bool YamlMap::read(std::string_view key, int& to, IntegerRange range) const {
    std::int64_t wide = to;
    const bool found = read(key, wide, range);
    to = static_cast<int>(wide);
    return found;
}

bool YamlMap::read(std::string_view key, double& to, NumberRange range) const {
    const auto value = find(key);
    if (value) to = value->number(range);
    return value.has_value();
}

bool YamlMap::read(std::string_view key, bool& to) const {
    const auto value = find(key);
    if (value) to = value->boolean();
    return value.has_value();
}

bool YamlMap::read(std::string_view key, std::string& to) const {
    const auto value = find(key);
    if (value) to = value->text();
    return value.has_value();
}

bool YamlMap::read(std::string_view key, Bytes& to, IntegerRange range) const {
    const auto value = find(key);
    if (value) to = value->bytes(range);
    return value.has_value();
}

bool YamlMap::read(std::string_view key, BytesPerSecond& to, NumberRange range) const {
    const auto value = find(key);
    if (value) to = BytesPerSecond(value->number(range, QuantityUnit::bytes_per_second));
    return value.has_value();
}

bool YamlMap::read(std::string_view key, Seconds& to, NumberRange range) const {
    const auto value = find(key);
    if (value) to = Seconds(value->number(range, QuantityUnit::seconds));
    return value.has_value();
}

bool YamlMap::read(std::string_view key, Hertz& to, NumberRange range) const {
    const auto value = find(key);
    if (value) to = Hertz(value->number(range, QuantityUnit::hertz));
    return value.has_value();
}

bool YamlMap::read(std::string_view key, Watts& to, NumberRange range) const {
    const auto value = find(key);
    if (value) to = Watts(value->number(range, QuantityUnit::watts));
    return value.has_value();
}

}  // namespace shardscope
