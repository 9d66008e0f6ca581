#include "core/lowering/unit_step.h"

#include <algorithm>

#include "core/lowering/optimizer_rules.h"

namespace shardscope {
namespace {

class Step {
public:
    Step(LoweringContext& context, const ParameterBuffers& parameters, UnitId id,
         const StepInputs& inputs)
        : context_(context),
          unit_(context.units[id.index()]),
          buffers_(parameters.unit(id)),
          spec_(stepping(context.training.optimizer, unit_)),
          norm_{inputs.norm, 0, 0},
          stored_(context.stored(unit_)),
          gradient_(inputs.wide.valid() ? context.state : context.gradient),
          gradients_(inputs.wide.valid() ? Operand{inputs.wide, 0, 0}
                                         : own_share(context, buffers_.gradient, unit_,
                                                     kGradientsSharded, context.gradient)),
          weight_(own_share(context, buffers_.value, unit_, kParametersSharded, stored_)),
          clip_(context.training.clip),
          master_(context.keeps_master(unit_)) {}

    void element_by_element() {
        compute(OptimizerStep{unit_.shard, spec_, clip_, master_, buffers_.blocks},
                {gradients_,
                 norm_,
                 weight_,
                 {buffers_.master, 0, 0},
                 {buffers_.state1, 0, 0},
                 {buffers_.state2, 0, 0},
                 {buffers_.statistics, 0, 0}});
    }

    void factored() {
        auto& b = context_.builder;
        const std::int64_t statistics = factored_statistics(context_.model, unit_);
        const std::int64_t tensors = std::ssize(unit_.entries);
        const Operand kept{buffers_.statistics, 0, 0};
        const Operand sums{b.buffer("sums " + unit_.name, statistics, DType::fp32, temporary()), 0,
                           0};
        const Operand norms{b.buffer("norms " + unit_.name, 2 * tensors, DType::fp32, temporary()),
                            0, 0};
        compute(FactoredSquares{unit_.shard, statistics, clip_}, {gradients_, norm_, sums});
        add_up(sums, statistics);
        compute(FactoredNorms{unit_.shard, statistics, tensors, clip_, master_},
                {gradients_, norm_, master_ ? Operand{buffers_.master, 0, 0} : weight_, sums, kept,
                 norms});
        add_up(norms, 2 * tensors);
        compute(FactoredStep{unit_.shard, statistics, tensors, spec_, clip_, master_},
                {gradients_,
                 norm_,
                 weight_,
                 {buffers_.master, 0, 0},
                 kept,
                 norms,
                 {buffers_.state1, 0, 0}});
    }

    void orthogonal() {
        auto& b = context_.builder;
        const BufferId update =
            b.buffer("update " + unit_.name, unit_.padded, DType::bf16, temporary());
        const Operand mine = own_share(context_, update, unit_, kNeverSharded, DType::bf16);
        compute(MuonMomentum{unit_.shard, spec_, clip_},
                {gradients_, norm_, {buffers_.state1, 0, 0}, mine});
        if (is_divided()) gather(update, mine);
        std::int64_t workspace = 0;
        for (const Unit::Entry& entry : unit_.entries)
            workspace = std::max(workspace, kernel_of(entry).workspace());
        const BufferId scratch = b.buffer("orthogonalisation of " + unit_.name, workspace,
                                          DType::bf16, Category::workspace);
        for (const Unit::Entry& entry : unit_.entries)
            b.compute(kernel_of(entry), stored_, gradient_,
                      {{update, entry.offset * size_of(DType::bf16), 0}, {scratch, 0, 0}},
                      MathType::bf16);
        compute(MuonStep{unit_.shard, spec_, master_}, {mine, weight_, {buffers_.master, 0, 0}});
    }

private:
    bool is_divided() const { return context_.is_sharded(unit_); }
    Category temporary() const {
        return is_divided() ? Category::communication : Category::workspace;
    }
    void compute(const Kernel& kernel, std::initializer_list<Operand> operands) {
        context_.builder.compute(kernel, stored_, gradient_, operands);
    }
    Orthogonalise kernel_of(const Unit::Entry& entry) const {
        const MatrixShape m = matrix_of(context_.model.parameters[entry.parameter.index()]);
        return {m.count, m.rows, m.cols};
    }

    void add_up(const Operand& sums, std::int64_t elements) {
        if (!is_divided()) return;
        Collective c;
        c.elements = elements;
        c.dtype = DType::fp32;
        c.recv = sums;
        collective(Stream::reduce, c);
    }
    void gather(BufferId whole, const Operand& mine) {
        Collective c;
        c.kind = CollectiveKind::all_gather;
        c.elements = unit_.padded;
        c.dtype = DType::bf16;
        c.send = mine;
        c.recv = {whole, 0, 0};
        collective(Stream::gather, c);
    }
    void collective(Stream stream, Collective& c) {
        auto& b = context_.builder;
        c.group = unit_.group;
        b.wait(stream, b.record(Stream::compute));
        b.collective(stream, c);
        b.wait(Stream::compute, b.record(stream));
    }

    LoweringContext& context_;
    const Unit& unit_;
    const UnitBuffers& buffers_;
    OptimizerSpec spec_;
    Operand norm_;
    DType stored_, gradient_;
    Operand gradients_, weight_;
    double clip_;
    bool master_;
};

}  // namespace

Operand own_share(const LoweringContext& context, BufferId buffer, const Unit& unit, int sharded,
                  DType type) {
    const bool whole = context.is_sharded(unit) && context.zero_of(unit) < sharded;
    return {buffer, 0, whole ? unit.shard * size_of(type) : 0, unit.group};
}

void lower_step(LoweringContext& context, const ParameterBuffers& parameters, UnitId id,
                const StepInputs& inputs) {
    Step step(context, parameters, id, inputs);
    switch (context.units[id.index()].optimizer) {
        case OptimizerKind::adafactor:
            return step.factored();
        case OptimizerKind::muon:
            return step.orthogonal();
        default:
            return step.element_by_element();
    }
}

}  // namespace shardscope
