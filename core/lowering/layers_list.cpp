// The layers of layer lists: linear, activation, norm, loss.
#include "core/lowering/layers.h"

namespace shardscope {
Value LayerLowering::forward_layer(std::size_t l, const LinearLayer& layer, const Value& x) {
    if (layer.linear.parallel == TensorParallel::row) return row_parallel_layer(l, layer, x);
    const std::int64_t elements = context_.rows() * layer.linear.out;
    const BufferId y = saved(l, "output", elements);
    const BufferId pre = needs_argument(layer.activation) ? saved(l, "pre", elements) : BufferId();
    linear(layer.linear, x.buffer, y, layer.activation, pre);
    return {y, layer.linear.out, layer.activation, needs_argument(layer.activation) ? pre : y};
}

// The activation follows the sum over ranks.
Value LayerLowering::row_parallel_layer(std::size_t l, const LinearLayer& layer, const Value& x) {
    const std::int64_t elements = context_.rows() * layer.linear.out;
    const bool activated = layer.activation != Activation::none;
    const BufferId sum = saved(l, activated ? "pre" : "output", elements);
    summed_linear(l, layer.linear, x.buffer, sum, {});
    if (!activated) return {sum, layer.linear.out, Activation::none, {}};
    const BufferId y = saved(l, "output", elements);
    emit(Activate{elements, layer.activation}, {start_of(sum), start_of(y)});
    return {y, layer.linear.out, layer.activation, sum};
}

BufferId LayerLowering::backward_layer(std::size_t l, const LinearLayer& layer, BufferId dy) {
    const Value& x = inputs_[l];
    linear_weight_grad(layer.linear, x.buffer, dy);
    if (l == 0) return {};
    const std::int64_t elements = context_.rows() * layer.linear.in;
    if (layer.linear.parallel != TensorParallel::column) {
        const BufferId dx = temporary(l, "d input", elements);
        linear_input_grad(layer.linear, dy, dx, x.activation, x.aux);
        return dx;
    }
    const BufferId sum = temporary(l, "d output of the layer before", elements);
    summed_input_grad(l, "", layer.linear, dy, sum);
    return through_activation(l, "d input", x, sum);
}

Value LayerLowering::forward_layer(std::size_t l, const ActivationLayer& layer, const Value& x) {
    const std::int64_t elements = context_.rows() * layer.width;
    const BufferId y = saved(l, "output", elements);
    emit(Activate{elements, layer.activation}, {start_of(x.buffer), start_of(y)});
    return {y, layer.width, Activation::none, {}};
}

BufferId LayerLowering::backward_layer(std::size_t l, const ActivationLayer& layer, BufferId dy) {
    if (l == 0) return {};
    const std::int64_t elements = context_.rows() * layer.width;
    const BufferId dx = temporary(l, "d activation", elements);
    emit(ActivateGrad{elements, layer.activation},
         {start_of(dy), start_of(inputs_[l].buffer), start_of(dx)});
    return through_activation(l, "d input", inputs_[l], dx);
}

Value LayerLowering::forward_layer(std::size_t l, const NormLayer& layer, const Value& x) {
    const BufferId y = saved(l, "output", context_.rows() * layer.width);
    norm(layer.norm, layer.width, x.buffer, y, norm_stats(l, "stats", layer.norm));
    return {y, layer.width, Activation::none, {}};
}

BufferId LayerLowering::backward_layer(std::size_t l, const NormLayer& layer, BufferId dy) {
    const BufferId dx = temporary(l, "d norm", context_.rows() * layer.width);
    norm_grad(layer.norm, layer.width, dy, inputs_[l].buffer, norm_stats(l, "stats", layer.norm),
              {}, dx);
    return l == 0 ? BufferId() : through_activation(l, "d input", inputs_[l], dx);
}

Value LayerLowering::forward_layer(std::size_t l, const LossLayer&, const Value& x) {
    loss_of(l, x.buffer, false);
    return x;
}

BufferId LayerLowering::backward_layer(std::size_t l, const LossLayer&, BufferId) {
    // The loss kernel left the logits' gradient in place.
    return inputs_[l].buffer;
}

BufferId LayerLowering::through_activation(std::size_t l, const char* what, const Value& x,
                                           BufferId dx) {
    if (x.activation == Activation::none) return dx;
    const std::int64_t elements = context_.rows() * x.width;
    const BufferId before = temporary(l, what, elements);
    // relu' from the output is the same as from the input: both are positive together.
    emit(ActivateGrad{elements, x.activation}, {start_of(dx), start_of(x.aux), start_of(before)});
    return before;
}

}  // namespace shardscope
