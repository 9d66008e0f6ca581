// YAML text (hence JSON) as a tree that is safe to walk, whatever the text was.
//
// Built from yaml-cpp's event stream rather than its Node, because Node keeps duplicate keys
// silently, makes cyclic graphs of self-containing aliases and expands aliases without limit.
// The limits below are far above any scenario and far below what could exhaust a machine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace shardscope {

struct YamlNode;
using YamlNodePtr = std::shared_ptr<const YamlNode>;

// A value with the place it was read from. Immutable once parsed; aliases share nodes, so the tree
// is acyclic but not strictly a tree, and `weight` counts what a walk over it visits.
struct YamlNode {
    enum class Kind { null, scalar, sequence, map };
    struct Entry {
        YamlNodePtr key, value;  // the key is a scalar
    };

    Kind kind = Kind::null;
    int line = 1, column = 1;  // 1-based
    bool quoted = false;  // scalar: written in quotes, hence text even if it looks like a number
    std::string text;     // scalar
    std::vector<YamlNodePtr> items;
    std::vector<Entry> entries;  // in the file's order, keys unique
    std::int64_t weight = 1;
};

inline constexpr int kYamlMaxDepth = 32;
inline constexpr std::int64_t kYamlMaxNodes = 1'000'000;  // aliases expanded

// Parses one document. `file` is only used in messages. Throws Error with rules "encoding" (not
// UTF-8, control characters), "empty-file", "yaml" (syntax, tags, several documents),
// "duplicate-key", "alias-loop" and "too-large" (depth, values).
YamlNodePtr parse_yaml(const std::string& text, const std::string& file);

}  // namespace shardscope
