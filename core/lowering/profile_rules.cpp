#include "core/lowering/profile_rules.h"

#include <algorithm>

namespace shardscope {

ProfileRules rules_of(const Strategy& strategy, DType storage, DType gradient) {
    ProfileRules rules;
    const bool narrow = size_of(gradient) == 2;
    switch (strategy.profile) {
        case RuntimeProfile::shardscope:
            break;
        case RuntimeProfile::deepspeed:
        case RuntimeProfile::deepspeed_2021:
        case RuntimeProfile::megatron_deepspeed:
            rules.recomputes_whole_blocks = true;
            // overlap_comm is on for stage 3 alone, and never under the pipeline engine; hooks reduce what stage 2
            // does not keep.
            rules.overlaps_reduction = strategy.zero == 3;
            rules.shards_by_all_reduce = strategy.zero == 1 || strategy.zero == 2;
            rules.blocking_transfers = true;
            rules.divides_transfers = true;
            rules.drops_out = is_deepspeed(strategy.profile);
            rules.loss_copies = is_deepspeed(strategy.profile) ? 3 : 2;
            rules.separate_projections = is_deepspeed(strategy.profile);
            rules.reuse_distance = 1'000'000'000;
            rules.persistent = strategy.zero == 3 ? 100'000 : 0;
            rules.lists_partitions =
                strategy.profile == RuntimeProfile::deepspeed_2021 && strategy.zero == 3;
            rules.widens_gradients = narrow;
            rules.flattens_gradients = narrow && (strategy.zero == 1 || strategy.zero == 2);
            rules.keeps_narrow_gradients = strategy.zero <= 1 && size_of(storage) == 2 && !narrow;
            rules.reduces_copies = strategy.zero <= 1;
            rules.allocates_buckets =
                strategy.profile == RuntimeProfile::deepspeed && strategy.zero >= 1;
            rules.reduces_narrow_copies = rules.keeps_narrow_gradients;
            break;
        case RuntimeProfile::megatron:
        case RuntimeProfile::megatron_2021:
            rules.recomputes_whole_blocks = true;
            rules.overlaps_reduction = false;  // without --overlap-grad-reduce
            // send_forward_recv_backward waits for both; the interleaved schedule does not with
            // --overlap-p2p-communication, its default.
            rules.blocking_transfers = strategy.chunks_per_stage() == 1 ||
                                       strategy.profile == RuntimeProfile::megatron_2021;
            rules.divides_transfers = true;
            rules.drops_out = true;
            rules.loss_copies = strategy.profile == RuntimeProfile::megatron ? 1 : 2;
            rules.widens_gradients = narrow;
            rules.placeholder_gradients = strategy.profile == RuntimeProfile::megatron;
            rules.keeps_ring_blocks = true;
            rules.keeps_cast_operands = strategy.profile == RuntimeProfile::megatron;
            rules.keeps_cast_weights = rules.keeps_cast_operands;
            rules.keeps_originals = rules.keeps_cast_operands;
            break;
        case RuntimeProfile::fsdp:
        case RuntimeProfile::llm_foundry:
        case RuntimeProfile::fsdp_compile_blocks:
        case RuntimeProfile::fsdp_compile:
            rules.loss_copies = strategy.profile == RuntimeProfile::llm_foundry    ? 0
                                : strategy.profile == RuntimeProfile::fsdp_compile ? 1
                                : strategy.tp > 1                                  ? 4
                                                                                   : 3;
            rules.keeps_logits = strategy.profile == RuntimeProfile::llm_foundry;
            rules.loss_metrics = rules.keeps_logits ? 2 : 0;
            rules.joins_gradients =
                strategy.profile == RuntimeProfile::llm_foundry && strategy.zero >= 2;
            rules.widens_before_reduction = size_of(storage) < size_of(gradient);
            rules.multiplies_gates_again = is_compiled(strategy.profile);
            rules.casts_before_gather = strategy.zero == 3 && size_of(storage) == 2;
            rules.attends_by_blocks = true;
            rules.repeats_key_values = true;
            rules.separate_projections = true;
            rules.keeps_gathered_rows = true;
            rules.keeps_stage_tensors = strategy.pp > 1;
            rules.gathers_stage_once = strategy.pp > 1 && strategy.zero == 1;
            rules.keeps_root = strategy.zero == 3 && strategy.pp == 1 &&
                               strategy.profile != RuntimeProfile::llm_foundry;
            rules.copies_out_gathered =
                strategy.zero == 3 && strategy.profile != RuntimeProfile::llm_foundry;
            // Composer's amp_fp8 is Transformer Engine's autocast around fc_type: te.
            rules.keeps_cast_operands = strategy.profile == RuntimeProfile::llm_foundry;
            rules.gathers_in_8_bits = !rules.keeps_cast_operands;
            rules.shares_casts = is_compiled(strategy.profile);
            rules.orders_rows = true;
            rules.sums_in_order = rules.shares_casts;
            rules.overlaps_input_sums = false;
            rules.sums_received_parts = true;
            break;
    }
    rules.overlaps_reduction = strategy.overlap_reduce.value_or(rules.overlaps_reduction);
    rules.reduces_in_turn =
        rules.shards_by_all_reduce && strategy.zero == 2 && !rules.overlaps_reduction;
    return rules;
}

Bytes bucket_of(const Strategy& strategy, const ProfileRules& rules, const Layout& layout,
                int stage, DType gradient) {
    constexpr Bytes kWholeStage{std::int64_t{1} << 50};  // larger than the gradients of any
    if (rules.reduces_narrow_copies) return kWholeStage;
    // Megatron cuts what it reduces beside the backward pass, on the first stage: on others only the last micro-batch
    // is left to hide behind (DistributedDataParallel of Megatron-Core: bucket_size).
    const bool cuts = strategy.profile == RuntimeProfile::megatron && rules.overlaps_reduction &&
                      stage == 0 && !strategy.bucket;
    if (!cuts) return bucket_size(strategy);
    constexpr std::int64_t kElements = 40'000'000, kPerRank = 1'000'000;
    return Bytes(std::max(kElements, kPerRank * layout.replicas()) * size_of(gradient));
}

Strategy as_executed(const Strategy& strategy) {
    Strategy executed = strategy;
    if (is_fsdp(strategy.profile) && strategy.zero == 3 && strategy.pp > 1) executed.zero = 1;
    return executed;
}

Segments segments_of(const Strategy& strategy) {
    const bool usual = is_fsdp(strategy.profile) && strategy.profile != RuntimeProfile::llm_foundry;
    return strategy.expandable_segments.value_or(usual) ? Segments::expandable : Segments::fixed;
}

DType default_gradient(const TrainingSpec& training, const Strategy& strategy) {
    const bool half = size_of(training.precision) == 2;
    switch (strategy.profile) {
        case RuntimeProfile::megatron_deepspeed:
        case RuntimeProfile::megatron:
        case RuntimeProfile::megatron_2021:
            // accumulate_allreduce_grads_in_fp32 goes with bf16; BF16_Optimizer does the same.
            return training.precision == DType::bf16 ? DType::fp32 : training.precision;
        case RuntimeProfile::fsdp:
        case RuntimeProfile::llm_foundry:
        case RuntimeProfile::fsdp_compile_blocks:
        case RuntimeProfile::fsdp_compile:
            return half ? DType::fp32 : training.precision;  // reduce_dtype
        case RuntimeProfile::shardscope:
        case RuntimeProfile::deepspeed:
        case RuntimeProfile::deepspeed_2021:
            break;
    }
    return training.precision;
}

}  // namespace shardscope
