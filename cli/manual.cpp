// The manual page, in the man macros of roff (man(7)).
#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/command_description.h"
#include "core/version.h"

namespace shardscope {
namespace {

// Text as roff takes it: its own characters escaped, a hyphen that may be copied into a shell.
std::string roff(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '\\')
            result += "\\e";
        else if (c == '-')
            result += "\\-";
        else
            result += c;
    }
    // A line that begins with one of these would be a request.
    if (!result.empty() && (result[0] == '.' || result[0] == '\'')) result.insert(0, "\\&");
    return result;
}

// "\fB\-H\fR, \fB\-\-hostfile\fR \fIFILE\fR"
std::string option_heading(const OptionDescription& option) {
    std::string text;
    for (const std::string& name : option.names)
        text += fmt::format("{}\\fB{}\\fR", text.empty() ? "" : ", ", roff(name));
    if (option.value.empty()) return text;
    return fmt::format("{}{}\\fI{}\\fR", text, text.empty() ? "" : " ", roff(option.value));
}

std::string synopsis(const CommandDescription& command) {
    std::string positional;
    bool options = false;
    for (const OptionDescription& option : command.options) {
        options |= !option.names.empty();
        if (option.names.empty())
            positional += fmt::format(" {}\\fI{}\\fR{}", option.required ? "" : "[",
                                      roff(option.value), option.required ? "" : "]");
    }
    return fmt::format("\\fBshardscope {}\\fR{}{}", roff(command.name),
                       options ? " [\\fIOPTION\\fR ...]" : "", positional);
}

std::string command_text(const CommandDescription& command) {
    std::string text = fmt::format(".SS {}\n{}.\n", synopsis(command), roff(command.summary));
    for (const OptionDescription& option : command.options)
        text += fmt::format(".TP\n{}\n{}\n", option_heading(option), roff(option.text));
    return text +
           fmt::format(".PP\nExample:\n.PP\n.in +4n\n.EX\n{}\n.EE\n.in\n", roff(command.example));
}

constexpr const char* kManualHead =
    R"script(.\" Written by `shardscope manual` from the table of commands.
.TH SHARDSCOPE 1 "" "shardscope {}" "User Commands"
.SH NAME
shardscope \- compare data parallelism, model parallelism and ZeRO
.SH SYNOPSIS
.B shardscope
.I COMMAND
.RI [ OPTION " ...]"
.SH DESCRIPTION
For a model on a cluster,
.B shardscope
compares ways to spread its training over GPUs: how much memory each needs and
how fast a step is.
It finds out twice, from one plan: by running it and by simulating it.
A scenario, a short YAML file, says which model, training, cluster and
strategies.
.PP
In names of options, \- and _ mean the same.
.SH COMMANDS
)script";

constexpr const char* kManualTail = R"script(.SH EXIT STATUS
.TP
0
Done.
.TP
1
A run failed.
.TP
2
The command line is wrong, or a file cannot be read or written.
.TP
3
The input is invalid, or nothing in the scenario can run.
.PP
.B shardscope launch
ends with the exit code of the first rank that failed, 128 and the signal's
number if a signal ended it.
.SH ENVIRONMENT
.TP
.B XDG_CACHE_HOME
Folder of the calibration file; if it is not set,
.IR $HOME/.cache .
.TP
.B NO_COLOR
If it is set, terminals get no colours.
.SH FILES
.TP
.I $XDG_CACHE_HOME/shardscope/this\-machine.yaml
What
.B shardscope calibrate
measured.
.TP
.I /job/hostfile
Hosts of
.B shardscope launch
unless
.B \-\-hostfile
names others.
)script";

}  // namespace

int manual(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    if (!parser.parse(words, environment)) return 0;
    environment.out << fmt::format(fmt::runtime(kManualHead), SHARDSCOPE_VERSION);
    for (const CommandDescription& command : describe_commands(environment))
        environment.out << command_text(command);
    environment.out << kManualTail;
    return 0;
}

}  // namespace shardscope
