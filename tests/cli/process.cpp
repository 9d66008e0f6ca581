#include "tests/cli/process.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace shardscope::test {
namespace {

namespace fs = std::filesystem;

std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> result;
    for (std::string& word : words) result.push_back(word.data());
    result.push_back(nullptr);
    return result;
}

std::vector<std::string> shardscope_line(const std::vector<std::string>& words) {
    std::vector<std::string> line{SHARDSCOPE_BINARY};
    line.insert(line.end(), words.begin(), words.end());
    return line;
}

int exit_code_of(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The caller's environment with `changes`, and without what would read or write the user's files or
// belongs to a job that the tests run in.
std::vector<std::string> environment_with(const std::map<std::string, std::string>& changes) {
    std::vector<std::string> result;
    for (const auto& [name, value] : changes) result.push_back(name + "=" + value);
    for (char** entry = environ; *entry; ++entry) {
        const std::string text = *entry, name = text.substr(0, text.find('='));
        const bool job = name.starts_with("SLURM_") || name.starts_with("OMPI_COMM_") ||
                         name == "RANK" || name == "WORLD_SIZE" || name == "NO_COLOR";
        if (!job && name != "XDG_CACHE_HOME" && !changes.contains(name)) result.push_back(text);
    }
    return result;
}

}  // namespace

CommandLine::CommandLine() {
    std::string name = (fs::temp_directory_path() / "shardscope-test-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    folder_ = name;
    set_variable("TERM", "xterm");
    set_variable("HOME", name);  // nothing of the user is read or written
}

CommandLine::~CommandLine() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

int CommandLine::start(std::vector<std::string> line, int out, int err) const {
    std::vector<std::string> variables = environment_with(variables_);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    posix_spawn_file_actions_addchdir_np(&actions, folder_.c_str());
    pid_t child = 0;
    const int failed = posix_spawn(&child, line[0].c_str(), &actions, nullptr,
                                   pointers(line).data(), pointers(variables).data());
    posix_spawn_file_actions_destroy(&actions);
    if (failed) throw std::runtime_error("cannot start " + line[0]);
    return child;
}

Finished CommandLine::shardscope(const std::vector<std::string>& words) const {
    return execute(shardscope_line(words));
}

Finished CommandLine::execute(std::vector<std::string> line) const {
    const fs::path streams = folder_.string() + "-streams";
    fs::create_directory(streams);
    const std::string out = streams / "out", err = streams / "err";
    const int flags = O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC;
    const int out_file = open(out.c_str(), flags, 0600), err_file = open(err.c_str(), flags, 0600);
    const int child = start(std::move(line), out_file, err_file);
    close(out_file);
    close(err_file);
    Finished finished{exit_code_of(child), read(out), read(err)};
    fs::remove_all(streams);
    return finished;
}

Finished CommandLine::shardscope_on_terminal(const std::vector<std::string>& words) const {
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        throw std::runtime_error("no terminal");
    const int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    const int child = start(shardscope_line(words), terminal, terminal);
    close(terminal);
    std::string text;
    char buffer[4096];
    // Fails with EIO once nobody has the terminal open.
    for (ssize_t count; (count = ::read(master, buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<std::size_t>(count));
    close(master);
    return {exit_code_of(child), text, ""};
}

std::string CommandLine::write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return path(name);
}

std::vector<std::string> CommandLine::files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_))
        names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
}

std::string CommandLine::calibration() const {
    return write("calibration.yaml",
                 "this_machine: true\n"
                 "nodes: 1\n"
                 "gpus_per_node: 2\n"
                 "cores: 2\n"
                 "device:\n"
                 "  {name: Test CPU, kind: cpu, memory: 8GiB, peak: {fp32: 1e11},\n"
                 "   memory_bandwidth: 1e10, host_cost: 1e-6, kernel_overhead: 1e-6}\n"
                 "intra_node: {bandwidth: 1e9, latency: 1e-5}\n"
                 "calibration:\n"
                 "  date: 2026-01-01\n"
                 "  host: elsewhere\n"
                 "  matmul: [[fp32, 64, 64, 64, 1e10], [fp32, 1024, 1024, 1024, 1e11]]\n"
                 "  collectives: [[all_reduce, 2, 1024, 1e-5], [all_reduce, 2, 1048576, 1e-3]]\n");
}

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

std::string source(const std::string& path) { return SHARDSCOPE_SOURCE_DIR "/" + path; }

std::string tiny_scenario_text(const std::string& strategies) {
    return "name: tiny\n"
           "model: {gpt: {layers: 2, hidden: 16, heads: 2, vocab: 64, seq: 8}}\n"
           "training: {global_batch: 4, micro_batch: 2, steps: 3}\n"
           "cluster: {this_machine: {ranks: 2}}\n"
           "strategies: " +
           strategies + "\n";
}

bool ends_soon(int process) {
    for (int i = 0; i < 200; ++i) {
        const std::string status = read("/proc/" + std::to_string(process) + "/stat");
        const std::size_t name_end = status.rfind(')');
        if (name_end == status.npos || status.substr(name_end + 2, 1) == "Z") return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

void expect_one_line_error(const Finished& finished) {
    EXPECT_TRUE(finished.err.starts_with("shardscope: ")) << finished.err;
    EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1) << finished.err;
    for (const char* inside : {"terminate", "what()", "std::", ".cpp", "Aborted"})
        EXPECT_EQ(finished.err.find(inside), std::string::npos) << finished.err;
}

}  // namespace shardscope::test
