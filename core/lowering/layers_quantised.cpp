// Operands of multiplies as tensors in 8 or 4 bits, as Transformer Engine has them: each linear layer casts its input
// and its output's gradient by a kernel, and weights as often as the product does.
//
// Which copies there are, and how long, is that of module/linear.py, layernorm_linear.py, grouped_linear.py and
// base.py (grad_output_preprocess, quantize_weight): the copy along rows is for the forward pass, the one along
// columns is what a block keeps of its input. With sequence parallelism ranks cast their own rows, which are gathered
// as they are, kept, and gathered again.
#include "core/lowering/layers.h"

namespace shardscope {

std::int64_t LayerLowering::cast_bytes(std::int64_t elements) const {
    return QuantiseOperand{elements, format_.block, format_.bits}.bytes();
}

BufferId LayerLowering::copy_of(BufferId x, Along layout) {
    if (!format_.two_layouts) layout = Along::rows;
    BufferId& copy = copies_[x][static_cast<std::size_t>(layout)];
    if (!copy.valid()) {
        auto& b = context_.builder;
        const Buffer of = b.role.buffers[x.index()];
        copy = b.buffer(of.name + (layout == Along::rows ? " (cast)" : " (cast, columns)"),
                        cast_bytes(of.elements), DType::int8, of.category);
    }
    return copy;
}

void LayerLowering::cast(BufferId x, bool rows, bool columns) {
    const auto make = [&](bool wanted, Along layout) {
        if (!wanted) return BufferId();
        const BufferId copy = copy_of(x, layout);
        return cast_.insert(copy).second ? copy : BufferId();
    };
    const BufferId along = make(rows, Along::rows), across = make(columns, Along::columns);
    if (!along.valid() && !across.valid()) return;
    emit(QuantiseOperand{context_.builder.role.buffers[x.index()].elements, format_.block,
                         format_.bits, along.valid(), across.valid()},
         {start_of(x), start_of(along), start_of(across)});
}

void LayerLowering::keep_original(BufferId x) {
    if (keeps_originals()) originals_.insert(x);
}

void LayerLowering::cast_original(BufferId x) {
    if (keeps_original(x)) cast(x, false, true);
}

BufferId LayerLowering::multiplied(BufferId x) {
    if (!casts_operands() || type_of(x) == DType::int8) return x;
    // A forward pass that is done again keeps nothing.
    const bool keeps = backward_ || !recomputed_[layer_];
    cast(x, true, keeps && !keeps_original(x));
    return copy_of(x, Along::rows);
}

BufferId LayerLowering::multiplied_along_columns(BufferId x) {
    if (!casts_operands()) return x;
    if (type_of(x) != DType::int8) return copy_of(x, Along::columns);
    if (const auto found = gathered_columns_.find(x); found != gathered_columns_.end())
        return found->second;
    BufferId& transposed = transposed_[x];
    auto& b = context_.builder;
    const Buffer of = b.role.buffers[x.index()];
    if (!transposed.valid())
        transposed =
            b.buffer(of.name + " (transposed)", of.elements, DType::int8, Category::workspace);
    if (cast_.insert(transposed).second) {
        await(x);
        b.compute(Copy{of.elements}, DType::int8, DType::int8, {start_of(x), start_of(transposed)});
    }
    return transposed;
}

BufferId LayerLowering::gradient_along_columns(BufferId dy) {
    if (casts_operands() && type_of(dy) != DType::int8) cast(dy, true, true);
    return multiplied_along_columns(dy);
}

Operand LayerLowering::weight(const LinearParameters& p, Along layout, std::int64_t experts) {
    if (!casts_operands()) return parameters_.value(p.weight);
    const bool stays = context_.rules.keeps_cast_weights;
    const bool again = !stays && backward_ && recomputed_[layer_];
    if (!format_.two_layouts) layout = Along::rows;
    auto& b = context_.builder;
    Copies& copies = weight_copies_[{p.weight, again}];
    const QuantiseOperand kernel{experts * p.in * p.out, format_.block, format_.bits};
    const auto copy = [&](Along wanted) {
        BufferId& buffer = copies[static_cast<std::size_t>(wanted)];
        if (!buffer.valid())
            buffer = b.buffer(context_.model.parameters[p.weight.index()].name +
                                  (wanted == Along::rows ? " (cast)" : " (cast, columns)") +
                                  (again ? " (again)" : ""),
                              kernel.bytes(), DType::int8,
                              stays ? Category::parameters : Category::activations,
                              stays ? Residence::persistent : Residence::transient);
        return buffer;
    };
    const bool forward = !backward_ || recomputing_;
    if (forward && casts_weights_ && !(stays && backward_) &&
        cast_.insert(copy(Along::rows)).second) {
        // The copy for input gradients is made with it, unless that pass is done again and makes its own.
        const bool columns = format_.two_layouts && (stays || backward_ || !recomputed_[layer_]);
        QuantiseOperand both = kernel;
        both.columns = columns;
        emit(both, {parameters_.value(p.weight), start_of(copy(Along::rows)),
                    start_of(columns ? copy(Along::columns) : BufferId())});
    } else if (!forward && !stays) {
        parameters_.value(p.weight);  // is gathered all the same, and waited for
    }
    return start_of(copy(layout));
}

BufferId LayerLowering::all_rows_cast(std::size_t layer, const char* what, BufferId local,
                                      std::int64_t width, For reader) {
    const bool gradients = backward_ && !recomputing_;
    const bool rows = reader == For::all && part_ != BackwardPart::weight;
    const bool columns = gradients && part_ != BackwardPart::input && format_.gathers_columns;
    if (!gradients || reader == For::all)
        cast(local, true,
             format_.gathers_columns && (backward_ || !recomputed_[layer]) &&
                 !keeps_original(local));
    const BufferId whole = gathered(layer, what, width);
    const std::int64_t bytes = context_.layout.tp * cast_bytes(context_.local_rows() * width);
    if (rows || !format_.gathers_columns)
        gather_for(layer, what, copy_of(local, Along::rows), whole, bytes, reader);
    if (!format_.two_layouts) gathered_columns_[whole] = whole;
    if (!columns) return whole;
    // Of what the input gradient reads too, ranks send both.
    const BufferId across =
        rows ? named(layer, what, Variant::all_columns, bytes, DType::int8, Category::communication)
             : whole;
    gather_for(layer, what, copy_of(local, Along::columns), across, bytes, For::weight_gradient);
    gathered_columns_[whole] = across;
    return whole;
}

}  // namespace shardscope
