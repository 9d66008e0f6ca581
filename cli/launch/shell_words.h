// Words of a shell's command line, as text and back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

// Splits at blanks; '…', "…" and backslashes keep them, as in a POSIX shell without expansions.
// Throws Error "usage" where a quote is not closed; `option` names where the text is from.
std::vector<std::string> split_words(std::string_view text, const std::string& option);

// A line that a POSIX shell splits into exactly these words.
std::string shell_line(const std::vector<std::string>& words);

}  // namespace shardscope
