#include <algorithm>
#include <string_view>

#include "core/lowering/optimizer_rules.h"
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

// Unit elements [first, first + count), of which `first` is the buffer's element `buffer_first`.
struct Window {
    std::int64_t first = 0, count = 0, buffer_first = 0;
};

class SliceCollector {
public:
    SliceCollector(const Plan& plan, Rank rank)
        : plan_(plan), place_{plan.layout.tp,  plan.tensor_index(rank),
                              plan.layout.ep,  plan.expert_index(rank),
                              plan.layout.etp, plan.expert_tensor_index(rank)} {}

    // Adds the slices of every parameter of the unit that lie in the window.
    void add(const Unit& unit, Tensor tensor, BufferId buffer, const Window& window) {
        if (!buffer.valid()) return;
        for (const auto& entry : unit.entries)
            for (const ElementRun& run : runs(entry.parameter)) {
                const std::int64_t at = entry.offset + run.local_first;  // in the unit
                const std::int64_t begin = std::max(window.first, at);
                const std::int64_t end = std::min(window.first + window.count, at + run.count);
                if (begin >= end) continue;
                slices.push_back({entry.parameter, tensor, run.global_first + begin - at,
                                  end - begin, buffer, begin - window.first + window.buffer_first});
            }
    }

    std::vector<ShardSlice> slices;

private:
    std::vector<ElementRun> runs(ParameterId p) const {
        return runs_of(plan_.splits[p.index()], plan_.model->parameters[p.index()].shape, place_);
    }

    const Plan& plan_;
    SplitPlace place_;
};

// Bytes that an element of the unit's parameters takes in a checkpoint, without the optimizer's states.
std::int64_t written_element(const Plan& plan, const RoleProgram& role, const Unit& unit) {
    const BufferId parameters = find_buffer(role, "parameters", unit);
    const BufferId master = find_buffer(role, "master", unit);
    const std::int64_t stored = size_of(role.buffers[parameters.index()].dtype);
    if (!master.valid()) return stored;
    const std::int64_t full = size_of(role.buffers[master.index()].dtype);
    const bool copies = full == stored || is_fsdp(plan.strategy.profile);
    return copies ? full : stored + full;
}

}  // namespace

Bytes checkpoint_size(const Plan& plan) {
    const Model& model = *plan.model;
    std::vector<std::int64_t> written(
        model.parameters.size());  // bytes of an element; 0: not known yet
    for (std::size_t r = 0; r < plan.units.size(); ++r)
        for (const Unit& unit : plan.units[r]) {
            // Every rank that has the parameter keeps it alike.
            if (written[unit.entries.front().parameter.index()] > 0) continue;
            const std::int64_t bytes = written_element(plan, plan.program.roles[r], unit);
            for (const Unit::Entry& entry : unit.entries) written[entry.parameter.index()] = bytes;
        }
    std::int64_t sum = optimizer_state_bytes(model, plan.training);
    for (std::size_t p = 0; p < written.size(); ++p)
        sum += written[p] * model.parameters[p].elements();
    return Bytes(sum);
}

std::vector<ShardSlice> shard_map(const Plan& plan, Rank rank) {
    const std::size_t r = plan.program.role_of(rank);
    const RoleProgram& role = plan.program.roles[r];
    SliceCollector collector(plan, rank);
    for (const Unit& unit : plan.units[r]) {
        const int zero = plan.zero_of(unit);
        const std::int64_t first =
            zero >= 1 ? unit.shard * plan.program.groups[unit.group.index()].index_of(rank) : 0;
        const auto add = [&](Tensor tensor, std::string_view what, int whole_below) {
            collector.add(
                unit, tensor, find_buffer(role, what, unit),
                zero < whole_below ? Window{0, unit.padded, 0} : Window{first, unit.shard, 0});
        };
        if (plan.strategy.overlap_gather && zero >= 1)  // the others' are those of the step before
            collector.add(unit, Tensor::parameter, find_buffer(role, "parameters", unit),
                          {first, unit.shard, first});
        else
            add(Tensor::parameter, "parameters", 3);
        if (zero == 1)  // the buffer holds all gradients, but only the own slice is reduced
            collector.add(unit, Tensor::gradient, find_buffer(role, "gradients", unit),
                          {first, unit.shard, first});
        else
            add(Tensor::gradient, "gradients", 2);
        add(Tensor::master, "master", 1);
        add(Tensor::state1, "state1", 1);
        add(Tensor::state2, "state2", 1);
    }
    return std::move(collector.slices);
}

}  // namespace shardscope
