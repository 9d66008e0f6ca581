// The shardscope binary as a user runs it: words in; exit code, standard output and error out.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace shardscope::test {

struct Finished {
    int exit_code = 0;  // 128 + signal if a signal ended it
    std::string out, err;
};

// A folder of its own for each test, which is the working folder and the home of what it runs.
class CommandLine : public testing::Test {
protected:
    CommandLine();
    ~CommandLine() override;

    Finished shardscope(const std::vector<std::string>& words) const;
    // Any program, by its path.
    Finished execute(std::vector<std::string> line) const;
    // The same on a terminal, which shows standard output and error; both are in `out`.
    Finished shardscope_on_terminal(const std::vector<std::string>& words) const;
    // An environment variable of what is run from now on.
    void set_variable(const std::string& name, const std::string& value) {
        variables_[name] = value;
    }
    // Writes a file into the folder and returns its path.
    std::string write(const std::string& name, const std::string& text) const;
    std::string path(const std::string& name) const { return (folder_ / name).string(); }
    std::vector<std::string> files() const;  // names in the folder, sorted

    // An invented calibration, so that tests need not measure.
    std::string calibration() const;

private:
    // Starts it in the folder with these files as standard output and error; its process.
    int start(std::vector<std::string> line, int out, int err) const;

    std::filesystem::path folder_;
    std::map<std::string, std::string> variables_;
};

std::string read(const std::string& path);

// A path in the source tree.
std::string source(const std::string& path);

// A scenario of a model that trains in milliseconds on two ranks of this machine; `strategies` is
// YAML.
std::string tiny_scenario_text(const std::string& strategies);

// Whether no process has this number, or only one that has ended and whose parent has not yet asked how.
// Waits up to two seconds for it.
bool ends_soon(int process);

// What a message must not have: one line that begins with our name, no trace of the program's inside.
void expect_one_line_error(const Finished& finished);

}  // namespace shardscope::test
