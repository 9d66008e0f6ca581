// Pass "layers": the kernels of each layer's forward and backward for one micro-batch.
//
// Adding a layer kind: a struct in model.h, two functions here (forward_…, backward_…), the cases of
// the two visits. Weights and gradients come from ParameterBuffers, so layers know nothing of sharding.
#pragma once

#include <vector>

#include "core/lowering/context.h"
#include "core/lowering/parameters.h"

namespace shardscope {

// A layer's output. `activation` tells that `buffer` is act(aux) and that the consumer's input
// gradient must be taken through the activation (fused into its kernel where it is a linear layer).
struct Value {
    BufferId buffer;
    std::int64_t width = 0;
    Activation activation = Activation::none;
    BufferId aux;  // gelu: the value before the activation; relu: the output itself
};

class LayerLowering {
public:
    LayerLowering(Context& context, ParameterBuffers& parameters);

    void load_batch();                 // LoadBatch into the batch buffers
    void forward(std::size_t layer);   // layers in order
    void backward(std::size_t layer);  // layers in reverse order, after all forwards

    // Whether the pass reads any weight of the layer (a first linear layer's backward does not).
    bool reads_weights(std::size_t layer, bool backward) const;

    BufferId loss() const { return loss_; }

private:
    // A buffer saved for the backward pass, or a temporary of it; the same name gives the same buffer.
    BufferId saved(std::size_t layer, const char* what, std::int64_t elements, DType type);
    BufferId saved(std::size_t layer, const char* what, std::int64_t elements);
    BufferId temporary(std::size_t layer, const char* what, std::int64_t elements);
    BufferId temporary(std::size_t layer, const char* what, std::int64_t elements, DType type);
    void emit(Kernel kernel, std::initializer_list<Operand> operands);

    // y = linear(x); returns y. `residual` may be invalid; `pre` only where the activation saves it.
    void linear(const LinearParameters& p, BufferId x, BufferId y, BufferId residual = {},
                Activation activation = Activation::none, BufferId pre = {});
    void linear_weight_grad(const LinearParameters& p, BufferId x, BufferId dy);
    void linear_input_grad(const LinearParameters& p, BufferId dy, BufferId dx,
                           Activation activation = Activation::none, BufferId aux = {});
    void norm(const NormParameters& p, std::int64_t width, BufferId x, BufferId y, BufferId stats);
    // Weight and input gradient of a norm; dresidual may be invalid.
    void norm_grad(const NormParameters& p, std::int64_t width, BufferId dy, BufferId x,
                   BufferId stats, BufferId dresidual, BufferId dx);
    std::int64_t stats_elements(const NormParameters& p) const;
    BufferId attention_stats(std::size_t layer, const Attention& attention);

    Value forward_layer(std::size_t l, const EmbeddingLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const BlockLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const HeadLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const LinearLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const ActivationLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const NormLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const LossLayer& layer, const Value& x);

    // Each takes the gradient of the layer's output (through its own fused activation) and returns
    // that of its input (through the producer's activation).
    BufferId backward_layer(std::size_t l, const EmbeddingLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const BlockLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const HeadLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const LinearLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const ActivationLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const NormLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const LossLayer& layer, BufferId dy);
    BufferId block_mlp_backward(std::size_t l, const BlockLayer& layer, BufferId dy);
    BufferId block_attention_backward(std::size_t l, const BlockLayer& layer, BufferId dy);
    // The gradient before the activation of layer l's input where its kernel could not fuse it.
    BufferId through_activation(std::size_t l, BufferId dx);
    void loss_of(BufferId logits);

    Context& context_;
    ParameterBuffers& parameters_;
    std::vector<Value> inputs_;  // per layer
    BufferId batch_inputs_, batch_targets_, loss_;
    BufferId gradient_;  // of the current layer's output, in the backward pass
};

}  // namespace shardscope
