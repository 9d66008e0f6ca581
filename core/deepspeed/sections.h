// What the files of this folder that read a part of a DeepSpeed configuration share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/deepspeed/config.h"
#include "core/yaml_reader.h"

namespace shardscope {

// The map, none of whose keys is unknown: else Error "unknown-key" with the nearest one.
YamlMap deepspeed_map(const YamlValue& value, const std::vector<std::string_view>& known);

// The value of a key. Empty where it is missing, null, or "auto"; the last is noted, with what
// Hugging Face's Trainer puts there ("" where it does not).
std::optional<YamlValue> find_given(const YamlMap& map, std::string_view key,
                                    std::string_view trainer, DeepSpeedConfig& config);

bool is_auto(const YamlMap& map, std::string_view key);

void add_note(DeepSpeedConfig& config, const YamlValue& value, std::string text);

// What this program cannot do: Error "unsupported".
[[noreturn]] void unsupported(const YamlValue& value, const std::string& what,
                              const std::string& fix);
// What DeepSpeed itself refuses, in its words: Error "deepspeed".
[[noreturn]] void deepspeed_refuses(const YamlValue& value, const std::string& message,
                                    const std::string& fix);

// A whole number, which people also write as 5e8.
std::int64_t whole_number(const YamlValue& value, IntegerRange range);

// The value as it stands in the file, for tables: "true", "5e8", "{…}".
std::string value_text(const YamlValue& value);

// Reads a key into a setting, if it is given, with `get(value)`.
template <typename T, typename Get>
void read_setting(const YamlMap& map, std::string_view key, std::string_view trainer,
                  DeepSpeedConfig& config, Setting<T>& to, Get get) {
    const auto value = find_given(map, key, trainer, config);
    if (value)
        to = {get(*value), value->place()};
    else
        to.is_auto = is_auto(map, key);
}

// One section each, in the order in which they must be read.
void read_zero(const YamlMap& top, DeepSpeedConfig& config);
void read_precision(const YamlMap& top, DeepSpeedConfig& config);
void read_optimizer(const YamlMap& top, DeepSpeedConfig& config);
void read_other_sections(const YamlMap& top, DeepSpeedConfig& config);
// The keys of the top level that read_other_sections knows.
std::vector<std::string_view> other_section_keys();

}  // namespace shardscope
