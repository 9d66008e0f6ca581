#include "core/lowering/optimizer_pass.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/lowering/gather.h"
#include "core/lowering/host_optimizer.h"
#include "core/lowering/unit_step.h"

namespace shardscope {
namespace {

// The first and the last stage add each other's gradient of a tied embedding to their own: both end
// with the same bits, since a + b = b + a. Ranks of equal index own the same shard on both.
void lower_tied(LoweringContext& context, ParameterBuffers& parameters, UnitId id) {
    auto& b = context.builder;
    const Unit& unit = context.units[id.index()];
    const BufferId other = b.buffer("gradients of the other stage: " + unit.name, unit.shard,
                                    context.gradient, Category::communication);
    const Operand mine =
        own_share(context, parameters.unit(id).gradient, unit, kGradientsSharded, context.gradient);
    Exchange::Transfer send;
    send.group = context.pp;
    send.peer = context.stage == 0 ? context.layout.pp - 1 : 0;
    send.send = true;
    send.elements = unit.shard;
    send.dtype = context.gradient;
    send.operand = mine;
    Exchange::Transfer receive = send;
    receive.send = false;
    receive.operand = {other, 0, 0};
    // Where the stage's other gradients leave and come in, so that what it has sent to a peer, and what
    // it receives from it, stays in one order even where both stages send gradients to each other.
    for (const auto& [stream, transfer] :
         {std::pair{Stream::gradients_out, send}, {Stream::gradients_in, receive}}) {
        b.wait(stream, b.record(Stream::compute));
        b.exchange(stream, {{transfer}});
    }
    for (const Stream stream : {Stream::gradients_out, Stream::gradients_in})
        b.wait(Stream::compute, b.record(stream));
    b.compute(Add{unit.shard}, context.gradient, context.gradient, {mine, {other, 0, 0}});
}

// Adds the squares of what this rank owns, such that the sum over all ranks that the norm is then
// summed over counts every element once.
class NormSum {
public:
    // `norm` lies where the optimizer steps.
    NormSum(LoweringContext& context, ParameterBuffers& parameters, BufferId norm)
        : context_(context), parameters_(parameters), norm_(norm) {}

    void run() {
        for (std::size_t u = 0; u < context_.units.size(); ++u) add(UnitId(u));
        if (!started_) compute(Zero{1}, DType::fp64, {{norm_, 0, 0}});
    }

private:
    void add(UnitId id) {
        const Unit& unit = context_.units[id.index()];
        if (unit.tied && context_.stage != 0) return;
        SumSquares k{unit.shard};
        k.weight = weight(unit);
        if (unit.shared.empty()) return emit(id, k);
        k.sharded = context_.is_sharded(unit);
        std::int64_t end = 0;
        const auto range = [&](std::int64_t first, std::int64_t last, int ranks) {
            if (first == last) return;
            k.first = first;
            k.last = last;
            k.weight = weight(unit) / ranks;
            emit(id, k);
        };
        for (const Unit::Shared& shared : unit.shared) {
            range(end, shared.first, 1);
            range(shared.first, shared.last, shared.ranks);
            end = shared.last;
        }
        range(end, unit.elements, 1);
    }

    // Without sharding the sum goes over the ranks that share experts, each of which has the whole of
    // everything else; or, where tensor-parallel ranks are among those, over all ranks of the stage.
    double weight(const Unit& unit) const {
        if (context_.zero > 0) return 1.0;
        if (context_.layout.etp < context_.layout.tp) return 1.0 / unit.ranks;
        const bool everywhere = unit.ranks == context_.layout.shards;
        return everywhere ? 1.0 / context_.layout.ep : 1.0;
    }

    void emit(UnitId id, SumSquares kernel) {
        kernel.accumulate = started_;
        started_ = true;
        const Unit& unit = context_.units[id.index()];
        const UnitBuffers& buffers = parameters_.unit(id);
        const Operand gradient =
            context_.steps_on_host()
                ? Operand{buffers.stepped, 0, 0}
                : own_share(context_, buffers.gradient, unit, kGradientsSharded, context_.gradient);
        compute(kernel, context_.gradient, {gradient, {norm_, 0, 0}});
    }

    void compute(const Kernel& kernel, DType type, std::initializer_list<Operand> operands) {
        if (context_.steps_on_host())
            context_.builder.compute_on(Stream::host, kernel, type, type, operands);
        else
            context_.builder.compute(kernel, type, type, operands);
    }

    LoweringContext& context_;
    ParameterBuffers& parameters_;
    BufferId norm_;
    bool started_ = false;
};

BufferId lower_norm(LoweringContext& context, ParameterBuffers& parameters) {
    auto& b = context.builder;
    const BufferId norm =
        b.buffer("gradient norm", 1, DType::fp64, Category::workspace, Residence::persistent);
    const BufferId on_host = context.steps_on_host() ? parameters.host_norm() : BufferId();
    NormSum(context, parameters, on_host.valid() ? on_host : norm).run();
    if (on_host.valid())
        b.wait(Stream::compute,
               b.move(b.record(Stream::host), {on_host, 0, 0}, {norm, 0, 0}, 1, DType::fp64));
    // Without sharding all data-parallel ranks have the whole sum already, but for their experts.
    const bool everywhere = context.zero >= 1 || context.layout.etp < context.layout.tp;
    const GroupId dp = everywhere ? context.dp : context.ep;
    if (!dp.valid() && !context.tp.valid() && !context.pp.valid()) return norm;
    // Between stages on a stream of theirs: who waits there waits for another stage.
    for (const GroupId group : {dp, context.tp, context.pp}) {
        if (!group.valid()) continue;
        const Stream stream = group == context.pp ? Stream::gradients_out : Stream::reduce;
        b.wait(stream, b.record(Stream::compute));
        Collective c;
        c.group = group;
        c.elements = 1;
        c.dtype = DType::fp64;
        c.recv = {norm, 0, 0};
        b.collective(stream, c);
        b.wait(Stream::compute, b.record(stream));
    }
    return norm;
}

// The gradients that this rank steps with, wider where a product makes them so: per unit the copy, or
// nothing.
std::vector<BufferId> widened_gradients(LoweringContext& context, ParameterBuffers& parameters) {
    auto& b = context.builder;
    std::vector<BufferId> wide(context.units.size());
    if (!context.rules.widens_gradients || context.steps_on_host()) return wide;
    for (std::size_t u = 0; u < context.units.size(); ++u) {
        const Unit& unit = context.units[u];
        Operand from = own_share(context, parameters.unit(UnitId(u)).gradient, unit,
                                 kGradientsSharded, context.gradient);
        if (context.rules.flattens_gradients) {
            const BufferId flat = b.buffer("flat gradients " + unit.name, unit.shard,
                                           context.gradient, Category::gradients);
            b.compute(Copy{unit.shard}, context.gradient, context.gradient, {from, {flat, 0, 0}});
            from = {flat, 0, 0};
        }
        wide[u] =
            b.buffer("wide gradients " + unit.name, unit.shard, context.state, Category::gradients);
        b.compute(Copy{unit.shard}, context.state, context.state, {from, {wide[u], 0, 0}});
    }
    return wide;
}

}  // namespace

BodyId lower_optimizer(LoweringContext& context, ParameterBuffers& parameters, BufferId loss) {
    auto& b = context.builder;
    const BodyId body = b.begin_body("optimizer", -1);
    b.at(Phase::optimizer, -1);
    for (std::size_t u = 0; u < context.units.size(); ++u)
        if (context.units[u].tied) lower_tied(context, parameters, UnitId(u));
    std::optional<HostOptimizer> host;
    if (context.steps_on_host()) host.emplace(context, parameters);
    const BufferId norm = context.training.clip > 0 ? lower_norm(context, parameters) : BufferId();
    if (host && norm.valid()) host->take_norm(norm);
    const auto gathers = [&](const Unit& unit) {
        const int zero = context.zero_of(unit);
        return (zero == 1 || zero == 2) && unit.ranks > 1 && !context.strategy.overlap_gather;
    };
    const std::vector<BufferId> wide = widened_gradients(context, parameters);
    for (std::size_t u = 0; u < context.units.size(); ++u) {
        EventId updated;  // the rank's own part is there; invalid: the compute stream has made it
        if (host)
            updated = host->step(UnitId(u));
        else
            lower_step(context, parameters, UnitId(u), {norm, wide[u]});
        if (gathers(context.units[u])) {
            b.wait(Stream::gather, updated.valid() ? updated : b.record(Stream::compute));
            gather_updated(context, parameters, UnitId(u));
        }
    }
    if (host) host->finish();
    if (std::ranges::any_of(context.units, gathers))
        b.wait(Stream::compute, b.record(Stream::gather));
    if (loss.valid()) b.copy_to_host(CopyToHost::What::loss, {loss, 0, 0});
    if (norm.valid()) b.copy_to_host(CopyToHost::What::gradient_norm, {norm, 0, 0});
    if (loss.valid()) b.compute(Zero{1}, DType::fp64, DType::fp64, {{loss, 0, 0}});
    return body;
}

}  // namespace shardscope
