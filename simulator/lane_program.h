// A Program prepared for simulation: every body costed once and cut into one list of operations per
// stream, which the event engine then walks as often as the body is scheduled.
//
// A *lane* is a stream of one role. Two kinds of host:
//   separate (GPU)  the host lane makes one launch after the other and runs ahead of the streams, copies of
//                   scalars to the host included, but for waits that hold it up (Op::host). An
//                   instruction is one launch (in products' profiles as many as product_kernels.h says);
//                   a launch takes host_cost · launch_units() seconds and can start at its end
//   inline (CPU)    the compute stream is the host: a kernel occupies it, and what other streams
//                   execute is posted to their threads when the host comes by
// Consecutive kernels of a lane with nothing between them that another lane could see become one
// operation, so that simulating costs time per synchronisation rather than per kernel.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/cluster/cluster.h"
#include "core/program/program.h"
#include "core/report/trace.h"
#include "core/strategy/runtime_profile.h"
#include "simulator/kernel_progress.h"
#include "simulator/link_sharing.h"

namespace shardscope {

enum class OpKind : std::uint8_t {
    run,     // occupies the lane for `work`
    meet,    // waits for lanes of other roles, then occupies the lane (parties)
    record,  // marks event `target`
    wait,    // until event `target` is recorded
    post,    // inline host: hands `count` operations to the lane of `stream`
};

struct Op {
    OpKind kind = OpKind::run;
    Phase phase = Phase::forward;
    Stream stream = Stream::compute;  // post: whose thread
    bool communication = false;       // run: a collective rather than kernels
    bool host = false;                // wait: a separate host does too
    std::int32_t target = 0;          // event, or first of LaneProgram::Role::parties
    std::int32_t count = 0;  // posted operations, or parties; wait: 1 for its own task's event
    std::int32_t instruction = 0;  // the first one of the body
    std::int32_t launch = 0;       // launch units of the body until the first one is launched
    std::int32_t load = -1;        // run: of LaneProgram::Role::loads; −1: shares no link
    // Run of a separate host's compute stream: its kernels, of LaneProgram::Role::kernels.
    std::int32_t first_kernel = 0, kernels = 0;
    double work = 0;     // seconds when the lane has a core (or device) of its own
    double squares = 0;  // run: sum of its kernels' seconds squared, by which their jitter adds up
    double busy = 0;     // the part of `work` that is not host time
    // Separate host: shortest time from the first launch to the end of the last kernel, that is max
    // over launches j of (j − first)·host_cost + the durations from j on.
    double issue_to_end = 0;
};

// One rendezvous of an operation: the n-th arrivals of all roles at a channel meet.
struct Party {
    std::int32_t channel = 0;
    double seconds = 0;      // from the last arrival to the end, alone
    std::int32_t load = -1;  // of LaneProgram::Role::loads
};

struct LaneProgram {
    struct Slice {
        std::int32_t first = 0, count = 0;  // of Role::ops
    };
    struct Body {
        std::array<Slice, kStreams> lanes;
        std::int32_t launches = 0;  // units
    };
    struct Task {
        std::int32_t body = 0;
        std::int32_t execution = 0;     // how often the body has run with this task, from 1
        std::int64_t first_launch = 0;  // units before it, counted over the step
    };
    // A wait is over when the event has been recorded by as many executions of `body` as tasks before
    // the waiting one have, and by that of its own task where Op::count is 1.
    struct Event {
        std::int32_t body = 0;  // bodies.size(), which never runs: nothing records the event
        Span::Kind wait = Span::Kind::wait;  // what a wait for it counts as
    };
    struct Role {
        const RoleProgram* program = nullptr;
        std::vector<Op> ops;
        std::vector<Party> parties;
        std::vector<LinkLoad> loads;
        std::vector<KernelProgress::Kernel> kernels;  // of the compute stream, in order
        std::vector<Body> bodies;
        std::vector<Task> tasks;    // as scheduled, and one past the end
        std::vector<Event> events;  // the role's own and those of inline-host copies
        Rank rank;                  // the first one that it stands for
        int multiplicity = 1;       // how many those are
    };
    std::vector<Role> roles;
    std::vector<std::int32_t> channels;  // how many lanes meet at each
    std::size_t links = 0;               // that loads name
    int multiprocessors = 1;             // of a device; collectives take some (LinkLoad::channels)
    bool inline_host = false;
    // Of a separate host, every launch of which waits until the kernel is done (Device::blocking_launches): the
    // compute stream spends the host's time too, and nothing is launched ahead.
    bool blocking = false;
    double host_cost = 0;  // seconds per launch unit (host_cost.h, product_kernels.h)
    int threads = 1;       // inline host: that divide the kernels of the compute stream
};

// `separate_kernels` keeps one operation per instruction, for spans. `separate_ranks`: a role of the
// result is one rank, so that ranks may go differently; for few ranks. The result refers to `program`.
LaneProgram prepare(const Program& program, const Cluster& cluster, bool separate_kernels,
                    RuntimeProfile profile = RuntimeProfile::shardscope,
                    bool separate_ranks = false);

}  // namespace shardscope
