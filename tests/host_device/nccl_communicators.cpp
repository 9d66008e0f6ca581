// nccl.h's functions that make, split, ask and end communicators.
#include <algorithm>
#include <atomic>
#include <cstring>

#include <fmt/core.h>
#include <nccl.h>

#include "tests/host_device/nccl_members.h"

using namespace host_device;

namespace {

constexpr unsigned kConfigMagic = 0xcafebeef;

bool usable(Machine& machine) {
    return machine.settings.driver && current_device() < machine.settings.devices &&
           device_of(machine, current_device()).error == cudaSuccess;
}

ncclComm_t add_handle(Machine& machine, const MemberPointer& member) {
    const auto handle = reinterpret_cast<ncclComm_t>(++machine.handles);
    machine.members[handle] = member;
    member->counted =
        machine.settings.communicator_bytes * (member->communicator->members.size() - 1);
    device_of(machine, member->device).used += member->counted;
    return handle;
}

void leave(Machine& machine, ncclComm_t handle, const MemberPointer& member) {
    device_of(machine, member->device).used -= member->counted;
    Communicator& of = *member->communicator;
    of.members[static_cast<std::size_t>(member->rank)] = nullptr;
    for (auto& [number, parts] : of.splits) {  // which now never ends
        for (auto& part : parts) {
            if (part.parent == member.get()) part.parent = nullptr;
        }
    }
    if (member->child) {
        auto& siblings = member->child->communicator->members;
        siblings[static_cast<std::size_t>(member->child->rank)] = nullptr;
    }
    machine.members.erase(handle);
    machine.changed();
}

void fail_all(Communicator& communicator, ncclResult_t error, int but_device = -1) {
    for (Member* member : communicator.members) {
        if (member == nullptr || member->device == but_device) continue;
        if (member->error == ncclSuccess) member->error = error;
    }
}

// Where a member is with what it has been asked for. Each question brings it a step on.
ncclResult_t state_of(Locked& locked, Member& member) {
    Machine& machine = locked.machine;
    if (member.error != ncclSuccess) return member.error;
    const Communicator& of = *member.communicator;
    if (!of.complete()) return ncclInProgress;
    if (member.questions > 0) {
        --member.questions;
        return ncclInProgress;
    }
    if (member.child_handle != nullptr) {
        if (!member.split_done) return ncclInProgress;
        *member.child_handle = member.child ? add_handle(machine, member.child) : nullptr;
        member.child_handle = nullptr;
        member.child = nullptr;
    }
    for (const auto& issue : member.deferred) issue();
    member.deferred.clear();
    if (member.finalizing) {
        if (member.completed < member.issued) run_some(locked, member.device);
        if (member.completed < member.issued || of.finalized < of.members.size()) {
            return ncclInProgress;
        }
    }
    return ncclSuccess;
}

// A blocking member waits until nothing is under way; another one is asked later.
ncclResult_t settle(Locked& locked, Member& member) {
    if (!member.blocking) {
        member.questions = static_cast<int>(locked.machine.random() % 3);
        return ncclInProgress;
    }
    ncclResult_t state = ncclInProgress;
    const cudaError_t error = run_until(locked, member.device, [&] {
        state = state_of(locked, member);
        return state != ncclInProgress;
    });
    return error == cudaSuccess ? state : ncclUnhandledCudaError;
}

struct Settled {
    bool blocking = true;
    std::string name;
};

ncclResult_t read_config(const ncclConfig_t* config, Settled& into) {
    if (config == nullptr) return ncclSuccess;
    if (config->magic != kConfigMagic || config->size != sizeof *config) return ncclInvalidArgument;
    if (config->blocking != NCCL_CONFIG_UNDEF_INT) {
        if (config->blocking != 0 && config->blocking != 1) return ncclInvalidArgument;
        into.blocking = config->blocking == 1;
    }
    if (config->commName != nullptr) into.name = config->commName;
    return ncclSuccess;
}

ncclResult_t join(Machine& machine, const std::shared_ptr<Communicator>& communicator, int rank,
                  const Settled& config, MemberPointer& member) {
    const auto at = static_cast<std::size_t>(rank);
    if (communicator->devices[at] >= 0) return ncclInvalidUsage;  // rank or id used twice
    member = std::make_shared<Member>();
    member->communicator = communicator;
    member->rank = rank;
    member->device = current_device();
    member->blocking = config.blocking;
    const bool duplicate = std::find(communicator->devices.begin(), communicator->devices.end(),
                                     member->device) != communicator->devices.end();
    communicator->devices[at] = member->device;
    communicator->members[at] = member.get();
    ++communicator->joined;
    if (!config.name.empty()) communicator->name = config.name;
    machine.touch(device_of(machine, member->device));
    if (duplicate && !machine.settings.ranks_share_devices) {
        machine.report(fmt::format("communicator {}: two ranks on device {}", communicator->name,
                                   member->device));
        fail_all(*communicator, ncclInvalidUsage);
    }
    machine.changed();
    return ncclSuccess;
}

void resize(Communicator& communicator, int ranks) {
    communicator.members.resize(static_cast<std::size_t>(ranks));
    communicator.devices.assign(static_cast<std::size_t>(ranks), -1);
}

// All have said their color: ranks of a color, by key and old rank, are a communicator.
void make_children(std::vector<Communicator::SplitPart>& parts) {
    std::map<int, std::vector<Communicator::SplitPart*>> colors;
    for (auto& part : parts) {
        part.parent->split_done = true;
        if (part.color != NCCL_SPLIT_NOCOLOR) colors[part.color].push_back(&part);
    }
    for (auto& [color, ranks] : colors) {
        std::stable_sort(ranks.begin(), ranks.end(),
                         [](const auto* a, const auto* b) { return a->key < b->key; });
        const auto communicator = std::make_shared<Communicator>();
        communicator->name = ranks.front()->name;
        resize(*communicator, static_cast<int>(ranks.size()));
        communicator->joined = ranks.size();
        for (std::size_t r = 0; r < ranks.size(); ++r) {
            const auto child = std::make_shared<Member>();
            child->communicator = communicator;
            child->rank = static_cast<int>(r);
            child->device = ranks[r]->parent->device;
            child->blocking = ranks[r]->blocking;
            communicator->devices[r] = child->device;
            communicator->members[r] = child.get();
            ranks[r]->parent->child = child;
        }
    }
}

}  // namespace

namespace host_device {

MemberPointer find_member(const Machine& machine, ncclComm_t comm) {
    const auto found = machine.members.find(comm);
    return found == machine.members.end() ? nullptr : found->second;
}

ncclResult_t planned_nccl_failure(Machine& machine, const char* function) {
    return static_cast<ncclResult_t>(machine.planned_failure(function));
}

bool busy(const Member& member) {
    return !member.communicator->complete() || member.questions > 0 ||
           member.child_handle != nullptr || !member.deferred.empty();
}

void fail_communicators(int device, int code) {
    Locked locked;
    for (const auto& [handle, member] : locked.machine.members) {
        if (member->device == device) member->error = static_cast<ncclResult_t>(code);
    }
    locked.machine.changed();
}

void lose_peer(int device) {
    Locked locked;
    for (const auto& [handle, member] : locked.machine.members) {
        if (member->device == device) fail_all(*member->communicator, ncclRemoteError, device);
    }
    locked.machine.changed();
}

}  // namespace host_device

ncclResult_t ncclGetVersion(int* version) {
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
    switch (result) {
        case ncclSuccess:
            return "no error";
        case ncclUnhandledCudaError:
            return "unhandled cuda error";
        case ncclSystemError:
            return "unhandled system error";
        case ncclInternalError:
            return "internal error";
        case ncclInvalidArgument:
            return "invalid argument";
        case ncclInvalidUsage:
            return "invalid usage";
        case ncclRemoteError:
            return "remote process exited or there was a network error";
        case ncclInProgress:
            return "NCCL operation in progress";
        default:
            return "unknown result code";
    }
}

const char* ncclGetLastError(ncclComm_t) {
    thread_local std::string text;
    const Locked locked;
    text = locked.machine.problems.empty() ? "" : locked.machine.problems.back();
    return text.c_str();
}

// Needs no device.
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    static std::atomic<std::uint64_t> made = 0;
    std::memset(id->internal, 0, sizeof id->internal);
    const std::string text = fmt::format("host device {}", ++made);
    std::memcpy(id->internal, text.data(), text.size());
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
    Locked locked;
    Machine& machine = locked.machine;
    if (!usable(machine)) return ncclUnhandledCudaError;
    ncclResult_t error = planned_nccl_failure(machine, "ncclCommInitRankConfig");
    Settled settled;
    if (error == ncclSuccess) error = read_config(config, settled);
    if (error != ncclSuccess) return error;
    if (ranks < 1 || rank < 0 || rank >= ranks) return ncclInvalidArgument;
    if (nccl_group_depth() > 0) return ncclInvalidUsage;  // which this project does not need
    auto& communicator = machine.meetings[std::string(id.internal, sizeof id.internal)];
    if (!communicator) {
        communicator = std::make_shared<Communicator>();
        communicator->name = "world";
        resize(*communicator, ranks);
    }
    if (communicator->members.size() != static_cast<std::size_t>(ranks)) return ncclInvalidArgument;
    MemberPointer member;
    error = join(machine, communicator, rank, settled, member);
    if (error != ncclSuccess) return error;
    *comm = add_handle(machine, member);
    return settle(locked, *member);
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
    return ncclCommInitRankConfig(comm, ranks, id, rank, nullptr);
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* newcomm,
                           ncclConfig_t* config) {
    Locked locked;
    Machine& machine = locked.machine;
    const MemberPointer member = find_member(machine, comm);
    if (!member || busy(*member) || (color < 0 && color != NCCL_SPLIT_NOCOLOR)) {
        return ncclInvalidArgument;
    }
    ncclResult_t error = planned_nccl_failure(machine, "ncclCommSplit");
    if (error == ncclSuccess) error = member->error;
    Settled settled{member->blocking, member->communicator->name};
    if (error == ncclSuccess) error = read_config(config, settled);
    if (error != ncclSuccess) return error;
    auto& of = *member->communicator;
    auto& parts = of.splits[member->splits];
    parts.resize(of.members.size());
    parts[static_cast<std::size_t>(member->rank)] = {member.get(), color, key, settled.blocking,
                                                     settled.name};
    *newcomm = nullptr;
    member->child_handle = newcomm;
    member->split_done = false;
    const std::uint64_t number = member->splits++;
    if (std::all_of(parts.begin(), parts.end(),
                    [](const auto& p) { return p.parent != nullptr; })) {
        make_children(parts);
        of.splits.erase(number);
        machine.changed();
    }
    return settle(locked, *member);
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
    Locked locked;
    const MemberPointer member = find_member(locked.machine, comm);
    if (!member || member->finalizing) return ncclInvalidArgument;
    member->finalizing = true;
    ++member->communicator->finalized;
    locked.machine.changed();
    return settle(locked, *member);
}

// Waits for the rank's own work.
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    Locked locked;
    const MemberPointer member = find_member(locked.machine, comm);
    if (!member) return ncclInvalidArgument;
    if (member->error != ncclSuccess) {
        member->aborted = true;
    } else {
        run_until(locked, member->device, [&] {
            return member->error != ncclSuccess || member->completed == member->issued;
        });
    }
    leave(locked.machine, comm, member);
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
    Locked locked;
    const MemberPointer member = find_member(locked.machine, comm);
    if (!member) return ncclInvalidArgument;
    member->aborted = true;
    member->deferred.clear();
    fail_all(*member->communicator, ncclRemoteError);
    leave(locked.machine, comm, member);
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
    Locked locked;
    const MemberPointer member = find_member(locked.machine, comm);
    if (!member) return ncclInvalidArgument;
    *error = state_of(locked, *member);
    return ncclSuccess;
}

ncclResult_t ncclCommCount(ncclComm_t comm, int* count) {
    const Locked locked;
    const MemberPointer member = find_member(locked.machine, comm);
    if (!member) return ncclInvalidArgument;
    *count = static_cast<int>(member->communicator->members.size());
    return ncclSuccess;
}

ncclResult_t ncclCommUserRank(ncclComm_t comm, int* rank) {
    const Locked locked;
    const MemberPointer member = find_member(locked.machine, comm);
    if (!member) return ncclInvalidArgument;
    *rank = member->rank;
    return ncclSuccess;
}

ncclResult_t ncclCommCuDevice(ncclComm_t comm, int* device) {
    const Locked locked;
    const MemberPointer member = find_member(locked.machine, comm);
    if (!member) return ncclInvalidArgument;
    *device = member->device;
    return ncclSuccess;
}
