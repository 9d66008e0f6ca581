// What a runtime profile costs on a machine beside what its Program and its kernels say. One set per
// profile, fitted to measured training where runs depend on it and assumed where none does
// (docs/accuracy.md has the procedure and the errors; the .cpp says which is which).
#pragma once

#include "core/strategy/runtime_profile.h"
#include "core/units.h"

namespace shardscope {

struct ProfileConstants {
    // Host time of one kernel launch in the product's program, beside Device::host_cost.
    Seconds launch;
    // Device memory of one of several processes beside Device::runtime and the buffers of what a step uses
    // (nccl_memory): the product's other process groups, trees' connections, scratch of its libraries.
    Bytes process;
    // Tensors of [tokens of a micro-batch, hidden], in the type of activations, that the product's kernels
    // and its pipeline hold while a block computes, beside the buffers of the Program.
    double scratch = 0;
    // At which the members' parts of lists of tensors come into and out of collectives, beside kernels, per GPU
    // (Collective::lists). 0: at once, in profiles without lists.
    BytesPerSecond list_bandwidth{};
    // As `launch`, of one that waits until the device is done (Device::blocking_launches), which takes a
    // synchronisation more.
    Seconds waiting_launch{};
    bool operator==(const ProfileConstants&) const = default;
};

const ProfileConstants& fitted_constants(RuntimeProfile profile);

}  // namespace shardscope
