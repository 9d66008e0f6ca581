#include "cli/process_place.h"

#include <charconv>

#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {
namespace {

using Variables = std::map<std::string, std::string>;
using Transport = ProcessPlace::Transport;

[[noreturn]] void fail(std::string message, std::string fix) {
    throw Error("processes", std::move(message), std::move(fix), ErrorKind::io);
}

std::optional<std::string> find(const Variables& variables, const std::string& name) {
    const auto found = variables.find(name);
    if (found == variables.end() || found->second.empty()) return std::nullopt;
    return found->second;
}

int number(const Variables& variables, const std::string& name, int low, int high) {
    const std::string text = find(variables, name).value_or("");
    int value = 0;
    const char* const end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || stopped != end || value < low || value > high)
        fail(fmt::format("{} is \"{}\", but must be a number from {} to {}", name, text, low, high),
             "let a launcher set it, or unset it to run alone");
    return value;
}

// Sets rank and size from two variables; false when the first is not there.
bool read_rank(const Variables& variables, const char* rank, const char* size, const char* launcher,
               ProcessPlace& place) {
    constexpr int kMost = 1'000'000;
    if (!find(variables, rank) || !find(variables, size)) return false;
    place.size = number(variables, size, 1, kMost);
    place.rank = number(variables, rank, 0, place.size - 1);
    place.launcher = launcher;
    return true;
}

void read_master(const Variables& variables, ProcessPlace& place) {
    place.transport = Transport::tcp;
    if (find(variables, "MASTER_PORT"))
        place.master_port = number(variables, "MASTER_PORT", 1, 65'535);
    // torchrun's agent listens at MASTER_PORT itself, for PyTorch's store, and says so.
    if (find(variables, "TORCHELASTIC_USE_AGENT_STORE") == "True") ++place.master_port;
    if (const auto address = find(variables, "MASTER_ADDR")) {
        place.master_addr = *address;
    } else if (place.size == 1) {
        place.master_addr = "127.0.0.1";
    } else {
        fail(fmt::format("{} are set, but MASTER_ADDR is not", place.launcher),
             "set MASTER_ADDR to the host of rank 0, and MASTER_PORT to a free port of it");
    }
}

}  // namespace

std::optional<ProcessPlace> process_place(const Variables& variables) {
    ProcessPlace place;
    if (read_rank(variables, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "mpirun", place)) {
        place.transport = Transport::mpi;
        return place;
    }
    if (read_rank(variables, "RANK", "WORLD_SIZE", "RANK and WORLD_SIZE", place)) {
        read_master(variables, place);
        return place;
    }
    // Unlike SLURM_NTASKS it is not set for a batch script, which is one process.
    if (read_rank(variables, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "srun", place)) {
        place.transport = Transport::mpi;
        if (find(variables, "MASTER_ADDR")) read_master(variables, place);
        return place;
    }
    return std::nullopt;
}

}  // namespace shardscope
