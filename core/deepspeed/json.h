// The text of a DeepSpeed configuration. DeepSpeed reads it with hjson, so that comments and a few
// liberties of people who write JSON by hand are fine.
#pragma once

#include <string>

#include "core/yaml_reader.h"

namespace shardscope {

// JSON (RFC 8259) and of Hjson's additions: comments (# and // to the end of the line, /* … */), commas
// that are too many at an end or left out at a line's end, keys without quotes, and texts without quotes,
// which reach to the end of their line. Not its multi-line texts and not a file without outer braces.
//
// The tree is that of YAML files, with the same limits (yaml_tree.h). Throws Error with the place and
// rules "encoding", "empty-file", "json", "duplicate-key" (with DeepSpeed's message) and "too-large".
YamlValue parse_deepspeed_json(const std::string& text, const std::string& file);

}  // namespace shardscope
