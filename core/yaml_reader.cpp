#include "core/yaml_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/error.h"
#include "core/nearest.h"
#include "core/yaml_number.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

std::string describe(NumberRange range) {
    return range.positive ? fmt::format("above 0, at most {}", range.high)
                          : fmt::format("from {} to {}", range.low, range.high);
}

std::string describe(IntegerRange range) {
    return fmt::format("{}from {} to {}", range.or_zero ? "0, or " : "", range.low, range.high);
}

bool has(NumberRange range, double value) {
    return value >= range.low && value <= range.high && (!range.positive || value > 0);
}
bool has(IntegerRange range, double value) {
    return (range.or_zero && value == 0) ||
           (value >= static_cast<double>(range.low) && value <= static_cast<double>(range.high));
}

std::string examples_of(QuantityUnit unit) {
    switch (unit) {
        case QuantityUnit::none:
            break;
        case QuantityUnit::bytes:
            return " or a size such as 25MiB or 80GB";
        case QuantityUnit::bytes_per_second:
            return " or a rate such as 50GB/s or 400Gbit/s";
        case QuantityUnit::flops_per_second:
            return " or a rate such as 989TFLOP/s";
        case QuantityUnit::seconds:
            return " or a time such as 5us or 2ms";
        case QuantityUnit::hertz:
            return " or a clock such as 1410MHz";
        case QuantityUnit::watts:
            return " or a power such as 700W";
    }
    return "";
}

// In which data sheets have it.
std::string_view usual_suffix(QuantityUnit unit) {
    switch (unit) {
        case QuantityUnit::none:
        case QuantityUnit::watts:
            break;
        case QuantityUnit::bytes:
            return "GB";
        case QuantityUnit::bytes_per_second:
            return "GB/s";
        case QuantityUnit::flops_per_second:
            return "TFLOP/s";
        case QuantityUnit::seconds:
            return "us";
        case QuantityUnit::hertz:
            return "MHz";
    }
    return "";
}

bool has_usual_size(NumberRange) { return true; }
bool has_usual_size(IntegerRange range) {
    return !range.or_zero;
}  // else it may be a cache's, or a buffer's

// "80GB" for a number without a unit that is in range with the usual one; empty where there is none such.
template <class Range>
std::string with_unit(const std::string& word, Range range, QuantityUnit unit) {
    constexpr double kMost = 1e5;  // a larger number is in another unit
    const auto value = parse_number(word);
    if (!has_usual_size(range) || !value || *value <= 0 || *value >= kMost ||
        usual_suffix(unit).empty())
        return "";
    std::string text = fmt::format("{}{}", word, usual_suffix(unit));
    return has(range, *parse_quantity(text, unit)) ? text : "";
}

}  // namespace

YamlValue::YamlValue(YamlNodePtr node, std::shared_ptr<const std::string> file, std::string path)
    : node_(std::move(node)), file_(std::move(file)), path_(std::move(path)) {}

YamlValue YamlValue::parse(const std::string& text, const std::string& file) {
    return {parse_yaml(text, file), std::make_shared<const std::string>(file), ""};
}

std::string YamlValue::place() const {
    return fmt::format("{}:{}:{}", *file_, node_->line, node_->column);
}

void YamlValue::fail(const char* rule, const std::string& message, const std::string& fix) const {
    throw Error(rule, fmt::format("{}: {}", place(), message), fix);
}

std::string YamlValue::shown() const {
    switch (node_->kind) {
        case YamlNode::Kind::null:
            return "empty";
        case YamlNode::Kind::sequence:
            return "a list";
        case YamlNode::Kind::map:
            return "a map";
        case YamlNode::Kind::scalar:
            break;
    }
    return fmt::format("\"{}\"", printable(node_->text));
}

bool YamlValue::is_word(std::string_view word) const {
    return node_->kind == YamlNode::Kind::scalar && node_->text == word;
}

const std::string& YamlValue::plain_scalar(const char* wanted) const {
    if (node_->kind != YamlNode::Kind::scalar || node_->quoted) {
        fail("type",
             fmt::format("{} is {}{}, but must be {}", path_, shown(),
                         node_->quoted ? " in quotes" : "", wanted),
             fmt::format("write {}{}", wanted, node_->quoted ? ", without quotes" : ""));
    }
    return node_->text;
}

std::string YamlValue::text() const {
    if (node_->kind != YamlNode::Kind::scalar || node_->text.empty()) {
        fail("type", fmt::format("{} is {}, but must be a text", path_, shown()), "write a text");
    }
    return node_->text;
}

std::string YamlValue::string() const {
    if (node_->kind != YamlNode::Kind::scalar || !node_->quoted)
        fail("type", fmt::format("{} is {}, but must be a text in quotes", path_, shown()),
             "write a text in quotes");
    return node_->text;
}

std::string YamlValue::name() const {
    std::string result = text();
    if (!is_name(result)) {
        fail("type", fmt::format("{} is not one line of at most {} bytes", path_, kLongestName),
             "write a shorter text in one line");
    }
    return result;
}

bool YamlValue::boolean() const {
    const std::string& word = plain_scalar("true or false");
    if (word != "true" && word != "false") {
        fail("type", fmt::format("{} is {}, but must be true or false", path_, shown()),
             "write true or false");
    }
    return word == "true";
}

std::int64_t YamlValue::integer(IntegerRange range) const {
    const std::string& word = plain_scalar("a whole number");
    const auto value = parse_integer(word);
    if (!value) {
        fail("type", fmt::format("{} is {}, but must be a whole number", path_, shown()),
             fmt::format("write a whole number {}", describe(range)));
    }
    if (!range.has(*value)) {
        fail("range",
             fmt::format("{} is {}, but must be {}", path_, printable(word), describe(range)),
             fmt::format("write a whole number {}", describe(range)));
    }
    return *value;
}

std::uint64_t YamlValue::seed() const {
    const std::string& word = plain_scalar("a whole number");
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) {
        fail("range", fmt::format("{} is {}, but must be from 0 to 2^64 − 1", path_, shown()),
             "write a whole number such as 1");
    }
    return value;
}

// JSON writes what has a unit in quotes; a number in quotes is a text all the same.
const std::string& YamlValue::quantity(const char* wanted, QuantityUnit unit) const {
    const bool has_unit = node_->kind == YamlNode::Kind::scalar && node_->quoted &&
                          !parse_number(node_->text) && parse_quantity(node_->text, unit);
    return has_unit ? node_->text : plain_scalar(wanted);
}

template <class Range>
void YamlValue::fail_range(const std::string& value, Range range, QuantityUnit unit) const {
    const std::string meant = with_unit(node_->text, range, unit);
    fail("range", fmt::format("{} is {}, but must be {}", path_, value, describe(range)),
         meant.empty() ? fmt::format("write a number{}, {}", examples_of(unit), describe(range))
                       : fmt::format("state a unit: write {} if that is meant", meant));
}

template <class Range>
double YamlValue::checked(Range range, QuantityUnit unit) const {
    const std::string wanted = "a number" + examples_of(unit);
    const auto value = parse_quantity(quantity(wanted.c_str(), unit), unit);
    if (!value) {
        fail("type", fmt::format("{} is {}, but must be {}", path_, shown(), wanted),
             fmt::format("write {}, finite, {}", wanted, describe(range)));
    }
    if (!has(range, *value)) fail_range(fmt::format("{}", *value), range, unit);
    return *value;
}

double YamlValue::number(NumberRange range, QuantityUnit unit) const {
    return checked(range, unit);
}

Bytes YamlValue::bytes(IntegerRange range) const {
    const std::string& word =
        quantity("a number of bytes or a size such as 25MiB", QuantityUnit::bytes);
    if (const auto exact = parse_integer(word)) {  // beyond 2^53 too
        if (!range.has(*exact)) fail_range(std::string(word), range, QuantityUnit::bytes);
        return Bytes(*exact);
    }
    return Bytes(std::llround(checked(range, QuantityUnit::bytes)));
}

std::vector<YamlValue> YamlValue::items() const {
    if (!is_sequence()) {
        fail("type", fmt::format("{} is {}, but must be a list", path_, shown()),
             "write a list: [a, b] or one \"- …\" line each");
    }
    std::vector<YamlValue> result;
    result.reserve(node_->items.size());
    for (std::size_t i = 0; i < node_->items.size(); ++i) {
        result.emplace_back(node_->items[i], file_, fmt::format("{}[{}]", path_, i));
    }
    return result;
}

std::vector<YamlValue> YamlValue::items(std::size_t count) const {
    std::vector<YamlValue> result = items();
    if (result.size() != count) {
        fail("type", fmt::format("{} has {} items, but must have {}", path_, result.size(), count),
             fmt::format("write {} items", count));
    }
    return result;
}

std::size_t YamlValue::choice(std::span<const std::string_view> names, const std::string& what,
                              const std::string& fix) const {
    const std::string word = text();
    const auto found = std::find(names.begin(), names.end(), word);
    if (found == names.end()) {
        fail("unknown-name", fmt::format("{}: there is no {} {}", path_, what, shown()),
             fix.empty() ? suggest_name(word, names) : fix);
    }
    return static_cast<std::size_t>(found - names.begin());
}

}  // namespace shardscope
