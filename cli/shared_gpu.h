// Ranks that share a GPU: what NCCL has to be told so that it lets them.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace shardscope {

// NCCL refuses two ranks of one host on one GPU, but takes processes with different NCCL_HOSTID for different
// hosts (src/init.cc and src/misc/utils.cc of NCCL 2.28). They then communicate over sockets, through this host's
// memory, so their times say nothing about communication.
struct SharedGpuVariable {
    std::string name, value;
    bool decides = false;  // must be this process's own, whatever was set before
};

// For rank `rank` of a command with these words; none unless they ask for --ranks-per-gpu above 1.
std::vector<SharedGpuVariable> shared_gpu_variables(const std::vector<std::string>& words,
                                                    int rank);

// What the words' --ranks-per-gpu says; 1 where there is none, or nonsense, which the command itself refuses.
int ranks_per_gpu_of(const std::vector<std::string>& words);

// Whether the words ask for --backend cuda.
bool asks_for_cuda(const std::vector<std::string>& words);

}  // namespace shardscope
