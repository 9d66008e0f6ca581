// Typed, strict access to parsed YAML: every getter checks type and range, and every failure names
// file:line:column, the key's path ("training.optimizer.adamw.lr") and what would work.
//
// Rules thrown here: "type", "range", "unknown-key", "missing-key", "one-of", "unknown-name".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.h"
#include "core/yaml_tree.h"

namespace shardscope {

// `or_zero` admits zero below `low` too.
struct IntegerRange {
    std::int64_t low = 1, high = 1;
    bool or_zero = false;

    bool has(std::int64_t value) const {
        return (value >= low && value <= high) || (or_zero && value == 0);
    }
};

inline constexpr IntegerRange kBatchRange{1, 1'000'000'000};  // of every batch size

// Finite numbers from low to high; `positive` excludes zero.
struct NumberRange {
    double low = 0, high = 0;
    bool positive = false;
};

inline constexpr NumberRange kFinite{-1e300, 1e300};
inline constexpr NumberRange kFraction{0, 1, true};

// Which suffixes a quantity may carry; without one it is in the base unit (bytes, B/s, FLOP/s, s).
enum class QuantityUnit { none, bytes, bytes_per_second, flops_per_second, seconds, hertz, watts };

// A value with the file and the path it came from. Cheap to copy.
class YamlValue {
public:
    YamlValue(YamlNodePtr node, std::shared_ptr<const std::string> file, std::string path);
    static YamlValue parse(const std::string& text, const std::string& file);

    const std::string& path() const { return path_; }
    std::string place() const;  // "file:3:7"
    bool is_map() const { return node_->kind == YamlNode::Kind::map; }
    bool is_sequence() const { return node_->kind == YamlNode::Kind::sequence; }
    bool is_null() const { return node_->kind == YamlNode::Kind::null; }
    bool is_word(std::string_view word) const;

    [[noreturn]] void fail(const char* rule, const std::string& message,
                           const std::string& fix) const;

    std::string text() const;    // any scalar that is not empty
    std::string string() const;  // in quotes, as JSON has them; may be empty
    std::string name() const;  // text fit for a table: one line, no control characters, ≤ 100 bytes
    bool boolean() const;      // true or false
    std::int64_t integer(IntegerRange range) const;
    std::uint64_t seed() const;  // 0 … 2^64 − 1
    // Both of these say what to write where a number is out of range for want of a unit.
    double number(NumberRange range, QuantityUnit unit = QuantityUnit::none) const;
    Bytes bytes(IntegerRange range) const;
    std::vector<YamlValue> items() const;                   // of a sequence
    std::vector<YamlValue> items(std::size_t count) const;  // of exactly this length
    // The position of this word in `names`.
    // `fix`: for a word that is none of them; empty: the nearest one.
    std::size_t choice(std::span<const std::string_view> names, const std::string& what,
                       const std::string& fix = "") const;

private:
    friend class YamlMap;
    std::string shown() const;  // the value as a message quotes it
    const std::string& plain_scalar(const char* wanted) const;
    const std::string& quantity(const char* wanted, QuantityUnit unit) const;
    template <class Range>
    double checked(Range range, QuantityUnit unit) const;
    template <class Range>
    [[noreturn]] void fail_range(const std::string& value, Range range, QuantityUnit unit) const;

    YamlNodePtr node_;
    std::shared_ptr<const std::string> file_;
    std::string path_;
};

// Which one of several keys a map has, and its value.
struct YamlCase {
    std::size_t index;  // in the keys asked for
    YamlValue value;
};

// A map whose keys are all known: the constructor refuses others, with the nearest known one.
class YamlMap {
public:
    // `remedy` says what to do about a key that has more to be said of than that; empty: nothing.
    using Remedy = std::string (*)(std::string_view key);
    YamlMap(const YamlValue& value, std::vector<std::string_view> known, Remedy remedy = nullptr);

    // A map of another program's file, which may have keys that we do not know.
    static YamlMap open(const YamlValue& value);
    std::vector<YamlValue> keys() const;  // in the file's order, each with its place

    const YamlValue& value() const { return value_; }
    std::optional<YamlValue> find(std::string_view key) const;
    YamlValue require(std::string_view key) const;
    // The one of `keys` that is there; none or several are an error of rule "one-of".
    YamlCase one_of(std::span<const std::string_view> keys) const;

    // Each reads `key` into `to` if it is there and says whether it was.
    bool read(std::string_view key, std::int64_t& to, IntegerRange range) const;
    bool read(std::string_view key, int& to, IntegerRange range) const;
    bool read(std::string_view key, double& to, NumberRange range) const;
    bool read(std::string_view key, bool& to) const;
    bool read(std::string_view key, std::string& to) const;  // one line of text
    bool read(std::string_view key, Bytes& to, IntegerRange range) const;
    bool read(std::string_view key, BytesPerSecond& to, NumberRange range) const;
    bool read(std::string_view key, Seconds& to, NumberRange range) const;
    bool read(std::string_view key, Hertz& to, NumberRange range) const;
    bool read(std::string_view key, Watts& to, NumberRange range) const;

private:
    YamlValue value_;
    std::vector<std::string_view> known_;
};

}  // namespace shardscope
