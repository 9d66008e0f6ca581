#include "core/yaml_writer.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <nlohmann/json.hpp>

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kWidth = 100;

// Words that need no quotes in any place: they start with a letter or a slash and hold nothing that
// YAML reads as syntax or as null.
bool is_plain(const std::string& text) {
    const auto plain = [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/' || c == ' ';
    };
    if (text.empty()) return false;
    if (text[0] != '/' && std::isalpha(static_cast<unsigned char>(text[0])) == 0) return false;
    if (text.back() == ' ' || text == "null" || text == "Null" || text == "NULL") return false;
    return std::all_of(text.begin(), text.end(), plain);
}

std::string scalar(const Json& value) {
    if (value.is_string() && is_plain(value.get_ref<const std::string&>())) {
        return value.get<std::string>();
    }
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The value on one line.
std::string flow(const Json& value) {
    if (!value.is_structured()) return scalar(value);
    std::string result;
    for (const auto& [key, item] : value.items()) {
        if (!result.empty()) result += ", ";
        if (value.is_object()) result += scalar(key) + ": ";
        result += flow(item);
    }
    return value.is_object() ? "{" + result + "}" : "[" + result + "]";
}

// Appends the entries of a map or list, each on lines of its own that start after `indent` spaces;
// the first one does not, where `out` already is at its place.
void append_block(const Json& value, std::size_t indent, std::string& out, bool placed = false) {
    for (const auto& [key, item] : value.items()) {
        const std::string head = value.is_object() ? scalar(key) + ":" : "-";
        out.append(std::exchange(placed, false) ? 0 : indent, ' ') += head;
        const std::string line = flow(item);
        const bool one_line = !item.is_structured() || item.empty() ||
                              indent + head.size() + 1 + line.size() <= kWidth;
        const bool beside = value.is_array() && item.is_object();  // "- key: …"
        if (one_line) {
            out += " " + line + "\n";
        } else {
            out += beside ? " " : "\n";
            append_block(item, indent + 2, out, beside);
        }
    }
}

}  // namespace

std::string json_to_yaml(const Json& value) {
    std::string out;
    append_block(value, 0, out);
    return out;
}

}  // namespace shardscope
