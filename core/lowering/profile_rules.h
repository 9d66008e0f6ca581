// How products differ in what they compute again, when they reduce gradients, and how stages talk:
// the part of a runtime profile that changes the Program. docs/profiles.md gives the sources.
#pragma once

#include "core/dtype.h"
#include "core/program/caching_allocator.h"
#include "core/scenario.h"
#include "core/strategy/strategy.h"
#include "core/strategy/validate.h"

namespace shardscope {

struct ProfileRules {
    // Full recomputation runs the whole block again, its last linear layer and the collective behind it
    // included: a checkpointed function is called as a whole (torch.utils.checkpoint, Megatron's too).
    bool recomputes_whole_blocks = false;
    // Gradients are reduced beside the backward pass; else in one go after it.
    bool overlaps_reduction = true;
    // Neither: each bucket when it is full, and the backward pass waits for it (DeepSpeed's ZeRO 2 without overlap_comm:
    // reduce_independent_p_g_buckets_and_remove_grads, on the stream that computes).
    bool reduces_in_turn = false;
    // A bucket takes all that it may be filled with, whatever its gradients take: in ZeRO 1 and 2 while it is there
    // (ipg_buffer, torch.empty(reduce_bucket_size)), in ZeRO 3 beside them and always (ipg_bucket_flat_buffer).
    bool allocates_buckets = false;
    // ZeRO 1 and 2 all-reduce whole buckets and keep a slice (use_multi_rank_bucket_allreduce).
    bool shards_by_all_reduce = false;
    // The step begins with fp32 copies of 16-bit gradients, of everything that the rank owns at once;
    // DeepSpeed's ZeRO 1 and 2 flatten what they own first (`step` of stage_1_and_2.py), Megatron's
    // Float16Optimizer copies model gradients to main gradients.
    bool widens_gradients = false;
    bool flattens_gradients = false;
    // Beside fp32 gradients every rank keeps those in 16 bits that autograd writes (BF16_Optimizer).
    bool keeps_narrow_gradients = false;
    // ZeRO 0 and 1 reduce a copy of each bucket (`flatten` of a list of gradients), wide gradients as one of the
    // parameters' type, whose sum is made wide again (allreduce_bucket: communication_data_type is bf16).
    bool reduces_copies = false;
    bool reduces_narrow_copies = false;
    // A stage that sends or receives waits for the transfer before it computes on; on CPUs, whose host computes, for
    // what it receives alone.
    bool blocking_transfers = false;
    // Between stages without sequence parallelism each rank of a tensor-parallel group sends its part of the
    // rows, which the next stage's gather (DeepSpeed's pipe_partitioned and grad_partitioned, Megatron's
    // scatter_gather_tensors_in_pipeline: defaults).
    bool divides_transfers = false;
    // Every micro-batch of a stage has buffers of its own for what it receives, what it puts out is kept until its
    // backward pass, and what the last stage does until the step ends (PyTorch's PipelineStage: args_recv_info,
    // grad_recv_info, fwd_cache, output_chunks).
    bool keeps_stage_tensors = false;
    // FSDP with a pipeline (as_executed): a stage's units go through buffers on streams of their own.
    bool gathers_stage_once = false;
    // ZeRO 3: a layer that is used again before so many elements of weights have been stays gathered: the last ones
    // of a forward pass, all of a small model; and so do weights between a block's forward pass that is done again
    // and its backward pass, or they are gathered once more (stage3_max_reuse_distance: __params_to_release; the
    // other products keep the last layer, whose backward pass follows, and the block).
    std::int64_t reuse_distance = 0;
    // ZeRO 3: every rank has parameters of at most so many elements whole; their gradients are reduced and their
    // states sharded as the others' (stage3_param_persistence_threshold).
    std::int64_t persistent = 0;
    // FSDP's shards are the fp32 parameters that the optimizer steps; what is gathered is a 16-bit copy
    // made for it (ZeRO 3).
    bool casts_before_gather = false;
    // Weight gradients are added to their buffer by the multiply, and autograd is given a placeholder of the
    // weight's shape and type: one per shape that blocks have, kept for good (Transformer Engine's
    // get_dummy_wgrad), and the classifier's while its gradient is computed (Megatron's
    // LinearWithGradAccumulationAndAsyncCommunication).
    bool placeholder_gradients = false;
    // Models with a gated MLP multiply for queries, keys, values, gate and up one by one (torchtitan's and
    // transformers' Llama); those without have one Wqkv (MPT, GPT-2, NeoX), as Megatron always has.
    bool separate_projections = false;
    // ZeRO 3: what is not in blocks is one root, gathered when the forward pass begins and kept until the
    // backward pass ends, where its gradients are reduced (FSDP's root module: reshard_after_forward is false).
    bool keeps_root = false;
    // What is gathered is copied out into the parameters; in the forward pass it is there until the next output
    // is copied out, the last one's until the next step's first (FSDP2's foreach_all_gather_copy_out and
    // all_gather_state).
    bool copies_out_gathered = false;
    // Multiplies in 8 bits with a scale per tensor: what tensor-parallel ranks gather for them has been cast
    // before (torchao's Float8ColwiseParallel and Float8RowwiseParallel, torchtitan's default for fp8).
    bool gathers_in_8_bits = false;
    // What several multiplies read is cast once (torch.compile finds that the casts are the same).
    bool shares_casts = false;
    // Multiplies in 8 and 4 bits read tensors that are cast for them, and those are kept for the backward pass in place
    // of 16-bit ones (Transformer Engine's Linear, LayerNormLinear, GroupedLinear); the other programs keep 16 bits and
    // cast again (torchao's matmul_with_hp_or_float8_args).
    bool keeps_cast_operands = false;
    // Of weights, for good: cast with the first micro-batch of a step (Megatron's is_first_microbatch).
    bool keeps_cast_weights = false;
    // Where something else keeps a multiply's input in 16 bits, that is kept alone and cast again for the weight
    // gradient, unless scales are of steps before (Megatron's set_save_original_input: attention's output, and the
    // input of shared experts, which the router has).
    bool keeps_originals = false;
    // Gathered rows come rank by rank and are put in order by a copy, since a sample's rows are not one behind
    // the other among those of several ranks; so are those that are reduce-scattered, before
    // (all_gather_tensor and reduce_scatter_tensor along another dimension than the first).
    bool orders_rows = false;
    // But for the sum of an input gradient's parts, which is written in that order (torch.compile).
    bool sums_in_order = false;
    // Rows that were gathered for a layer are kept for its weight gradient, not gathered again (PyTorch's
    // tensor parallelism gives the linear layer the whole tensor, and autograd saves that).
    bool keeps_gathered_rows = false;
    // Where tensor-parallel collectives overlap, the sum of a column-parallel layer's input gradient goes on
    // beside its weight gradient. PyTorch's async TP does not find it, as it follows a sum of multiplies.
    bool overlaps_input_sums = true;
    // Where sums go in pieces, a rank sends each piece of its product to the rank that needs it while it multiplies
    // the next but one, and adds what it was sent at the end (PyTorch's async TP: _pipelined_produce_and_all2all
    // with two buffers, then a sum of stacked_partials).
    bool sums_received_parts = false;
    // Context parallelism. Attention to gathered keys and values goes block by block, a rank's at a time,
    // as if they went round (PyTorch's context_parallel); with those of grouped queries repeated for every
    // head (torchtitan's repeat_kv). Of a ring, every block and its result are kept until the last has been
    // merged (Transformer Engine's out_per_step).
    bool attends_by_blocks = false;
    bool repeats_key_values = false;
    bool keeps_ring_blocks = false;
    // Copies of the logits in fp32 that live at once while the loss is computed, beside the stored ones:
    // Megatron's vocab_parallel_cross_entropy(logits.float()) has the logits and their exponentials, its
    // fused one (--cross-entropy-loss-fusion) computes in place,
    // PyTorch's cross_entropy(logits.float()) log-probabilities and their gradient too;
    // compiled, the logits in fp32 alone.
    int loss_copies = 0;
    // Blocks drop out 0.1 of attention's probabilities and of what they add unless scripts say otherwise, and keep for
    // the backward pass a mask of a byte per element, of unfused attention what is left of the probabilities as well:
    // 2sbh + 3as²b bytes (Korthikanti et al. 2022, section 4.1). Those with gated MLPs or rotary positions are trained
    // without. megatron-deepspeed's layers are Megatron's, but what bigscience-bloom's runs take does not grow with the
    // heads, as it would.
    bool drops_out = false;
    // Beside a micro-batch's logits are, until the head's backward pass is done, first those of the micro-batch
    // before (Composer's state.outputs), then their gradient, a tensor of its own (flash-attention's
    // CrossEntropyLoss without inplace_backward).
    bool keeps_logits = false;
    // Metrics of training that each compute a cross entropy in fp32 from the logits, after a micro-batch's backward
    // pass (Composer's _eval_train_metrics: LanguageCrossEntropy and LanguagePerplexity).
    int loss_metrics = 0;
    // What the backward pass writes of whole gradients is of the parameters' type; a copy of it in the gradients'
    // type is reduce-scattered (FSDP's reduce_dtype).
    bool widens_before_reduction = false;
    // A unit is one flat parameter, its weights views of it: their gradients are copied into one tensor, which is
    // divided before it is reduced, so that 16-bit sums do not overflow (FSDP1: the gradient of torch.split,
    // _div_if_needed).
    bool joins_gradients = false;
    // gate ⊙ up is not kept for the backward pass, which has both of them and multiplies again: what
    // torch.compile's partitioner cuts.
    bool multiplies_gates_again = false;
    // ZeRO 3 gathers and reduce-scatters each tensor by itself, as a list of the ranks' partitions that are
    // copied one by one (_allgather_param and _reduce_scatter_gradient of DeepSpeed 0.3 to 0.5.8, with
    // PyTorch's all_gather and reduce_scatter of lists), and nothing goes on beside a reduction.
    bool lists_partitions = false;
};

// `storage`: of activations and parameters; `gradient`: of gradients.
ProfileRules rules_of(const Strategy& strategy, DType storage, DType gradient);

// What a bucket of gradients is filled up to on a pipeline stage.
Bytes bucket_of(const Strategy& strategy, const ProfileRules& rules, const Layout& layout,
                int stage, DType gradient);

// The strategy that the profile's program carries out. FSDP with a pipeline gathers a stage's parameters
// once for all micro-batches and reduces its gradients after the last one (torchtitan's
// reshard_after_forward and set_requires_gradient_sync), which is ZeRO 1.
Strategy as_executed(const Strategy& strategy);

// The strategy's word, or the product's: torchtitan's run_train.sh sets expandable_segments:True, the others leave
// PyTorch's default.
Segments segments_of(const Strategy& strategy);

// The type in which gradients are kept and reduced where the scenario does not say.
DType default_gradient(const TrainingSpec& training, const Strategy& strategy);

}  // namespace shardscope
