// What Slurm says about the allocation that a command runs in.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace shardscope {

struct SlurmAllocation {
    int nodes = 1;
    std::string node_list;              // Slurm's short form: "gpu[01-04,07]"; may be empty
    std::optional<int> tasks_per_node;  // as `sbatch --ntasks-per-node` set it

    std::string first_node() const;
};

// From SLURM_JOB_ID, SLURM_JOB_NUM_NODES, SLURM_JOB_NODELIST and SLURM_NTASKS_PER_NODE (see
// `man sbatch`); nothing outside an allocation.
std::optional<SlurmAllocation> slurm_allocation(
    const std::map<std::string, std::string>& variables);

// The order in which Slurm numbers nodes, whatever order they are named in: numbers in names count as
// numbers. True if `a` comes before `b`.
bool before_in_slurm(std::string_view a, std::string_view b);

}  // namespace shardscope
