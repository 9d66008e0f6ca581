// Pass "layers": the kernels of each layer's forward and backward for one micro-batch, and the
// tensor-parallel collectives between them.
//
// Adding a layer kind: a struct in model.h, two functions here (forward_…, backward_…), the cases of
// the two visits. Weights and gradients come from ParameterBuffers, so layers know nothing of data
// parallelism; the model is one tensor-parallel rank's, whose linear layers say what they are a part of.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/lowering/checkpoints.h"
#include "core/lowering/context.h"
#include "core/lowering/parameters.h"
#include "core/lowering/quantised.h"

namespace shardscope {

// A layer's output. `activation` tells that `buffer` is act(aux) and that the consumer's input
// gradient must be taken through the activation (fused into its kernel where it is a linear layer).
struct Value {
    BufferId buffer;
    std::int64_t width = 0;
    Activation activation = Activation::none;
    BufferId aux;  // the value before the activation (needs_argument), or the output itself (relu)
};

// The width of a layer's output.
std::int64_t output_width(const Layer& layer);
// Of a block's queries, keys and values together.
inline std::int64_t qkv_width(const BlockLayer& b) {
    return (b.heads + b.kv_heads) * b.head_dim + b.kv_heads * b.value_dim;
}

inline Operand start_of(BufferId buffer) { return {buffer, 0, 0}; }

class LayerLowering {
public:
    LayerLowering(LoweringContext& context, ParameterBuffers& parameters);

    // LoadBatch of what this stage wants of the micro-batch; for nothing it emits nothing.
    void load_batch(bool inputs, bool targets);

    // `value` becomes the input of `layer` (the first of a chunk: what the stage before sent).
    void set_input(std::size_t layer, const Value& value) { inputs_[layer] = value; }
    // Starts a forward body. `first`: of the first micro-batches of a step, whose weights are new.
    void begin_forward(bool first) { casts_weights_ = first || !context_.rules.keeps_cast_weights; }
    // Whether bodies of the first micro-batch do more than others.
    bool casts_weights_once() const {
        return context_.casts_operands() && context_.rules.keeps_cast_weights;
    }
    void forward(std::size_t layer);                    // layers in order
    void end_forward() { checkpoints_.end_forward(); }  // after the last layer of a body
    const Value& output(std::size_t layer) const { return inputs_[layer + 1]; }

    // Starts a backward body of a chunk; `dy`: the gradient of its last layer's output, none
    // where that layer ends in the loss. dy is taken through the output's own activation.
    void begin_backward(const LayerRange& layers, BufferId dy, BackwardPart part);
    // The same where this rank has the layer behind, which gave `gradient` of its input.
    void continue_backward(const LayerRange& layers, BufferId gradient, BackwardPart part);
    // Layers in reverse order, after all forwards have been lowered: first what the forward did not keep
    // (strategy.recompute), computed again, then the gradients.
    void recompute(std::size_t layer);
    void backward(std::size_t layer);
    // After a backward body: what a product computes from the logits besides the loss.
    void evaluate_metrics(const LayerRange& layers);  // ProfileRules::loss_metrics
    // The gradient of the input of the layer that was lowered last.
    BufferId input_gradient() const { return gradient_; }

    // Whether the pass reads any weight of the layer (a first linear layer's backward does not).
    bool reads_weights(std::size_t layer, bool backward) const;

    // Per layer: its forward is computed again in backward bodies.
    const std::vector<bool>& recomputed() const { return recomputed_; }

    BufferId loss() const { return loss_; }  // invalid where the stage has none

private:
    void begin(Phase phase, std::size_t layer);
    // A buffer saved for the backward pass, or a temporary; the same words give the same buffer, whose
    // life follows from which bodies use it. `what` is a literal: it is kept.
    BufferId saved(std::size_t layer, const char* what, std::int64_t elements, DType type);
    BufferId saved(std::size_t layer, const char* what, std::int64_t elements);
    BufferId temporary(std::size_t layer, const char* what, std::int64_t elements);
    BufferId temporary(std::size_t layer, const char* what, std::int64_t elements, DType type);
    enum class Variant { plain, again, all_rows, rank_by_rank, narrow, scale, scales, all_columns };
    static constexpr std::size_t kVariants = 8;
    // The layer's buffer of those words, made at first use.
    BufferId named(std::size_t layer, const char* what, Variant variant, std::int64_t elements,
                   DType type, Category category);
    // `cast`: Compute::cast, beside operands whose buffers hold 8 bits. `wide`: Rows::wide.
    void emit(const Kernel& kernel, std::initializer_list<Operand> operands, std::uint8_t cast = 0,
              bool wide = false);
    DType type_of(BufferId buffer) const {
        return context_.builder.role.buffers[buffer.index()].dtype;
    }

    // Before the compute stream reads or writes what a collective beside it has not finished with.
    void await(BufferId buffer);
    void await_all();
    // On the compute stream. `elements` are those of the whole.
    void collective(GroupId group, CollectiveKind kind, BufferId from, BufferId to,
                    std::int64_t elements, DType type, ReduceOp reduce = ReduceOp::sum);
    // Over the tensor-parallel group.
    void all_reduce(BufferId buffer, std::int64_t elements, DType type,
                    ReduceOp reduce = ReduceOp::sum);
    // `elements` of `from`, a buffer of the layer called `what`. `ordered`: its rows are rank by rank.
    void reduce_scatter(std::size_t layer, const char* what, BufferId from, BufferId to,
                        std::int64_t elements, bool ordered = false);
    // Beside the compute stream: who reads `to` next waits for it.
    void collective_beside(CollectiveKind kind, BufferId from, BufferId to, std::int64_t elements);
    // A transfer on a stream of its own to the rank `distance` further round the tensor-parallel group, and one
    // from as far behind. Returns its end.
    EventId pass_around(int distance, Operand from, Operand to, std::int64_t elements, DType type);
    // Multiplies in pieces (layers_linear.cpp): forward, and the input gradients of row-parallel layers. All rows
    // come rank by rank, the rank's own first; a sum goes out in as many pieces, each with some rows of every
    // rank, or of one rank where that adds what it was sent. `elements` are those of all rows.
    void gather_in_pieces(BufferId local, BufferId whole, std::int64_t elements);
    using PieceKernel = std::function<void(std::int64_t rows, std::int64_t piece)>;
    // Calls `multiply` for all rows, or, where `x` comes in pieces, for each of them as it is there.
    void for_pieces(BufferId x, const PieceKernel& multiply);
    void sum_in_pieces(BufferId partial, BufferId sum, std::int64_t width,
                       const PieceKernel& multiply);
    void sum_received(BufferId partial, BufferId sum, std::int64_t width,
                      const PieceKernel& multiply);
    bool overlaps_gradients() const {
        return overlap_ != TensorOverlap::none && context_.rules.overlaps_input_sums;
    }
    bool in_pieces() const { return overlap_ == TensorOverlap::pieces; }
    // `buffer` from the first element of row `piece · rows of a piece` on.
    Operand piece_of(BufferId buffer, std::int64_t piece, std::int64_t width) const;
    // With sequence parallelism all rows of `local`, gathered, else `local` itself. Where weight
    // gradients wait for their turn, both parts gather what they need: keeping it would cost more.
    enum class For { all, weight_gradient, attention };  // the last: not for a multiply
    BufferId gathered(std::size_t layer, const char* what, std::int64_t width);
    bool gathers_in_8_bits(std::size_t layer) const;
    // Cast to 8 bits, each rank's rows with a scale of their own, which all ranks get.
    BufferId in_8_bits(std::size_t layer, const char* what, BufferId local, std::int64_t elements);
    void gather_rows(std::size_t layer, const char* what, BufferId local, BufferId whole,
                     std::int64_t elements);
    BufferId all_rows(std::size_t layer, const char* what, BufferId local, std::int64_t width,
                      For reader = For::all);
    void gather_for(std::size_t layer, const char* what, BufferId local, BufferId whole,
                    std::int64_t elements, For reader);

    // Operands of multiplies as tensors in 8 or 4 bits (layers_quantised.cpp), where the product has them so.
    enum class Along { rows, columns };
    using Copies = std::array<BufferId, 2>;  // by Along
    bool casts_operands() const { return builds_block_ && context_.casts_operands(); }
    std::int64_t cast_bytes(std::int64_t elements) const;
    BufferId copy_of(BufferId x, Along layout);
    // Makes those copies of `x` that this pass over the layer has not made yet.
    void cast(BufferId x, bool rows, bool columns);
    // Inputs that something else has in 16 bits are kept so for weight gradients too, and cast again before them.
    bool keeps_originals() const {
        return casts_operands() && context_.rules.keeps_originals && !format_.delayed;
    }
    bool keeps_original(BufferId x) const { return originals_.contains(x); }
    // `x` is such an input, and the cast before its weight gradient.
    void keep_original(BufferId x);
    void cast_original(BufferId x);
    // What a multiply reads of `x` in the forward pass or for an input gradient: a copy, or `x` itself.
    BufferId multiplied(BufferId x);
    // What a weight gradient reads of `x`, which is cast, or of the gradient `dy`.
    BufferId multiplied_along_columns(BufferId x);
    BufferId gradient_along_columns(BufferId dy);
    Operand weight(const LinearParameters& p, Along layout, std::int64_t experts = 1);
    BufferId all_rows_cast(std::size_t layer, const char* what, BufferId local, std::int64_t width,
                           For reader);
    // So many elements behind `operand`, of which a copy in fewer bits has fewer bytes.
    Operand behind(Operand operand, std::int64_t elements, DType type) const;

    // y = linear(x) for a layer that is whole or column parallel, x with all rows.
    void linear(const LinearParameters& p, BufferId x, BufferId y,
                Activation activation = Activation::none, BufferId pre = {});
    // y = linear(x) + residual for a layer that is whole or row parallel; y has the local rows.
    void summed_linear(std::size_t l, const LinearParameters& p, BufferId x, BufferId y,
                       BufferId residual);
    void linear_weight_grad(const LinearParameters& p, BufferId x, BufferId dy) {
        linear_weight_grad(p, x, dy, all_tokens());
    }
    // dx has all rows; for a column-parallel layer it is this rank's part of a sum.
    void linear_input_grad(const LinearParameters& p, BufferId dy, BufferId dx,
                           Activation activation = Activation::none, BufferId aux = {});
    // The same for layers that are whole, with other rows than all; `experts` of them one after the
    // other, each for its part of the rows.
    struct Rows {
        std::int64_t count = 0, experts = 1;
        bool wide = false;  // multiplies in 16 bits whatever the precision says: routers, gates
    };
    Rows all_tokens() const { return {context_.rows()}; }
    Rows local_tokens() const { return {context_.local_rows()}; }
    Rows wide_tokens() const { return {context_.local_rows(), 1, true}; }
    void linear(const LinearParameters& p, BufferId x, BufferId y, Rows rows);
    void linear_weight_grad(const LinearParameters& p, BufferId x, BufferId dy, Rows rows);
    void linear_input_grad(const LinearParameters& p, BufferId dy, BufferId dx, Rows rows);
    void add(BufferId to, BufferId x, std::int64_t elements);
    // Multiplies that a product makes of one of ours (ProfileRules::separate_projections): outputs
    // [first, first + out) of the layer's, which lie one behind the other. One part where it has one multiply.
    struct Part {
        std::int64_t first = 0, out = 0;
    };
    std::vector<Part> parts_of(const LinearParameters& p) const;
    void find_parts();
    // The input gradient as the sum of those of the parts.
    void input_grad_of_parts(std::size_t l, const LinearParameters& p, BufferId dy, BufferId dx);
    // Both gradients of a layer that is whole or column parallel: `x` is its input, local rows, called `what`.
    void column_gradients(std::size_t l, const char* what, const char* partial,
                          const LinearParameters& p, BufferId x, BufferId dy, BufferId dx);
    // The same with the sum taken: dx has the local rows.
    void summed_input_grad(std::size_t l, const char* partial, const LinearParameters& p,
                           BufferId dy, BufferId dx);
    void norm(const NormParameters& p, std::int64_t width, BufferId x, BufferId y, BufferId stats);
    // Weight and input gradient of a norm; dresidual may be invalid.
    void norm_grad(const NormParameters& p, std::int64_t width, BufferId dy, BufferId x,
                   BufferId stats, BufferId dresidual, BufferId dx);
    std::int64_t stats_elements(const NormParameters& p) const;
    BufferId norm_stats(std::size_t l, const char* what, const NormParameters& p);
    // Whether this part of the backward pass computes the weight gradients of norms.
    bool norm_weights_now() const {
        return part_ != (norm_gradients_wait_ ? BackwardPart::input : BackwardPart::weight);
    }
    BufferId head_norm_stats(std::size_t layer, const BlockLayer& block);
    BufferId saved_up(std::size_t layer, const BlockLayer& block);
    BufferId kept_product(std::size_t layer, const BlockLayer& block);
    BufferId attention_stats(std::size_t layer, const Attention& attention);
    // Dropout's mask of so many elements, a byte each, as elements of what is stored (ProfileRules::drops_out).
    std::int64_t mask_elements(std::size_t layer, std::int64_t elements) const;
    BufferId residual_sum(std::size_t layer, const BlockLayer& block);

    Value forward_layer(std::size_t l, const EmbeddingLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const BlockLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const HeadLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const LinearLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const ActivationLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const NormLayer& layer, const Value& x);
    Value forward_layer(std::size_t l, const LossLayer& layer, const Value& x);
    // Query, key and value from the normalised input, and what happens to them before attention.
    void block_qkv(std::size_t l, const BlockLayer& layer, BufferId y1);
    void block_attention(std::size_t l, const BlockLayer& layer);
    // The same where each rank has a part of the tokens (layers_context.cpp), and the gradient dqkv.
    struct ContextShape;
    struct UlyssesShape;
    ContextShape context_shape(const BlockLayer& layer) const;
    void context_attention(std::size_t l, const BlockLayer& layer);
    BufferId context_attention_backward(std::size_t l, const BlockLayer& layer, BufferId d_o);
    // The buffer of block `i` of something that comes in blocks.
    BufferId block_buffer(std::size_t l, const char* what, int i, std::int64_t elements, DType type,
                          Category category);
    BufferId key_block(std::size_t l, const ContextShape& shape, int i);
    Operand keys_of(std::size_t l, const ContextShape& shape, int i);
    // Both return the event that what was asked for is there, the buffers filled.
    EventId pass_on(BufferId from, BufferId to, std::int64_t elements);
    EventId gather_keys(std::size_t l, const ContextShape& shape);
    EventId fetch_keys(std::size_t l, const ContextShape& shape, int i);
    BufferId context_stats(std::size_t l, const ContextShape& shape);
    void merge_block(std::size_t l, const ContextShape& shape, int i);
    // Ulysses: the same with all tokens of a part of the heads.
    void ulysses_attention(std::size_t l, const BlockLayer& layer);
    BufferId ulysses_attention_backward(std::size_t l, const BlockLayer& layer, BufferId d_o);
    void move_outputs(std::size_t l, const char* what, BufferId from, BufferId to,
                      std::int64_t width);
    BufferId piece(std::size_t l, const char* what, int i, std::int64_t elements);
    void all_to_all(BufferId from, BufferId to, std::initializer_list<std::int64_t> widths);
    BufferId scatter_key_gradients(std::size_t l, const ContextShape& shape, BufferId whole);
    void block_mlp_inner(std::size_t l, const BlockLayer& layer);
    // block_qkv of latent attention (layers_latent.cpp), and its gradient: that of the block's
    // normalised input, local rows.
    void latent_qkv(std::size_t l, const BlockLayer& layer, BufferId y1);
    BufferId latent_qkv_backward(std::size_t l, const BlockLayer& layer, BufferId dqkv);

    // A block's experts (layers_experts.cpp): residual + shared experts + routed ones. `whole`: to the
    // output; else what the backward pass needs alone.
    Value block_experts(std::size_t l, const BlockLayer& layer, BufferId residual, bool whole);
    BufferId shared_experts_output(std::size_t l, const BlockLayer& layer, BufferId residual,
                                   bool whole);
    void route(std::size_t l, const BlockLayer& layer);
    // The gradient of the block's normalised input, local rows.
    BufferId block_experts_backward(std::size_t l, const BlockLayer& layer, BufferId dy);
    // In two parts: down to the gradient of what the first linear layer gives, and from there.
    BufferId shared_down_backward(std::size_t l, const BlockLayer& layer, BufferId dy);
    BufferId shared_up_backward(std::size_t l, const BlockLayer& layer, BufferId dup);
    BufferId route_backward(std::size_t l, const BlockLayer& layer, BufferId dweights);
    BufferId experts_backward(std::size_t l, const BlockLayer& layer, BufferId dout);

    // How rows come to the experts of all ranks and back (layers_dispatch.cpp): rows of `width` elements, on the
    // rank of their tokens in the order of places, or, where whole rows are copied to ranks, of tokens; on
    // that of their expert in the order of experts.
    struct ExpertRows {
        std::int64_t places = 0;   // of a rank's tokens
        std::int64_t here = 0;     // rows that a rank's experts compute
        std::int64_t experts = 1;  // of a rank
        bool moves = false;        // to other ranks; else both orders are the same
        // Whole rows are copied to ranks: how many come to one, with how many weights and marks each.
        std::int64_t come = 0, columns = 0;
        TokenRouting routing;
        bool copied() const { return come > 0; }
    };
    ExpertRows rows_of(const BlockLayer& layer) const;
    struct Journey {  // names of the buffers on the way
        const char *first, *second, *third;
        std::int64_t width = 0;
        DType type = DType::fp32;
        const char *cast = nullptr,
                   *ordered = nullptr;  // in 8 bits: what leaves, and what has come
        Variant variant = Variant::plain;
    };
    struct Load {  // rows of `x` that become those of `to`
        Journey way;
        BufferId x, to;
    };
    bool computes_meanwhile(const BlockLayer& layer) const;
    // Between the ranks of experts: on the compute stream, or beside it where something is computed meanwhile.
    // `follows`: on from what the one before it brought.
    void collective_of_experts(Collective collective, bool follows = false);
    void exchange(GroupId group, CollectiveKind kind, BufferId from, BufferId to,
                  std::int64_t elements, DType type, bool follows = false);
    // From places to the experts' order, and back. What follows the collectives waits for arrive().
    void send_places(std::size_t l, const ExpertRows& rows, const Journey& way, BufferId from,
                     BufferId to);
    void return_places(std::size_t l, const ExpertRows& rows, const Journey& way, BufferId from,
                       BufferId to);
    void on_arrival(std::function<void()> work);
    void arrive();
    BufferId on_the_way(std::size_t l, const char* what, std::int64_t rows, const Journey& way);
    void permute(const Permute& kernel, DType type, BufferId x, BufferId chosen, BufferId y);
    void send_tokens(std::size_t l, const BlockLayer& layer, const Journey& way, BufferId x,
                     BufferId to, bool weights);
    void send_copies(std::size_t l, const ExpertRows& rows, const std::vector<Load>& loads,
                     bool weights);
    std::vector<Collective::Along> send_table(std::size_t l, const ExpertRows& rows);
    void select_copies(std::size_t l, const ExpertRows& rows);
    Collective routed(CollectiveKind kind, const ExpertRows& rows, const Journey& way,
                      BufferId from, BufferId to) const;
    std::vector<Load> cast_load(std::size_t l, const ExpertRows& rows, const Load& load);
    // `dweights`: the gradient of the experts' weights, which goes along where rows are copied; its sum.
    BufferId return_tokens(std::size_t l, const BlockLayer& layer, const Journey& way,
                           BufferId from, BufferId to, BufferId dweights = {});
    BufferId return_copies(std::size_t l, const ExpertRows& rows, const Journey& way, BufferId from,
                           BufferId to, BufferId dweights);
    // What return_tokens has sent becomes `y`, on the rank of the tokens.
    void add_returned(std::size_t l, const BlockLayer& layer, const Journey& way, BufferId from,
                      BufferId residual, BufferId y);
    BufferId chosen(std::size_t l, const ExpertRows& rows);
    BufferId chosen_copies(std::size_t l, const ExpertRows& rows);
    BufferId expert_weights(std::size_t l, const ExpertRows& rows);
    BufferId expert_weight_gradient(std::size_t l, const ExpertRows& rows);
    Value row_parallel_layer(std::size_t l, const LinearLayer& layer, const Value& x);

    // Each takes the gradient of the layer's output (through its own fused activation) and returns
    // that of its input (through the producer's activation).
    BufferId backward_layer(std::size_t l, const EmbeddingLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const BlockLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const HeadLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const LinearLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const ActivationLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const NormLayer& layer, BufferId dy);
    BufferId backward_layer(std::size_t l, const LossLayer& layer, BufferId dy);
    // `dy_all`: all rows of the gradient of what the part adds. Each returns the gradient of the part's
    // input, with that of what else depends on it added.
    BufferId block_mlp_backward(std::size_t l, const BlockLayer& layer, BufferId dy,
                                BufferId dy_all);
    // Of the MLP alone, or the shared experts: the gradient of its input, local rows. In two parts: that of what the
    // first linear layer gives, and from there.
    BufferId mlp_backward(std::size_t l, const BlockLayer& layer, BufferId dy_all);
    BufferId mlp_down_backward(std::size_t l, const BlockLayer& layer, BufferId dy_all);
    BufferId mlp_up_backward(std::size_t l, const BlockLayer& layer, BufferId dup);
    BufferId block_attention_backward(std::size_t l, const BlockLayer& layer, BufferId dy_all,
                                      BufferId dresidual);
    // The gradient of block_qkv's input, local rows.
    BufferId qkv_backward(std::size_t l, const BlockLayer& layer, BufferId dqkv);
    // The gradient of what attention proper read.
    BufferId attention_core_backward(std::size_t l, const BlockLayer& layer, BufferId d_o);
    // The gradient before block_qkv's head norm and rotation; dqkv is overwritten.
    BufferId block_qkv_backward(std::size_t l, const BlockLayer& layer, BufferId dqkv);
    // The gradient before the activation of `x` where no kernel could fuse it.
    BufferId through_activation(std::size_t l, const char* what, const Value& x, BufferId dx);
    void loss_of(std::size_t l, BufferId logits, bool vocabulary_parallel);
    void stand_beside_logits(const HeadLayer& head);  // ProfileRules::keeps_logits
    void loss_from(std::size_t layer, BufferId logits, bool vocabulary_parallel,
                   std::int64_t columns);
    BufferId widened_logits(std::size_t layer, BufferId logits, std::int64_t elements);
    bool recomputes_attention() const {
        return context_.strategy.recompute.kind == Recompute::Kind::selective;
    }

    LoweringContext& context_;
    ParameterBuffers& parameters_;
    Checkpoints checkpoints_;
    TensorOverlap overlap_;                           // none without a group
    std::map<ParameterId, std::vector<Part>> parts_;  // by weight
    // What is on its way on the tensor stream: events, of pieces in their order.
    std::map<BufferId, std::vector<EventId>> on_the_way_;
    std::set<std::string> block_words_;                        // that words_ has views of
    std::unordered_map<std::string_view, std::size_t> words_;  // every `what` so far, numbered
    std::vector<std::array<BufferId, kVariants>> named_;       // [number of `what`][layer][variant]
    std::vector<Value> inputs_;                                // per layer
    std::vector<bool> recomputed_;  // per layer: its forward is computed again
    BufferId batch_inputs_, batch_targets_, loss_;
    BufferId gradient_;  // of the current layer's output, in the backward pass
    BackwardPart part_ = BackwardPart::both;
    std::map<BufferId, Copies> copies_;  // by what is cast
    std::map<std::pair<ParameterId, bool>, Copies>
        weight_copies_;  // and whether it is recomputation's
    // Gathered copies: what weight gradients read of them, as gathered or as transposed here.
    std::map<BufferId, BufferId> gathered_columns_, transposed_;
    std::set<BufferId> cast_;       // copies that this pass over a layer has made
    std::set<BufferId> originals_;  // that are kept in 16 bits
    bool casts_weights_ = true;
    std::size_t layer_ = 0;
    bool builds_block_ = false;  // what is lowered now belongs to a transformer block
    bool backward_ =
        false;  // in a backward body: recomputed layers have buffers of their own there
    // Whether the weight gradients of norms are left to the weight part: alone they need buffers that
    // would otherwise not be kept, but where gradients go to buckets a bucket is filled in one body.
    bool norm_gradients_wait_ = false;
    OperandFormat format_;  // of multiplies in 8 and 4 bits
    bool meanwhile_ =
        false;  // collectives between ranks of experts go on beside the compute stream
    std::vector<std::function<void()>> arrivals_;  // what follows those that have been issued
    bool recomputing_ = false;  // the last linear layer of a block need not be computed again
};

}  // namespace shardscope
