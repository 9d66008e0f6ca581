// What nccl.h's functions have in common.
#pragma once

#include "tests/host_device/communicator.h"

namespace host_device {

// Null for a handle that is not, or no longer, one.
MemberPointer find_member(const Machine& machine, ncclComm_t comm);

ncclResult_t planned_nccl_failure(Machine& machine, const char* function);

inline Device& device_of(Machine& machine, int index) {
    return machine.devices[static_cast<std::size_t>(index)];
}

// Whether something is under way that ncclCommGetAsyncError has not yet said the end of.
bool busy(const Member& member);

// How many calls threads have between ncclGroupStart and its end, for the calling thread.
int nccl_group_depth();

}  // namespace host_device
