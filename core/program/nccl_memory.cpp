#include "core/program/nccl_memory.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace shardscope {
namespace {

// Per channel, see the header.
constexpr Bytes kWriteSend(2 * kMiB), kWriteReceive(10 * kMiB), kReadEither(6 * kMiB);
constexpr Bytes kNetwork(10 * kMiB), kTransferChunks(16 * 128 * 1024);

// One NVLink as NCCL sees it, and a channel over it, in bytes per second (graph/topo.h, graph/search.cc; Blackwell's
// channels have 90 GB/s of 50 GB/s links). 0: no NVLink.
struct NvLink {
    double link = 0, channel = 0;
};
NvLink nvlink_of(LinkType type) {
    switch (type) {
        case LinkType::nvlink2:
        case LinkType::nvlink3:
            return {25e9, 20e9};
        case LinkType::nvlink4:
            return {25e9, 30e9};
        case LinkType::nvlink5:
            return {50e9, 90e9};
        default:
            return {};
    }
}

// How often `part` is in `whole`, data-sheet figures whose quotient may be whole.
int whole_times(double whole, double part) {
    return static_cast<int>(std::floor(whole / part + 1e-6));
}

int power_of_two(int at_least) {
    return static_cast<int>(std::bit_ceil(static_cast<unsigned>(at_least)));
}

bool receiver_reads(const Cluster& cluster) {
    return cluster.device.architecture == Architecture::ampere &&
           nvlink_of(cluster.intra_node.type).link > 0;
}

bool is_amd(Architecture architecture) {
    return architecture == Architecture::cdna2 || architecture == Architecture::cdna3 ||
           architecture == Architecture::cdna4;
}

// What one rank uses: of collectives by stream, of transfers by lane, and both by group, or by group alone (−1).
struct NcclUses {
    std::set<std::pair<int, GroupId>> rings, all_to_alls;
    std::set<std::tuple<int, GroupId, Rank, bool>> transfers;  // peer, whether it is sent to
};

NcclUses nccl_uses_of(const Program& program, const RoleProgram& role, CommunicatorUse use) {
    NcclUses uses;
    const bool apart = use == CommunicatorUse::per_stream;
    for (const Body& body : role.bodies)
        for (const Instruction& i : body.instructions) {
            if (const auto* c = std::get_if<Collective>(&i.operation)) {
                if (c->is_routed()) continue;  // DeepEP's
                auto& kind = c->kind == CollectiveKind::all_to_all ? uses.all_to_alls : uses.rings;
                kind.insert({apart ? static_cast<int>(i.stream) : -1, c->group});
            }
            if (const auto* x = std::get_if<Exchange>(&i.operation))
                for (const auto& t : x->transfers)
                    uses.transfers.emplace(
                        apart ? static_cast<int>(transfer_lane(i.stream)) : -1, t.group,
                        program.groups[t.group.index()].peer(role.ranks.front(), t), t.send);
        }
    return uses;
}

// Alike for all connections, and a communicator of all ranks beside those that are used.
Bytes stated_memory(const NcclMemory& stated, const NcclUses& uses) {
    const auto rings = std::ssize(uses.rings) + std::ssize(uses.all_to_alls);
    if (rings == 0 && uses.transfers.empty()) return {};
    const auto sends =
        std::ranges::count_if(uses.transfers, [](const auto& t) { return std::get<3>(t); });
    const auto receives = std::ssize(uses.transfers) - sends;
    return Bytes(stated.base.value * (1 + rings + std::ssize(uses.transfers)) +
                 stated.channels * (stated.send.value * (rings + sends) +
                                    stated.receive.value * (rings + receives)));
}

}  // namespace

NcclBuffers::NcclBuffers(const Cluster& cluster) : cluster_(cluster) {}

bool NcclBuffers::covers(const GroupShape& shape) const {
    if (cluster_.device.kind != DeviceKind::gpu || is_amd(cluster_.device.architecture))
        return false;
    const bool inside = shape.per_node == 1 || cluster_.intra_node.type != LinkType::generic;
    const bool across = shape.nodes == 1 || cluster_.inter_node.type != LinkType::generic;
    return shape.size > 1 && inside && across;
}

int NcclBuffers::ring_channels(const GroupShape& shape) const {
    if (!covers(shape)) return 0;
    const Link& intra = cluster_.intra_node;
    if (shape.nodes == 1) {
        const NvLink nvlink = nvlink_of(intra.type);
        if (nvlink.link == 0) return 2;
        const double rate = intra.bandwidth.value * facts_of(intra.type).efficiency;
        return 2 * std::max(1, whole_times(rate, nvlink.channel));
    }
    const int per_node = std::max(1, cluster_.gpus_per_node);
    const int ports = cluster_.inter_node.ports > 0 ? cluster_.inter_node.ports : per_node;
    return 2 * std::clamp(shape.fewest * ports / per_node, 1, ports);
}

int NcclBuffers::peer_channels(const GroupShape& shape) const {
    if (!covers(shape)) return 0;
    const Link& intra = cluster_.intra_node;
    const NvLink nvlink = nvlink_of(intra.type);
    if (nvlink.link == 0 || shape.nodes > 1) return 2;
    const int peers = intra.switched ? 1 : std::max(1, cluster_.gpus_per_node - 1);
    const int links = std::max(1, whole_times(intra.bandwidth.value, nvlink.link) / peers);
    return std::min(power_of_two(2 * links), power_of_two(ring_channels(shape)));
}

Bytes NcclBuffers::ring(const GroupShape& shape) const {
    const std::int64_t channels = ring_channels(shape);
    const std::int64_t inside =
        receiver_reads(cluster_) ? 2 * kReadEither.value : (kWriteSend + kWriteReceive).value;
    if (shape.nodes == 1) return Bytes(channels * inside);
    // A channel leaves a node at one member and comes into it at one.
    const std::int64_t across = (channels + shape.per_node - 1) / shape.per_node;
    const bool direct = facts_of(cluster_.inter_node.type).gpu_direct;
    return Bytes((channels - across) * inside + (direct ? 2 * across * kNetwork.value : 0));
}

Bytes NcclBuffers::send_inside(const GroupShape& shape) const {
    return Bytes(peer_channels(shape) *
                 (receiver_reads(cluster_) ? kReadEither : kWriteSend).value);
}

Bytes NcclBuffers::receive_inside(const GroupShape& shape) const {
    return Bytes(peer_channels(shape) *
                 (receiver_reads(cluster_) ? kReadEither : kWriteReceive).value);
}

Bytes NcclBuffers::pool(const GroupShape& shape) const {
    if (shape.nodes == 1 || !facts_of(cluster_.inter_node.type).gpu_direct) return {};
    const int channels = ring_channels(shape);
    return channels == 0 ? Bytes(0) : Bytes(power_of_two(channels) * kTransferChunks.value);
}

Bytes NcclBuffers::all_to_all(const GroupShape& shape) const {
    const Bytes pair = send_inside(shape) + receive_inside(shape);
    return Bytes((shape.per_node - 1) * pair.value + 2 * pool(shape).value);
}

Bytes nccl_memory(const Cluster& cluster, const Program& program, std::size_t role,
                  CommunicatorUse use) {
    const RoleProgram& mine = program.roles[role];
    const NcclUses uses = nccl_uses_of(program, mine, use);
    if (cluster.device.nccl) return stated_memory(*cluster.device.nccl, uses);
    const NcclBuffers buffers(cluster);
    std::map<GroupId, GroupShape> shapes;
    const auto shape = [&](GroupId group) -> const GroupShape& {
        const auto [it, added] = shapes.try_emplace(group);
        if (added) it->second = widest_shape(program.groups[group.index()], mine.ranks, cluster);
        return it->second;
    };
    Bytes sum;
    for (const auto& [stream, group] : uses.rings) sum += buffers.ring(shape(group));
    for (const auto& [stream, group] : uses.all_to_alls) sum += buffers.all_to_all(shape(group));
    const auto node = [&](Rank rank) { return rank.value / std::max(1, cluster.gpus_per_node); };
    std::set<std::tuple<GroupId, bool>> pools;  // that the transfers of a communicator share
    for (const auto& [lane, group, peer, send] : uses.transfers) {
        const bool here = node(peer) == node(mine.ranks.front());
        GroupShape pair{2, 2, 1, 1};
        if (here) pair = {2, 1, 2, 2};
        const GroupShape& of = use == CommunicatorUse::per_stream ? pair : shape(group);
        if (here)
            sum += send ? buffers.send_inside(of) : buffers.receive_inside(of);
        else if (use == CommunicatorUse::per_stream || pools.emplace(group, send).second)
            sum += buffers.pool(of);
    }
    return sum;
}

}  // namespace shardscope
