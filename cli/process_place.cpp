#include "cli/process_place.h"

#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {
namespace {

using Variables = std::map<std::string, std::string>;
using Transport = ProcessPlace::Transport;

constexpr const char* kRendezvousVariable = "SHARDSCOPE_RENDEZVOUS";

[[noreturn]] void refuse_place(std::string message, std::string fix) {
    throw Error("processes", std::move(message), std::move(fix), ErrorKind::io);
}

std::optional<std::string> find(const Variables& variables, const std::string& name) {
    const auto found = variables.find(name);
    if (found == variables.end() || found->second.empty()) return std::nullopt;
    return found->second;
}

int number_between(const Variables& variables, const std::string& name, int low, int high) {
    const std::string text = find(variables, name).value_or("");
    int value = 0;
    const char* const end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || stopped != end || value < low || value > high)
        refuse_place(
            fmt::format("{} is \"{}\", but must be a number from {} to {}", name, text, low, high),
            "let a launcher set it, or unset it to run alone");
    return value;
}

// Sets rank and size from two variables; false when the first is not there.
bool read_rank(const Variables& variables, const char* rank, const char* size, const char* launcher,
               ProcessPlace& place) {
    constexpr int kMost = 1'000'000;
    if (!find(variables, rank) || !find(variables, size)) return false;
    place.size = number_between(variables, size, 1, kMost);
    place.rank = number_between(variables, rank, 0, place.size - 1);
    place.launcher = launcher;
    return true;
}

void read_local_rank(const Variables& variables, const char* name, ProcessPlace& place) {
    if (find(variables, name))
        place.local_rank = number_between(variables, name, 0, place.size - 1);
}

void read_master(const Variables& variables, ProcessPlace& place) {
    place.transport = Transport::tcp;
    if (find(variables, "MASTER_PORT"))
        place.master_port = number_between(variables, "MASTER_PORT", 1, 65'535);
    // torchrun's agent listens at MASTER_PORT itself, for PyTorch's store, and says so.
    if (find(variables, "TORCHELASTIC_USE_AGENT_STORE") == "True") ++place.master_port;
    if (const auto address = find(variables, "MASTER_ADDR")) {
        place.master_addr = *address;
    } else if (place.size == 1) {
        place.master_addr = "127.0.0.1";
    } else {
        refuse_place(
            fmt::format("{} are set, but MASTER_ADDR is not", place.launcher),
            fmt::format("set MASTER_ADDR to the host of rank 0, and MASTER_PORT to a free port of "
                        "it, or {}=file:///PATH to a file that all ranks see",
                        kRendezvousVariable));
    }
}

// A file that all processes see replaces whatever else the launcher offers.
bool read_meeting_file(const Variables& variables, ProcessPlace& place) {
    const auto value = find(variables, kRendezvousVariable);
    if (!value) return false;
    constexpr std::string_view kScheme = "file://";
    if (!value->starts_with(std::string(kScheme) + "/"))
        refuse_place(
            fmt::format("{} is \"{}\", but must be a file's address", kRendezvousVariable, *value),
            "write file:///PATH, with an absolute path that all ranks see");
    place.transport = Transport::tcp;
    place.meeting_file = value->substr(kScheme.size());
    return true;
}

void read_tcp(const Variables& variables, ProcessPlace& place) {
    if (!read_meeting_file(variables, place)) read_master(variables, place);
}

// MPICH's and Intel's mpiexec (hydra) say who is who by PMI, and number the ranks of a host as well.
bool read_pmi(const Variables& variables, ProcessPlace& place) {
    if (!read_rank(variables, "PMI_RANK", "PMI_SIZE", "PMI_RANK and PMI_SIZE", place)) return false;
    read_local_rank(variables, "MPI_LOCALRANKID", place);
    read_tcp(variables, place);
    return true;
}

}  // namespace

std::optional<ProcessPlace> process_place(const Variables& variables) {
    ProcessPlace place;
    if (read_rank(variables, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "mpirun", place)) {
        place.transport = Transport::mpi;
        read_local_rank(variables, "OMPI_COMM_WORLD_LOCAL_RANK", place);
        read_meeting_file(variables, place);
        return place;
    }
    if (read_rank(variables, "RANK", "WORLD_SIZE", "RANK and WORLD_SIZE", place)) {
        read_local_rank(variables, "LOCAL_RANK", place);
        read_tcp(variables, place);
        return place;
    }
    // Inside a Slurm allocation hydra's own helpers are srun's tasks, and their ranks inherit that.
    if (find(variables, "MPI_LOCALRANKID") && read_pmi(variables, place)) return place;
    // Unlike SLURM_NTASKS it is not set for a batch script, which is one process.
    if (read_rank(variables, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "srun", place)) {
        place.transport = Transport::mpi;
        read_local_rank(variables, "SLURM_LOCALID", place);
        if (!read_meeting_file(variables, place) && find(variables, "MASTER_ADDR"))
            read_master(variables, place);
        return place;
    }
    if (read_pmi(variables, place)) return place;
    return std::nullopt;
}

}  // namespace shardscope
