#include "cli/command_description.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command.h"
#include "cli/processes.h"

namespace shardscope {
namespace {

std::vector<CommandDescription> all() {
    std::ostringstream out, err;
    std::unique_ptr<Processes> processes;
    const Environment environment{out, err, false, false, {}, "", {}, "", {}, processes, {}};
    auto descriptions = describe_commands(environment);
    EXPECT_EQ(out.str() + err.str(), "");  // nothing was executed
    return descriptions;
}

// describe_commands() parses each command's example on its way.
TEST(CommandDescription, EveryCommandIsThereAndItsExampleParses) {
    const auto descriptions = all();
    for (const Command& command : commands()) {
        const bool there =
            std::any_of(descriptions.begin(), descriptions.end(), [&](const auto& description) {
                return (description.name + " ").starts_with(std::string(command.name) + " ");
            });
        EXPECT_TRUE(there) << command.name;
        EXPECT_TRUE(command.example.starts_with("shardscope " + std::string(command.name)));
    }
}

TEST(CommandDescription, OptionsKnowTheirNamesAndValues) {
    const auto descriptions = all();
    const auto option = [&](const std::string& command, const std::string& name) {
        for (const CommandDescription& description : descriptions)
            for (const OptionDescription& found : description.options)
                if (description.name == command &&
                    std::count(found.names.begin(), found.names.end(), name) > 0)
                    return found;
        ADD_FAILURE() << command << ' ' << name;
        return OptionDescription{};
    };
    EXPECT_EQ(option("run", "--backend").value, "cpu|cuda");
    EXPECT_EQ(option("run", "--steps").value, "N");
    EXPECT_EQ(option("run", "--json").value, "");
    EXPECT_TRUE(option("run", "--strategy").repeatable);
    EXPECT_EQ(option("launch", "-H").names, (std::vector<std::string>{"--hostfile", "-H"}));
}

TEST(CommandDescription, ChoicesAreSplit) {
    EXPECT_EQ(choices_of("a|b|c"), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_TRUE(choices_of("FILE").empty());
}

}  // namespace
}  // namespace shardscope
