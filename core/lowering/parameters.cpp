#include "core/lowering/parameters.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/lowering/optimizer_rules.h"

namespace shardscope {

ParameterBuffers::ParameterBuffers(LoweringContext& context)
    : context_(context),
      value_(context.units.size()),
      gradient_(context.units.size()),
      ready_(context.units.size()),
      fresh_(context.model.parameters.size()) {
    auto& b = context.builder;
    for (const Unit& unit : context.units) {
        const auto persistent = [&](const char* what, std::int64_t elements, DType type,
                                    Category category, Tier tier = Tier::device) {
            return b.buffer(std::string(what) + " " + unit.name, elements, type, category,
                            Residence::persistent, tier);
        };
        const Tier states_in = tier_of(context.strategy.offload.optimizer);
        const int zero = context.zero_of(unit);
        UnitBuffers u;
        u.value = persistent(
            "parameters", zero >= 3 ? unit.shard : unit.padded, context.stored(unit),
            Category::parameters,
            context.fetches(unit) ? tier_of(context.strategy.offload.parameters) : Tier::device);
        if (!context.keeps_gradients_on_host(unit))
            u.gradient = persistent("gradients", zero >= 2 ? unit.shard : unit.padded,
                                    context.gradient, Category::gradients);
        if (context.steps_on_host())
            u.stepped = persistent(u.gradient.valid() ? "own gradients" : "gradients", unit.shard,
                                   context.gradient, Category::gradients, Tier::host);
        if (context.steps_on_host() && context.rules.widens_gradients)
            u.wide = persistent("wide gradients", unit.shard, context.state, Category::gradients,
                                Tier::host);
        if (context.layout.secondary > 1 && context.gathers(unit))
            u.secondary = persistent("secondary", unit.padded / context.layout.secondary,
                                     context.storage, Category::parameters);
        if (context.rules.keeps_narrow_gradients)
            persistent("narrow gradients", unit.padded, context.storage, Category::gradients);
        if (context.keeps_master(unit))
            u.master = persistent("master", unit.shard, context.state, Category::optimizer_states,
                                  states_in);
        add_states(unit, u, states_in);
        buffers_.push_back(u);
    }
    if (context.rules.placeholder_gradients) add_placeholders();
    if (context.rules.gathers_stage_once) add_pools();
}

// FSDP gathers a unit into a buffer that is copied out into its parameters and there until the next one is; the
// parts of gradients that the optimizer steps are written beside the whole ones. Both are allocated on streams of
// their own, whose memory no other stream gets once they are free.
void ParameterBuffers::add_pools() {
    std::int64_t largest = 0, parts = 0;
    for (const Unit& unit : context_.units) {
        if (!context_.is_sharded(unit)) continue;
        largest = std::max(largest, unit.padded);
        parts += unit.shard;
    }
    const auto pool = [&](const char* name, std::int64_t elements, DType type, Category category) {
        context_.builder.buffer(name, elements, type, category, Residence::persistent);
    };
    pool("all-gather outputs", 2 * largest, context_.storage, Category::communication);
    pool("sharded gradients", parts, context_.gradient, Category::gradients);
}

void ParameterBuffers::add_states(const Unit& unit, UnitBuffers& buffers, Tier tier) {
    const bool narrow = unit.optimizer == OptimizerKind::adam_8bit;
    const auto state = [&](const char* what, std::int64_t elements, DType type) {
        return context_.builder.buffer(std::string(what) + " " + unit.name, elements, type,
                                       Category::optimizer_states, Residence::persistent, tier);
    };
    const int states = stepping(context_.training.optimizer, unit).states();
    const DType type = narrow ? DType::int8 : context_.state;
    if (states >= 1) buffers.state1 = state("state1", unit.shard, type);
    if (states >= 2) buffers.state2 = state("state2", unit.shard, type);
    if (narrow) {
        const bool sharded = context_.is_sharded(unit);
        buffers.blocks = quantised_blocks(context_.model, unit, sharded);
        buffers.statistics = state("scales", 2 * buffers.blocks, DType::fp32);
    } else if (unit.optimizer == OptimizerKind::adafactor) {
        buffers.statistics =
            state("statistics", factored_statistics(context_.model, unit), DType::fp32);
    }
}

BufferId ParameterBuffers::host_norm() {
    if (!host_norm_.valid())
        host_norm_ =
            context_.builder.buffer("gradient norm on the host", 1, DType::fp64,
                                    Category::workspace, Residence::persistent, Tier::host);
    return host_norm_;
}

void ParameterBuffers::add_placeholders() {
    std::set<std::pair<std::int64_t, std::int64_t>> shapes;
    for (const LayerRange& chunk : context_.chunks)
        for (std::size_t l = chunk.first; l < chunk.last; ++l)
            if (const auto* block = std::get_if<BlockLayer>(&context_.model.layers[l].kind))
                for (const LinearParameters* linear :
                     {&block->qkv, &block->projection, &block->up, &block->down,
                      &block->latent.query_down, &block->latent.query_up, &block->latent.kv_down,
                      &block->latent.key_rope, &block->latent.kv_up, &block->experts.up,
                      &block->experts.down})
                    shapes.emplace(linear->out, linear->in);
    for (const auto& [out, in] : shapes)
        context_.builder.buffer(fmt::format("placeholder gradients {} × {}", out, in), out * in,
                                context_.storage, Category::gradients, Residence::persistent);
}

void ParameterBuffers::begin_body(MicroBatchKind kind) {
    for (std::size_t u = 0; u < buffers_.size(); ++u) {
        const bool gathered = context_.gathers(context_.units[u]);
        value_[u] = gathered ? BufferId() : buffers_[u].value;
        ready_[u].clear();
        gradient_[u] = buffers_[u].gradient;
    }
    fresh_.assign(fresh_.size(), kind.first);
}

void ParameterBuffers::set_gradient(UnitId u, BufferId buffer) {
    gradient_[u.index()] = buffer;
    for (const auto& entry : context_.units[u.index()].entries)
        fresh_[entry.parameter.index()] = true;
}

Operand ParameterBuffers::value(ParameterId p) {
    if (!p.valid()) return {};
    const Place& place = context_.places[p.index()];
    for (const EventId event : std::exchange(ready_[place.unit.index()], {}))
        context_.builder.wait(Stream::compute, event);
    return {value_[place.unit.index()], place.offset * size_of(context_.storage), 0};
}

ParameterBuffers::Target ParameterBuffers::gradient(ParameterId p) {
    if (!p.valid()) return {};
    const Place& place = context_.places[p.index()];
    const bool accumulate = !fresh_[p.index()];
    fresh_[p.index()] = false;
    return {{gradient_[place.unit.index()], place.offset * size_of(context_.written()), 0},
            accumulate};
}

}  // namespace shardscope
