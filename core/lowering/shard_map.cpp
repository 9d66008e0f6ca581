#include <algorithm>
#include <string_view>

#include "core/lowering/plan.h"

namespace shardscope {
namespace {

using Tensor = ShardSlice::Tensor;

// A persistent buffer of a unit is recognised by the name ParameterBuffers gave it.
BufferId find_buffer(const RoleProgram& role, std::string_view what, const Unit& unit) {
    const std::string name = std::string(what) + " " + unit.name;
    for (std::size_t i = 0; i < role.buffers.size(); ++i)
        if (role.buffers[i].residence == Residence::persistent && role.buffers[i].name == name)
            return BufferId(i);
    return {};
}

// Adds the slices of every parameter of the unit that lie in unit elements [first, first + count),
// of which element `first` is the buffer's element `buffer_first`.
void add_slices(std::vector<ShardSlice>& out, const Model& model, const Unit& unit, Tensor tensor,
                BufferId buffer, std::int64_t first, std::int64_t count,
                std::int64_t buffer_first) {
    if (!buffer.valid()) return;
    for (const auto& entry : unit.entries) {
        const std::int64_t begin = std::max(first, entry.offset);
        const std::int64_t end = std::min(
            first + count, entry.offset + model.parameters[entry.parameter.index()].elements());
        if (begin >= end) continue;
        out.push_back({entry.parameter, tensor, begin - entry.offset, end - begin, buffer,
                       begin - first + buffer_first});
    }
}

}  // namespace

std::vector<ShardSlice> shard_map(const Plan& plan, Rank rank) {
    const RoleProgram& role = plan.program.roles[plan.program.role_of(rank)];
    const int index = plan.program.groups[0].index_of(rank);
    const int zero = plan.layout.dp > 1 ? plan.strategy.zero : 0;
    std::vector<ShardSlice> slices;
    for (const Unit& unit : plan.units[plan.program.role_of(rank)]) {
        const std::int64_t first = zero >= 1 ? unit.shard * index : 0;
        const auto add = [&](Tensor tensor, std::string_view what, int whole_below) {
            const BufferId buffer = find_buffer(role, what, unit);
            if (zero < whole_below)
                add_slices(slices, *plan.model, unit, tensor, buffer, 0, unit.padded, 0);
            else
                add_slices(slices, *plan.model, unit, tensor, buffer, first, unit.shard, 0);
        };
        add(Tensor::parameter, "parameters", 3);
        if (zero == 1)  // the buffer holds all gradients, but only the own slice is reduced
            add_slices(slices, *plan.model, unit, Tensor::gradient,
                       find_buffer(role, "gradients", unit), first, unit.shard, first);
        else
            add(Tensor::gradient, "gradients", 2);
        add(Tensor::master, "master", 1);
        add(Tensor::state1, "state1", 1);
        add(Tensor::state2, "state2", 1);
    }
    return slices;
}

}  // namespace shardscope
