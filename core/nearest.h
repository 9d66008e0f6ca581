// "Did you mean …": the nearest of a few names, for messages about unknown ones.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace shardscope {

// What spellings of one name have in common: in lower case, with '-' in place of '_' and spaces.
std::string folded(std::string_view word);

// The candidate with the fewest edits (insert, delete, replace, swap of neighbours; as
// folded), if that is at most a third of the word's length, at least one edit. The
// only candidate that begins with the word comes before that: "h100" means "h100-sxm", not "h200".
std::optional<std::string_view> nearest_name(std::string_view word,
                                             std::span<const std::string_view> candidates);

// A fix for an unknown name: `use "heads"` if a candidate is near, else `use one of a, b or c`.
std::string suggest_name(std::string_view word, std::span<const std::string_view> candidates);

// "a", "a or b", "a, b or c".
std::string join_or(std::span<const std::string> words);

}  // namespace shardscope
