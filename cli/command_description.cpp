#include "cli/command_description.h"

#include <algorithm>

#include "cli/arguments.h"
#include "cli/launch/shell_words.h"

namespace shardscope {
namespace {

OptionDescription describe(const CLI::Option& option) {
    OptionDescription result;
    for (const std::string& name : option.get_lnames()) result.names.push_back("--" + name);
    for (const std::string& name : option.get_snames()) result.names.push_back("-" + name);
    const std::string type = option.get_type_name();
    if (result.names.empty())
        result.value = choices_of(type).empty() ? option.get_name() : type;
    else if (option.get_items_expected_max() > 0)
        result.value = type;
    result.text = option.get_description();
    result.repeatable = option.get_expected_max() > 1;
    result.required = option.get_required();
    return result;
}

CommandDescription describe(const Command& command, const CLI::App& app) {
    CommandDescription result{
        std::string(command.name), std::string(command.summary), std::string(command.example), {}};
    for (const CLI::Option* option : app.get_options()) result.options.push_back(describe(*option));
    return result;
}

}  // namespace

Words example_words(const Command& command) {
    Words words = split_words(command.example, "example");
    const auto name_words = 1 + std::count(command.name.begin(), command.name.end(), ' ');
    words.erase(words.begin(), words.begin() + 1 + name_words);
    return words;
}

std::vector<CommandDescription> describe_commands(const Environment& environment) {
    std::vector<CommandDescription> descriptions;
    Environment describing = environment;
    describing.calibration_file = "~/.cache/shardscope/this-machine.yaml";  // anybody's
    describing.describe = [&](const Command& command, const CLI::App& app) {
        descriptions.push_back(describe(command, app));
    };
    for (const Command& command : commands())
        command.run(command, example_words(command), describing);
    return descriptions;
}

std::vector<std::string> choices_of(const std::string& value) {
    std::vector<std::string> words;
    if (value.find('|') == value.npos) return words;
    for (std::size_t at = 0; at <= value.size();) {
        const std::size_t end = std::min(value.find('|', at), value.size());
        words.push_back(value.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

}  // namespace shardscope
