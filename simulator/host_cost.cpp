#include "simulator/host_cost.h"

#include <algorithm>
#include <array>
#include <vector>

namespace shardscope {
namespace {

bool is_in_graph(const Instruction& instruction) {
    if (const auto* compute = std::get_if<Compute>(&instruction.operation))
        return !std::holds_alternative<LoadBatch>(compute->kernel) &&
               instruction.stream != Stream::host;
    return std::holds_alternative<Collective>(instruction.operation) &&
           instruction.stream == Stream::compute;
}

}  // namespace

std::int64_t graphs_of(const Body& body) {
    std::array<bool, kStreams> open{};
    std::int64_t graphs = 0;
    for (const Instruction& instruction : body.instructions) {
        bool& mine = open[static_cast<std::size_t>(instruction.stream)];
        const bool inside = is_in_graph(instruction);
        graphs += inside && !mine;
        mine = inside;
    }
    return graphs;
}

Seconds issue_cost(const Program& program, const Device& device) {
    if (device.graph_host_cost.value <= 0) return device.host_cost;
    Seconds longest, per_instruction;
    for (const RoleProgram& role : program.roles) {
        std::vector<Seconds> of_body;
        for (const Body& body : role.bodies) {
            const auto between = std::ranges::count_if(
                body.instructions, [](const Instruction& i) { return !is_in_graph(i); });
            of_body.push_back(device.graph_host_cost * static_cast<double>(graphs_of(body)) +
                              device.host_cost * static_cast<double>(between));
        }
        Seconds step;
        for (const Task& task : role.schedule) step += of_body[task.body.index()];
        const auto instructions = static_cast<double>(unrolled_size(role));
        if (step < longest || instructions == 0) continue;
        longest = step;
        per_instruction = step / instructions;
    }
    return per_instruction;
}

}  // namespace shardscope
