#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "cli/completion.h"
#include "cli/launch/shell_words.h"

namespace shardscope {
namespace {

constexpr const char* kBashHead =
    R"script(# bash completion for shardscope, written by `shardscope completion bash`.
# To use it in this shell: source <(shardscope completion bash)

# The words that a command can begin with, or that can follow its first.
_shardscope_commands() {
    case $1 in
)script";

constexpr const char* kBashTail = R"script(
# The files that begin with what is typed.
_shardscope_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

# The strategies of the scenario among the words, quoted where they need it.
_shardscope_strategies() {
    local word name
    for word in "${COMP_WORDS[@]:1}"; do
        case $word in
            *.yaml | *.yml | *.json)
                [[ -f $word ]] || continue
                while IFS= read -r name; do
                    [[ $name == "${1//\\/}"* ]] && COMPREPLY+=("$(printf '%q' "$name")")
                done < <("${COMP_WORDS[0]}" completion --strategies "$word" 2>/dev/null)
                return
                ;;
        esac
    done
}

_shardscope_value() {
    case $1 in
        FILE) _shardscope_files "$2" ;;
        STRATEGY) _shardscope_strategies "$2" ;;
        *\|*) mapfile -t COMPREPLY < <(compgen -W "${1//|/ }" -- "$2") ;;
    esac
}

# '-' and '_' mean the same in names of options: what is offered follows what is typed.
_shardscope_names() {
    local options=$1
    [[ $2 == --*-* ]] && options=${options//_/-}
    if [[ $2 == --*_* ]]; then
        options=${options//-/_}
        options=${options//__/--}
    fi
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$2")
}

_shardscope() {
    local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}
    local first=1 command='' options value i
    COMPREPLY=()
    # What follows -- is a command line of its own.
    for ((i = 1; i < COMP_CWORD; ++i)); do
        [[ ${COMP_WORDS[i]} == -- ]] && first=$((i + 1))
    done
    if ((COMP_CWORD > first)); then
        command=${COMP_WORDS[first]}
        if [[ -n $(_shardscope_commands "$command") ]] && ((COMP_CWORD > first + 1)); then
            command+=" ${COMP_WORDS[first + 1]}"
        fi
    fi
    options=$(_shardscope_options "$command")
    if [[ -z $options ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_shardscope_commands "$command")" -- "$current")
        return
    fi
    # "--option=value" is three words.
    if [[ $option == "=" ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $current == "=" ]]; then
        current=''
    fi
    if [[ $option == --* ]]; then
        option=${option#--}
        option=--${option//-/_}
    fi
    value=$(_shardscope_option_value "$command" "$option")
    if [[ -n $value ]]; then
        _shardscope_value "$value" "$current"
    elif [[ $current == -* ]]; then
        _shardscope_names "$options" "$current"
    else
        _shardscope_value "$(_shardscope_option_value "$command" '')" "$current"
    fi
}

complete -F _shardscope shardscope
)script";

std::string with_underscores(std::string name) {
    if (name.starts_with("--")) std::replace(name.begin() + 2, name.end(), '-', '_');
    return name;
}

std::string option_words(const CommandDescription& command) {
    std::string words;
    for (const OptionDescription& option : command.options)
        for (const std::string& name : option.names) words += (words.empty() ? "" : " ") + name;
    return words;
}

// "        'run --output') echo FILE ;;"; of positional arguments, one has no name: the first.
std::string value_cases(const CommandDescription& command) {
    std::string text;
    bool positional = false;
    for (const OptionDescription& option : command.options) {
        if (option.value.empty()) continue;
        std::string pattern;
        for (const std::string& name : option.names)
            pattern += fmt::format("{}'{} {}'", pattern.empty() ? "" : " | ", command.name,
                                   with_underscores(name));
        if (option.names.empty()) {
            if (std::exchange(positional, true)) continue;
            pattern = fmt::format("'{} '", command.name);
        }
        text += fmt::format("        {}) echo {} ;;\n", pattern, shell_line({option.value}));
    }
    return text;
}

// Of each beginning of a name the words that follow it.
std::vector<std::pair<std::string, std::string>> following_words(
    const std::vector<CommandDescription>& commands) {
    std::vector<std::pair<std::string, std::string>> result{{"", ""}};
    for (const CommandDescription& command : commands) {
        const std::size_t blank = command.name.find(' ');
        const std::string first = command.name.substr(0, blank);
        std::string& all = result.front().second;
        if ((" " + all + " ").find(" " + first + " ") == all.npos) all += " " + first;
        if (blank == command.name.npos) continue;
        const auto known = std::find_if(result.begin(), result.end(),
                                        [&](const auto& entry) { return entry.first == first; });
        const std::string second = command.name.substr(blank);
        if (known == result.end()) {
            result.emplace_back(first, second);
        } else {
            known->second += second;
        }
    }
    result.front().second += " --help --version";
    return result;
}

}  // namespace

std::string bash_completion(const std::vector<CommandDescription>& commands) {
    std::string text = kBashHead;
    for (const auto& [first, words] : following_words(commands))
        text += fmt::format("        '{}') echo '{}' ;;\n", first, words.substr(1));
    text += "    esac\n}\n\n_shardscope_options() {\n    case $1 in\n";
    for (const CommandDescription& command : commands)
        text += fmt::format("        '{}') echo '{}' ;;\n", command.name, option_words(command));
    text +=
        "    esac\n}\n\n"
        "# What follows an option of a command, or is its argument without one.\n"
        "_shardscope_option_value() {\n    case \"$1 $2\" in\n";
    for (const CommandDescription& command : commands) text += value_cases(command);
    return text + "    esac\n}\n" + kBashTail;
}

}  // namespace shardscope
