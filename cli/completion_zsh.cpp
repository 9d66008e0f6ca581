#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "cli/completion.h"

namespace shardscope {
namespace {

constexpr const char* kZshHead = R"script(#compdef shardscope
# zsh completion for shardscope, written by `shardscope completion zsh`.

# The strategies of the scenario among the words.
_shardscope_strategies() {
  local file
  local -a strategies
  for file in ${(M)words:#*.(yaml|yml|json)}; do
    strategies=(${(f)"$(_call_program strategies shardscope completion --strategies ${(q)file})"})
    compadd -a strategies
    return
  done
}

)script";

// Inside '…' of zsh, where also the characters of _arguments' own language are kept.
std::string quoted(const std::string& text, std::string_view special) {
    std::string result;
    for (const char c : text) {
        if (c == '\'') {
            result += "'\\''";
            continue;
        }
        if (special.find(c) != special.npos) result += '\\';
        result += c;
    }
    return result;
}

std::string value_action(const std::string& value) {
    if (value == "FILE") return ":FILE:_files";
    if (value == "STRATEGY") return ":STRATEGY:_shardscope_strategies";
    const auto choices = choices_of(value);
    if (choices.empty()) return fmt::format(":{}: ", quoted(value, ":\\"));
    return fmt::format(":value:({})", fmt::join(choices, " "));
}

// One specification of _arguments per name.
std::string specifications(const OptionDescription& option) {
    std::string text;
    if (option.names.empty())
        return fmt::format("        '{}{}'\n", option.repeatable ? "*" : "1",
                           value_action(option.value));
    for (const std::string& name : option.names) {
        const std::string repeat = option.repeatable ? "*" : "";
        const std::string joined = option.value.empty() ? "" : name.starts_with("--") ? "=" : "+";
        text += fmt::format("        '{}{}{}[{}]{}'\n", repeat, name, joined,
                            quoted(option.text, "[]:\\"),
                            option.value.empty() ? "" : value_action(option.value));
    }
    return text;
}

std::string function_name(const std::string& command) {
    std::string name = "_shardscope_" + command;
    std::replace(name.begin(), name.end(), ' ', '_');
    return name;
}

std::string command_function(const CommandDescription& command) {
    std::string text = fmt::format("{}() {{\n  _arguments -s -S \\\n", function_name(command.name));
    for (const OptionDescription& option : command.options) text += specifications(option);
    for (std::size_t at = 0; (at = text.find("'\n", at)) != text.npos; at += 4)
        text.replace(at, 2, "' \\\n");
    text.resize(text.size() - 3);  // no continuation behind the last
    return text + "\n}\n\n";
}

struct Word {
    std::string word, summary;
};

// A function that completes one of `words` and then calls the function of that command.
std::string choosing_function(const std::string& prefix, const std::vector<Word>& words) {
    const std::string self = prefix.empty() ? "_shardscope" : function_name(prefix);
    std::string text = fmt::format("{}() {{\n  local -a commands\n  commands=(\n", self);
    for (const Word& word : words)
        text += fmt::format("    '{}:{}'\n", word.word, quoted(word.summary, ":\\"));
    text +=
        "  )\n"
        "  if (( CURRENT == 2 )); then\n"
        "    _describe command commands\n"
        "    return\n"
        "  fi\n";
    if (prefix.empty())
        text +=
            "  # What follows -- is a command line of its own.\n"
            "  local marker=${words[(I)--]}\n"
            "  if (( marker > 1 && CURRENT > marker )); then\n"
            "    words=(shardscope \"${(@)words[marker+1,-1]}\")\n"
            "    (( CURRENT = CURRENT - marker + 1 ))\n"
            "    _shardscope\n"
            "    return\n"
            "  fi\n";
    return text + fmt::format(
                      "  local function={}_${{words[2]}}\n"
                      "  shift words\n"
                      "  (( CURRENT-- ))\n"
                      "  (( $+functions[$function] )) && $function\n"
                      "}}\n\n",
                      self);
}

}  // namespace

std::string zsh_completion(const std::vector<CommandDescription>& commands) {
    std::vector<Word> first;
    std::map<std::string, std::vector<Word>> second;
    std::string text = kZshHead;
    for (const CommandDescription& command : commands) {
        const std::size_t blank = command.name.find(' ');
        const std::string word = command.name.substr(0, blank);
        const bool nested = blank != command.name.npos;
        if (nested) second[word].push_back({command.name.substr(blank + 1), command.summary});
        if (!nested || second[word].size() == 1) first.push_back({word, command.summary});
        text += command_function(command);
    }
    for (const auto& [word, words] : second)
        if (!words.empty()) text += choosing_function(word, words);
    return text + choosing_function("", first) + "_shardscope \"$@\"\n";
}

}  // namespace shardscope
