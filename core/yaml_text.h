// The bytes of a scenario or cluster file, before they are YAML.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace shardscope {

inline constexpr std::int64_t kTextMaxBytes = 4 * 1024 * 1024;

// The content of a file; a missing file, a directory or a file beyond `most` bytes is an Error of
// ErrorKind::io, rule "file". `what` says what it should be, for the message: "scenario".
std::string read_text_file(const std::string& path, const std::string& what,
                           std::int64_t most = kTextMaxBytes);

// Throws Error "encoding" with the place of the first byte that is no UTF-8 text: invalid sequences,
// NUL and other control characters (tab, line feed and carriage return are fine).
void check_text(std::string_view text, const std::string& file);

// Whether a text can be a name in a file and in a table: one line, not empty, at most kLongestName bytes.
inline constexpr std::size_t kLongestName = 100;
bool is_name(std::string_view text);

// `text` made fit for one line of a message: control characters as '?', at most 60 bytes.
std::string printable(std::string_view text);

}  // namespace shardscope
