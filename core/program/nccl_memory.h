// Device memory that NCCL takes of a rank for its connections.
//
// A communicator is made of all ranks of a group; its connections are set up when an operation first uses
// them (NCCL_RUNTIME_CONNECT, src/init.cc; all of NCCL is v2.28.9). Every channel of a connection has buffers
// on the device, for the protocols LL, LL128 and Simple: 0.5 + 4.7 + 4 MiB, and a page (init.cc, device.h),
// rounded to 2 MiB (comm.h):
//     in a node             the receiver has them, 10 MiB, the sender 2 (transport/p2p.cc); where the receiver
//                           reads, A100s over NVLink, Simple's are the sender's: 6 and 6 MiB
//     across, GPUDirect     10 MiB at each end (transport/net.cc)
//     across, through host  0: they are in its memory
//     transfers, across     chunks for all peers, 16 of 128 KiB per channel and direction (net.cc, init.cc)
// What `Device::nccl` states counts instead. Not counted: trees' connections, which only all-reduces of middling
// sizes use, and NVLink SHARP's buffers: the sizes at which NCCL takes them are its tuner's.
#pragma once

#include "core/cluster/cluster.h"
#include "core/program/group_shape.h"
#include "core/program/program.h"
#include "core/units.h"

namespace shardscope {

// Which instructions of a rank use the same communicator.
enum class CommunicatorUse : std::uint8_t {
    per_stream,  // collectives on one stream of a group; a transfer's two ranks in one lane (CommunicatorPlan)
    per_group,  // all of a group, as products have it
};

// Of any rank of the role: its groups where they lie on most nodes, its transfers as its first rank's. 0 for links
// without a type and for AMD's GPUs, whose RCCL allots its own way: there it is part of Device::runtime.
Bytes nccl_memory(const Cluster& cluster, const Program& program, std::size_t role,
                  CommunicatorUse use);

// The parts of it; none of `shape` being one rank.
class NcclBuffers {
public:
    explicit NcclBuffers(const Cluster& cluster);

    // Channels of a ring: twice those that NCCL's search finds (graph/connect.cc), which are in a node as many as the
    // NVLinks' rate holds channels (graph/search.cc), one on PCIe; across nodes one per port in reach, which the
    // members on a node have in turn.
    int ring_channels(const GroupShape& shape) const;
    // Channels to one peer of the node, of grouped sends and receives: two per NVLink to it, two without or where the
    // communicator crosses nodes, as a power of two (graph/paths.cc: ncclTopoComputeP2pChannels).
    int peer_channels(const GroupShape& shape) const;

    // Every collective but all-to-all: one neighbour each way.
    Bytes ring(const GroupShape& shape) const;
    // One peer of the same node.
    Bytes send_inside(const GroupShape& shape) const;
    Bytes receive_inside(const GroupShape& shape) const;
    // All peers on other nodes, in one direction.
    Bytes pool(const GroupShape& shape) const;
    Bytes all_to_all(const GroupShape& shape) const;

private:
    bool covers(const GroupShape& shape) const;

    const Cluster& cluster_;
};

}  // namespace shardscope
