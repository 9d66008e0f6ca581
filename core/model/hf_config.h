// Internal to core/model: a config.json whose every key is accounted for as it is read.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "core/model/hf_import.h"

namespace shardscope {

// A key whose value is null counts as absent, except for present(). Getters record what they return in
// `read`; a default that is not in the file is recorded as such.
class HfConfig {
public:
    explicit HfConfig(const YamlValue& file);

    // "file:line:column" of a key, of the file's start if it is not there.
    std::string place(std::string_view key) const;
    bool present(std::string_view key) const;  // null too
    std::optional<YamlValue> find(std::string_view key);

    // Sizes without a default are in every file that transformers writes; one that lacks them is
    // refused, with the key that may have been meant.
    std::int64_t size(std::string_view key, IntegerRange range);
    std::int64_t size(std::string_view key, IntegerRange range, std::int64_t otherwise);
    double number(std::string_view key, NumberRange range, double otherwise);
    bool flag(std::string_view key, bool otherwise);
    std::string word(std::string_view key, const std::string& otherwise);

    // Records what became of a key that was found with find().
    void record(std::string_view key, std::string value);
    void note(std::string_view key, std::string text);
    // A probability of leaving something out, which training here does not do.
    void dropout(std::string_view key, double otherwise);
    // Refuses any other value than the one that is implemented; `what` another value would mean.
    void only(std::string_view key, bool implemented, const char* what);
    [[noreturn]] void refuse(std::string_view key, const std::string& message,
                             const std::string& fix) const;

    // Notes every key that nobody has read: why it has no effect, or that it is not known, with the
    // nearest key that is.
    void finish();
    HfImport take() { return std::move(result_); }

private:
    void read(std::string_view key, std::string value, bool in_file);
    bool was_read(std::string_view key) const;

    YamlMap map_;
    HfImport result_;
    std::set<std::string, std::less<>> asked_;  // keys that this type of model knows
};

}  // namespace shardscope
