// What every rank executes in one training step.
//
// A Program holds, per distinct role of ranks, bodies of instructions and a schedule of tasks that
// name them; it is never unrolled except for printing. Plain values: executors, the simulator, the
// planner and the printer read the same object.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/ids.h"
#include "core/program/instruction.h"

namespace shardscope {

// Memory categories, in the order every report prints them.
enum class Category : std::uint8_t {
    parameters,  // weights kept between steps (a rank's shard, and the bf16 copy of master weights)
    gradients,   // accumulated gradients kept over micro-batches
    optimizer_states,  // moments and fp32 master weights
    activations,       // saved by the forward for the backward pass, and the batch itself
    communication,     // gathered parameters and rows, gradient buckets, what goes between stages
    workspace,         // temporaries of kernels, gradients of activations, scalars, packing slack
    runtime,           // context and libraries, outside the plan
};
constexpr std::size_t kCategories = 7;
std::string_view category_name(Category category);

enum class Residence : std::uint8_t {
    persistent,  // lives from step to step
    // Lives from its first to its last access, within the bodies of one chunk for one micro-batch. Of
    // those that a later body reads, every micro-batch in flight has its own (MemoryPlan::frame).
    transient,
};

// Which memory a buffer lies in. Kernels read and write the device's, those of Stream::host the host's.
enum class Tier : std::uint8_t { device, host, nvme };
constexpr std::size_t kTiers = 3;
std::string_view tier_name(Tier tier);  // "device", "host", "nvme"

// The stream of a Move; from and to are neighbours.
constexpr Stream stream_between(Tier from, Tier to) {
    if (from == Tier::device) return Stream::to_host;
    if (to == Tier::device) return Stream::to_device;
    return from == Tier::nvme ? Stream::nvme_read : Stream::nvme_write;
}

struct Buffer {
    std::string name;
    std::int64_t elements = 0;
    DType dtype = DType::fp32;
    Category category = Category::workspace;
    Residence residence = Residence::transient;
    Tier tier = Tier::device;
    // Equal parts that instructions may touch apart from one another, each where it begins; 1: whoever touches
    // the buffer touches all of it.
    int pieces = 1;
    Bytes size() const { return Bytes(elements * size_of(dtype)); }
};

struct Body {
    std::string name;  // "forward", "backward", "backward (last)", "optimizer"
    std::vector<Instruction> instructions;
    int chunk = 0;  // the model chunk it belongs to; −1: the whole role (optimizer)
};

// One execution of a body for a micro-batch.
struct Task {
    BodyId body;
    std::int32_t micro_batch = 0;
};

// Sets of ranks that communicate: rank r has index (r / stride) mod size in its set, whose first
// member is r − index·stride.
struct Group {
    std::string name;  // "dp"
    int size = 1;
    int stride = 1;
    int index_of(Rank rank) const { return (rank.value / stride) % size; }
    Rank member(Rank rank, int index) const {
        return Rank(rank.value + (index - index_of(rank)) * stride);
    }
    Rank peer(Rank rank, const Exchange::Transfer& transfer) const {
        if (!transfer.around) return member(rank, transfer.peer);
        return member(rank, ((index_of(rank) + transfer.peer) % size + size) % size);
    }
};

struct RoleProgram {
    std::string name;         // "all ranks"
    std::vector<Rank> ranks;  // ascending
    std::vector<Buffer> buffers;
    std::vector<Body> bodies;
    std::vector<Task> schedule;
    int events = 0;
};

struct Program {
    std::vector<Group> groups;
    std::vector<RoleProgram> roles;
    std::size_t role_of(Rank rank) const;  // index into roles
};

// Number of instructions of one step of a role, bodies counted as often as scheduled.
std::int64_t unrolled_size(const RoleProgram& role);

// Stable text of a role: buffers, bodies, schedule (tests/golden/*.program).
std::string to_text(const Program& program);

}  // namespace shardscope
