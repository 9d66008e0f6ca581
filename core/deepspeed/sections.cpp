#include "core/deepspeed/sections.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/nearest.h"
#include "core/yaml_number.h"
#include "core/yaml_text.h"

namespace shardscope {

YamlMap deepspeed_map(const YamlValue& value, const std::vector<std::string_view>& known) {
    YamlMap map = YamlMap::open(value);
    for (const YamlValue& key : map.keys()) {
        const std::string name = key.text();
        if (std::find(known.begin(), known.end(), name) != known.end()) continue;
        const auto near = nearest_name(name, known);
        key.fail(
            "unknown-key",
            fmt::format("unknown key \"{}\" in {}", printable(name),
                        value.path().empty() ? "the configuration" : value.path()),
            near ? fmt::format("use \"{}\"", *near) : "remove it, or see DeepSpeed's list of keys");
    }
    return map;
}

std::optional<YamlValue> find_given(const YamlMap& map, std::string_view key,
                                    std::string_view trainer, DeepSpeedConfig& config) {
    auto value = map.find(key);
    if (!value || value->is_null()) return std::nullopt;
    if (!value->is_word("auto")) return value;
    for (const DeepSpeedNote& note : config.notes)
        if (note.place == value->place()) return std::nullopt;  // said already
    add_note(config, *value,
             trainer.empty()
                 ? "\"auto\" counts as not given"
                 : fmt::format("\"auto\": Hugging Face's Trainer fills it from {}; here it counts "
                               "as not given",
                               trainer));
    return std::nullopt;
}

bool is_auto(const YamlMap& map, std::string_view key) {
    const auto value = map.find(key);
    return value && value->is_word("auto");
}

void add_note(DeepSpeedConfig& config, const YamlValue& value, std::string text) {
    config.notes.push_back({value.place(), value.path(), std::move(text)});
}

void unsupported(const YamlValue& value, const std::string& what, const std::string& fix) {
    value.fail("unsupported", fmt::format("{}: {}", value.path(), what), fix);
}

void deepspeed_refuses(const YamlValue& value, const std::string& message, const std::string& fix) {
    value.fail("deepspeed", fmt::format("{}: {}", value.path(), message), fix);
}

std::int64_t whole_number(const YamlValue& value, IntegerRange range) {
    const bool digits = !value.is_map() && !value.is_sequence() && parse_integer(value.text());
    if (digits) return value.integer(range);
    const double number =
        value.number({static_cast<double>(range.low), static_cast<double>(range.high)});
    const auto whole = static_cast<std::int64_t>(number);
    if (static_cast<double>(whole) != number)
        value.fail("type",
                   fmt::format("{} is {}, but must be a whole number", value.path(), number),
                   "write a whole number such as 500000000 or 5e8");
    return whole;
}

std::string value_text(const YamlValue& value) {
    if (value.is_map()) return "{…}";
    if (value.is_sequence()) return "[…]";
    return value.is_null() ? "null" : printable(value.text());
}

}  // namespace shardscope
