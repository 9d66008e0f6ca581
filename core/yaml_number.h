// Numbers and quantities as text, independent of the locale.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/yaml_reader.h"

namespace shardscope {

struct UnitSuffix {
    std::string_view suffix;
    double factor;  // to the base unit
};

// Decimal digits with an optional sign. Empty where `text` is something else; saturates at the ends
// of the type, so that a range check reports what is too large.
std::optional<std::int64_t> parse_integer(std::string_view text);

// A finite decimal number; empty where `text` is anything else, NaN and infinities included.
std::optional<double> parse_number(std::string_view text);

// The suffixes that `unit` allows, base unit first.
std::span<const UnitSuffix> suffixes_of(QuantityUnit unit);

// A number with an optional suffix, in the base unit: "80GB", "25 MiB", "400Gbit/s", "5us".
std::optional<double> parse_quantity(std::string_view text, QuantityUnit unit);

}  // namespace shardscope
