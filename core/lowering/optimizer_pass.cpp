#include "core/lowering/optimizer_pass.h"

namespace shardscope {
namespace {

// Where this rank's share of a unit lies in a buffer that holds the whole unit or only the share.
Operand own(const Context& context, BufferId buffer, const Unit& unit, bool whole, DType type) {
    return {buffer, 0, whole && context.zero >= 1 ? unit.shard * size_of(type) : 0};
}

BufferId lower_norm(Context& context, ParameterBuffers& parameters) {
    auto& b = context.builder;
    const BufferId norm =
        b.buffer("gradient norm", 1, DType::fp64, Category::workspace, Residence::persistent);
    for (std::size_t u = 0; u < context.units.size(); ++u) {
        const Unit& unit = context.units[u];
        b.compute(SumSquares{unit.shard, u > 0}, context.gradient, context.gradient,
                  {own(context, parameters.unit(UnitId(u)).gradient, unit, context.zero < 2,
                       context.gradient),
                   {norm, 0, 0}});
    }
    if (context.zero >= 1) {
        // Stage 0 holds all reduced gradients on every rank: its sum is already complete.
        b.wait(Stream::reduce, b.record(Stream::compute));
        Collective c;
        c.group = context.dp;
        c.elements = 1;
        c.dtype = DType::fp64;
        c.recv = {norm, 0, 0};
        b.collective(Stream::reduce, c);
        b.wait(Stream::compute, b.record(Stream::reduce));
    }
    return norm;
}

void lower_update(Context& context, ParameterBuffers& parameters, UnitId id, BufferId norm) {
    const Unit& unit = context.units[id.index()];
    const UnitBuffers& buffers = parameters.unit(id);
    const auto& training = context.training;
    context.builder.compute(
        OptimizerStep{unit.shard, training.optimizer, training.clip, context.master()},
        context.storage, context.gradient,
        {own(context, buffers.gradient, unit, context.zero < 2, context.gradient),
         {norm, 0, 0},
         own(context, buffers.value, unit, context.zero < 3, context.storage),
         {buffers.master, 0, 0},
         {buffers.state1, 0, 0},
         {buffers.state2, 0, 0}});
}

void lower_gather(Context& context, ParameterBuffers& parameters, UnitId id) {
    auto& b = context.builder;
    const Unit& unit = context.units[id.index()];
    const BufferId value = parameters.unit(id).value;
    b.wait(Stream::gather, b.record(Stream::compute));
    Collective c;
    c.kind = CollectiveKind::all_gather;
    c.group = context.dp;
    c.elements = unit.padded;
    c.dtype = context.storage;
    c.send = {value, 0, unit.shard * size_of(context.storage)};
    c.recv = {value, 0, 0};
    b.collective(Stream::gather, c);
}

}  // namespace

BodyId lower_optimizer(Context& context, ParameterBuffers& parameters, BufferId loss) {
    auto& b = context.builder;
    const BodyId body = b.begin_body("optimizer");
    b.at(Phase::optimizer, -1);
    const BufferId norm = context.training.clip > 0 ? lower_norm(context, parameters) : BufferId();
    const bool gathers = context.zero == 1 || context.zero == 2;
    for (std::size_t u = 0; u < context.units.size(); ++u) {
        lower_update(context, parameters, UnitId(u), norm);
        if (gathers) lower_gather(context, parameters, UnitId(u));
    }
    if (gathers) b.wait(Stream::compute, b.record(Stream::gather));
    b.copy_to_host(CopyToHost::What::loss, {loss, 0, 0});
    if (norm.valid()) b.copy_to_host(CopyToHost::What::gradient_norm, {norm, 0, 0});
    b.compute(Zero{1}, DType::fp64, DType::fp64, {{loss, 0, 0}});
    return body;
}

}  // namespace shardscope
