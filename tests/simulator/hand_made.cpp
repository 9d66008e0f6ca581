#include "tests/simulator/hand_made.h"

#include <algorithm>
#include <cmath>

#include "simulator/event_engine.h"

namespace shardscope::test {
namespace {

constexpr double kElementsPerSecond = 1e9;

RoleProgram role_of(const std::string& name, const BodyText& text) {
    RoleProgram role;
    role.name = name;
    role.bodies = {text.body};
    role.events = 16;
    return role;
}

}  // namespace

std::int64_t elements_taking(double seconds) { return std::llround(seconds * kElementsPerSecond); }

Cluster round_cluster(DeviceKind kind) {
    Cluster cluster;
    cluster.name = "round";
    cluster.device.name = "round device";
    cluster.device.kind = kind;
    cluster.device.memory_bandwidth = BytesPerSecond(4 * kElementsPerSecond);
    cluster.device.peak[MathType::fp32] = FlopsPerSecond(1e12);
    cluster.gpus_per_node = 8;
    cluster.intra_node.bandwidth = BytesPerSecond(4 * kElementsPerSecond);
    cluster.inter_node.bandwidth = BytesPerSecond(4 * kElementsPerSecond);
    return cluster;
}

BodyText& BodyText::add(Operation operation, Stream stream, Phase phase) {
    Instruction instruction;
    instruction.operation = std::move(operation);
    instruction.stream = stream;
    instruction.phase = phase;
    body.instructions.push_back(std::move(instruction));
    return *this;
}

BodyText& BodyText::kernel(double seconds, Phase phase, Stream stream) {
    Compute compute;
    compute.kernel = Zero{elements_taking(seconds)};
    return add(compute, stream, phase);
}

BodyText& BodyText::all_reduce(double seconds, Stream stream, GroupId group) {
    Collective collective;
    collective.group = group;
    collective.elements = elements_taking(seconds);
    return add(collective, stream, Phase::backward);
}

BodyText& BodyText::gather_lists(double seconds, int lists, Stream stream) {
    Collective collective;
    collective.kind = CollectiveKind::all_gather;
    collective.group = GroupId(0);
    // Half of what an all-reduce of two sends.
    collective.elements = 2 * lists * elements_taking(seconds);
    collective.lists = true;
    collective.calls = std::max(1, lists);
    return add(collective, stream, Phase::forward);
}

BodyText& BodyText::record(int event, Stream stream) {
    return add(RecordEvent{EventId(event)}, stream, Phase::forward);
}

BodyText& BodyText::wait(int event, Stream stream, bool host) {
    return add(WaitEvent{EventId(event), host}, stream, Phase::forward);
}

BodyText& BodyText::copy_to_host(Stream stream) {
    return add(CopyToHost{}, stream, Phase::optimizer);
}

BodyText& BodyText::exchange(std::vector<Exchange::Transfer> transfers, Stream stream) {
    return add(Exchange{std::move(transfers)}, stream, Phase::forward);
}

Program one_role(const BodyText& body, int ranks, int times) {
    Program program;
    program.groups.push_back({"dp", ranks, 1});
    RoleProgram role = role_of("all ranks", body);
    for (int rank = 0; rank < ranks; ++rank) role.ranks.push_back(Rank(rank));
    for (int i = 0; i < times; ++i) role.schedule.push_back({BodyId(0), i});
    program.roles.push_back(role);
    return program;
}

Program one_rank_each(const std::vector<BodyText>& bodies) {
    Program program;
    program.groups.push_back({"pp", static_cast<int>(bodies.size()), 1});
    for (std::size_t rank = 0; rank < bodies.size(); ++rank) {
        RoleProgram role = role_of("stage " + std::to_string(rank), bodies[rank]);
        role.ranks = {Rank(rank)};
        role.schedule = {{BodyId(0), 0}};
        program.roles.push_back(role);
    }
    return program;
}

double step_seconds(const Program& program, const Cluster& cluster) {
    return simulate_step(program, cluster).front().time.wall.value;
}

}  // namespace shardscope::test
