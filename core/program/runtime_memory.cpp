#include "core/program/runtime_memory.h"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace shardscope {
namespace {

template <class Visit>
void for_each_instruction(const RoleProgram& role, Visit visit) {
    for (const Body& body : role.bodies)
        for (const Instruction& instruction : body.instructions) visit(instruction);
}

std::int64_t streams_with_kernels(const RoleProgram& role) {
    std::array<bool, kStreams> streams{};
    for_each_instruction(role, [&](const Instruction& i) {
        if (std::holds_alternative<Compute>(i.operation) && i.stream != Stream::host)
            streams[static_cast<std::size_t>(i.stream)] = true;
    });
    return std::count(streams.begin(), streams.end(), true);
}

Bytes largest_cudnn_workspace(const RoleProgram& role) {
    Bytes largest;
    for_each_instruction(role, [&](const Instruction& i) {
        const auto* compute = std::get_if<Compute>(&i.operation);
        if (compute == nullptr) return;
        if (const auto* attention = std::get_if<AttentionGrad>(&compute->kernel))
            if (attention->kind == AttentionKind::flash)
                largest = std::max(largest, cudnn_workspace(*attention));
    });
    return largest;
}

// How many communicators one rank of the role is in, and how many ends of connections it has in them.
struct Connections {
    std::int64_t communicators = 0, sends = 0, receives = 0;
};

Connections connections_of(const RoleProgram& role) {
    std::set<std::pair<Stream, GroupId>> groups;
    std::set<std::tuple<TransferLane, GroupId, int, bool>> transfers;
    for_each_instruction(role, [&](const Instruction& i) {
        if (const auto* c = std::get_if<Collective>(&i.operation))
            groups.insert({i.stream, c->group});
        if (const auto* x = std::get_if<Exchange>(&i.operation))
            for (const auto& t : x->transfers)
                transfers.emplace(transfer_lane(i.stream), t.group, t.peer, t.send);
    });
    Connections found;
    if (groups.empty() && transfers.empty()) return found;
    found.communicators = 1 + std::ssize(groups) + std::ssize(transfers);  // one of all ranks
    found.sends = found.receives = std::ssize(groups);
    for (const auto& transfer : transfers) ++(std::get<3>(transfer) ? found.sends : found.receives);
    return found;
}

}  // namespace

SampleBytes sample_bytes(const LoadBatch& load, DType dtype) {
    SampleBytes bytes;
    if (load.inputs)
        bytes.inputs = load.tokens ? load.samples * load.seq * size_of(DType::int32)
                                   : load.samples * load.width * size_of(dtype);
    if (load.targets) bytes.targets = load.samples * load.seq * size_of(DType::int32);
    return bytes;
}

Bytes staged_samples(const RoleProgram& role) {
    std::vector<std::int64_t> of_body(role.bodies.size(), 0);
    for (std::size_t b = 0; b < role.bodies.size(); ++b)
        for (const Instruction& i : role.bodies[b].instructions)
            if (const auto* compute = std::get_if<Compute>(&i.operation))
                if (const auto* load = std::get_if<LoadBatch>(&compute->kernel))
                    of_body[b] += sample_bytes(*load, compute->dtype).staged();
    std::int64_t bytes = 0;
    for (const Task& task : role.schedule) bytes += of_body[task.body.index()];
    return Bytes(2 * bytes);
}

Bytes cudnn_workspace(const AttentionGrad& k) {
    const std::int64_t queries = k.samples * k.heads * k.seq;
    const std::int64_t per_query =
        4 * k.head_dim + 4 + (k.kv_heads < k.heads ? 2 * 2 * k.head_dim : 0);
    return Bytes(queries * per_query);
}

RuntimeMemory predict_runtime(const Device& device, const Program& program, std::size_t role,
                              bool cudnn_attention) {
    const RoleProgram& mine = program.roles[role];
    RuntimeMemory memory;
    memory.context = device.runtime;
    if (device.workspace.value > 0)
        memory.workspace = Bytes(device.workspace.value * streams_with_kernels(mine)) +
                           staged_samples(mine) +
                           (cudnn_attention ? largest_cudnn_workspace(mine) : Bytes(0));
    const NcclMemory& nccl = device.nccl;
    const Connections connections = connections_of(mine);
    memory.communicators = Bytes(nccl.base.value * connections.communicators +
                                 nccl.channels * (nccl.send.value * connections.sends +
                                                  nccl.receive.value * connections.receives));
    return memory;
}

}  // namespace shardscope
