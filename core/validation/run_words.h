// What people write in the columns of measured runs, as the words and numbers that docs/validate.md has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shardscope {

// "-", "?", "n/a", "unknown" and the like, in any case: what people write where they do not know.
bool is_unknown_mark(std::string_view text);

enum class RunWord { framework, precision, mlp, schedule, recompute, attention, memory_kind };

// The column's word that a text stands for: "FlashAttention-2" is "flash". In lower case and with '-', but otherwise
// as it is, where it stands for none; empty where it is a mark of the unknown. Any thread.
std::string usual_word(RunWord column, std::string_view text);

// The positive number in front of `unit` in a note, as "500" in "at 500 W power limit"; empty without one.
std::optional<double> number_before(const std::string& note, std::string_view unit);

// The whole number behind a word, by itself or behind a space, "=" or ":": 1 of "ETP1", "ETP 1" and "ETP=1".
std::optional<std::int64_t> number_after(const std::string& note, std::string_view word);

}  // namespace shardscope
