// nccl.h's operations and groups of them.
#include <algorithm>

#include <fmt/core.h>
#include <nccl.h>

#include "tests/host_device/nccl_members.h"

using namespace host_device;

namespace {

// What a thread has called since its outermost ncclGroupStart.
struct Call {
    MemberPointer member;
    Operation operation;
    QueuePointer queue;
};
thread_local int group_depth = 0;
thread_local std::vector<Call> group_calls;
thread_local ncclResult_t group_error = ncclSuccess;

TaskMaker batch_maker(Machine& machine, const MemberPointer& member,
                      const std::vector<Operation>& operations) {
    return [&machine, member, operations] {
        const auto batch = std::make_shared<Batch>(member, operations);
        return Task{[batch] { batch->run(); },
                    [batch, &machine] { return batch->ready(machine); },
                    {},
                    batch->name()};
    };
}

// Puts a group's calls on their streams, those of a communicator together.
ncclResult_t submit(Locked& locked, const std::vector<Call>& calls) {
    Machine& machine = locked.machine;
    std::vector<MemberPointer> members;
    for (const Call& call : calls) {
        if (std::find(members.begin(), members.end(), call.member) == members.end()) {
            members.push_back(call.member);
        }
    }
    bool in_progress = false;
    for (const MemberPointer& member : members) {
        std::vector<Operation> operations;
        QueuePointer queue;
        for (const Call& call : calls) {
            if (call.member != member) continue;
            if (queue && queue != call.queue) return ncclInvalidUsage;
            queue = call.queue;
            operations.push_back(call.operation);
        }
        const auto issue = [&machine, queue, maker = batch_maker(machine, member, operations)] {
            machine.issue(queue, maker);
        };
        if (!member->blocking && machine.random() % 2 == 0) {
            member->deferred.push_back(issue);
            member->questions = static_cast<int>(machine.random() % 3);
            in_progress = true;
        } else {
            issue();
        }
    }
    return in_progress ? ncclInProgress : ncclSuccess;
}

ncclResult_t check(Machine& machine, const char* function, const MemberPointer& member,
                   const Operation& operation, const QueuePointer& queue) {
    if (!member || !queue) return ncclInvalidArgument;
    const ncclResult_t failure = planned_nccl_failure(machine, function);
    if (failure != ncclSuccess) return failure;
    if (member->error != ncclSuccess) return member->error;
    if (busy(*member) || member->finalizing || queue->device != member->device) {
        return ncclInvalidArgument;
    }
    if (device_of(machine, member->device).error != cudaSuccess) return ncclUnhandledCudaError;
    const std::size_t ranks = member->communicator->members.size();
    if (size_of(operation.type) == 0 || operation.reduction > ncclMin || operation.peer < 0 ||
        static_cast<std::size_t>(operation.peer) >= ranks) {
        return ncclInvalidArgument;
    }
    const std::size_t send = operation.send_bytes(ranks), recv = operation.recv_bytes(ranks);
    const bool lies_in_memory =
        (send == 0 || machine.allocation_of(operation.send, send) != nullptr) &&
        (recv == 0 || machine.allocation_of(operation.recv, recv) != nullptr);
    if (!lies_in_memory) {
        machine.report(fmt::format("{}: {} with a buffer outside of all allocations", function,
                                   operation.text()));
        return ncclInvalidArgument;
    }
    return ncclSuccess;
}

ncclResult_t enqueue(const char* function, ncclComm_t comm, const Operation& operation,
                     cudaStream_t stream) {
    Locked locked;
    const MemberPointer member = find_member(locked.machine, comm);
    const QueuePointer queue = locked.machine.find(stream);
    const ncclResult_t error = check(locked.machine, function, member, operation, queue);
    if (error != ncclSuccess) {
        group_error = error;
        return error;
    }
    if (group_depth == 0) return submit(locked, {{member, operation, queue}});
    group_calls.push_back({member, operation, queue});
    return ncclSuccess;
}

Operation operation_of(OperationKind kind, const void* send, void* recv, std::size_t count,
                       ncclDataType_t type, ncclRedOp_t reduction, int peer) {
    return {kind,
            static_cast<const std::byte*>(send),
            static_cast<std::byte*>(recv),
            count,
            type,
            reduction,
            peer};
}

}  // namespace

int host_device::nccl_group_depth() { return group_depth; }

ncclResult_t ncclAllReduce(const void* send, void* recv, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
    return enqueue("ncclAllReduce", comm,
                   operation_of(OperationKind::all_reduce, send, recv, count, type, op, 0), stream);
}

ncclResult_t ncclReduceScatter(const void* send, void* recv, std::size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
    return enqueue("ncclReduceScatter", comm,
                   operation_of(OperationKind::reduce_scatter, send, recv, count, type, op, 0),
                   stream);
}

ncclResult_t ncclAllGather(const void* send, void* recv, std::size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
    return enqueue("ncclAllGather", comm,
                   operation_of(OperationKind::all_gather, send, recv, count, type, ncclSum, 0),
                   stream);
}

ncclResult_t ncclBroadcast(const void* send, void* recv, std::size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
    return enqueue("ncclBroadcast", comm,
                   operation_of(OperationKind::broadcast, send, recv, count, type, ncclSum, root),
                   stream);
}

ncclResult_t ncclSend(const void* send, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
    return enqueue("ncclSend", comm,
                   operation_of(OperationKind::send, send, nullptr, count, type, ncclSum, peer),
                   stream);
}

ncclResult_t ncclRecv(void* recv, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
    return enqueue("ncclRecv", comm,
                   operation_of(OperationKind::recv, nullptr, recv, count, type, ncclSum, peer),
                   stream);
}

ncclResult_t ncclGroupStart() {
    if (group_depth++ == 0) {
        group_calls.clear();
        group_error = ncclSuccess;
    }
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
    if (group_depth == 0) return ncclInvalidUsage;
    if (--group_depth > 0) return ncclSuccess;
    const std::vector<Call> calls = std::move(group_calls);
    group_calls.clear();
    if (group_error != ncclSuccess) return group_error;
    Locked locked;
    const ncclResult_t error = planned_nccl_failure(locked.machine, "ncclGroupEnd");
    return error != ncclSuccess ? error : submit(locked, calls);
}
