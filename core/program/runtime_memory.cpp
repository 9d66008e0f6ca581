#include "core/program/runtime_memory.h"

#include <algorithm>
#include <array>
#include <limits>
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

// One set of buffers serves all layers, which are alike.
Bytes dispatch_buffers(const Program& program, const RoleProgram& role) {
    Bytes largest;
    for_each_instruction(role, [&](const Instruction& i) {
        const auto* c = std::get_if<Collective>(&i.operation);
        if (c == nullptr || !c->is_routed()) return;
        const std::int64_t element = std::max(2, static_cast<int>(size_of(c->dtype)));
        largest = std::max(
            largest, deepep_buffers(c->width * element, program.groups[c->group.index()].size));
    });
    return largest;
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

Bytes deepep_buffers(std::int64_t row, int ranks) {
    constexpr std::int64_t kChannels = 10, kPeers = 8;  // of 20 multiprocessors; NUM_MAX_NVL_PEERS
    constexpr std::int64_t kMeta = 8, kMostExperts = 128, kMostScales = 128;
    // Tokens of a queue: on NVLink, and on the network, a multiple of what is sent at once.
    struct Queue {
        int ranks;
        std::int64_t inside, across;
    };
    constexpr auto kQueues = std::to_array<Queue>({{8, 256, 0},
                                                   {64, 288, 140},
                                                   {128, 560, 132},
                                                   {std::numeric_limits<int>::max(), 720, 132}});
    const Queue& queue =
        *std::ranges::find_if(kQueues, [&](const Queue& q) { return ranks <= q.ranks; });
    const auto aligned = [](std::int64_t bytes) { return (bytes + 127) / 128 * 128; };
    const std::int64_t nodes = std::max<std::int64_t>(1, ranks / kPeers);
    const std::int64_t here = std::min<std::int64_t>(ranks, kPeers);
    const std::int64_t token = row + kMeta + kMostExperts * (8 + 4) + kMostScales * 4;
    std::int64_t bytes = aligned(kChannels * here * (4 * (2 * nodes + 3) + queue.inside * token));
    if (ranks > kPeers) {
        // Sent and received; 16 bytes more per token, and 1 MiB.
        const std::int64_t heads = 4 * (2 * kPeers + 2), slot = token + 16;
        bytes += aligned(kChannels * nodes * 2 * (heads + queue.across * slot) + (1 << 20));
    }
    return Bytes(bytes);
}

RuntimeMemory predict_runtime(const Cluster& cluster, const Program& program, std::size_t role,
                              CommunicatorUse use, bool cudnn_attention) {
    const Device& device = cluster.device;
    const RoleProgram& mine = program.roles[role];
    RuntimeMemory memory;
    memory.context = device.runtime;
    if (device.workspace.value > 0)
        memory.workspace = Bytes(device.workspace.value * streams_with_kernels(mine)) +
                           staged_samples(mine) +
                           (cudnn_attention ? largest_cudnn_workspace(mine) : Bytes(0));
    memory.communicators = nccl_memory(cluster, program, role, use);
    if (device.kind == DeviceKind::gpu) memory.communicators += dispatch_buffers(program, mine);
    return memory;
}

}  // namespace shardscope
