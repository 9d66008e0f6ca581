#include "core/strategy/product_limits.h"

namespace shardscope {

std::optional<std::string> beyond_product(const Strategy& s) {
    const bool deepspeed =
        is_deepspeed(s.profile) || s.profile == RuntimeProfile::megatron_deepspeed;
    const bool zero_bubble =
        s.pp > 1 && (s.schedule == Schedule::zero_bubble || s.schedule == Schedule::zero_bubble_v);
    const bool tokens_travel = s.ep > 1 || s.etp.value_or(s.tp) > 1;
    const bool all_to_all = s.dispatcher == Dispatcher::all_to_all;
    if (s.profile == RuntimeProfile::megatron_2021 && s.zero > 0)
        return "Megatron-LM of 2021 shards nothing over data-parallel ranks";
    if (is_megatron(s.profile) && s.zero > 1)
        return "Megatron-LM shards optimizer states alone, as zero 1 does";
    if (deepspeed && s.pp > 1 && s.zero > 1) return "DeepSpeed's pipelines take zero 0 and 1 alone";
    if (is_fsdp(s.profile) && s.zero == 1)
        return "FSDP shards gradients with optimizer states, as zero 2 does";
    if (s.profile == RuntimeProfile::llm_foundry && (s.tp > 1 || s.pp > 1 || s.cp > 1))
        return "llm-foundry's profile is of FSDP alone, without tensor, pipeline or context "
               "parallelism";
    // deepspeed/moe/sharded_moe.py has _AllToAll, of what is computed with, before and behind all experts.
    if (deepspeed && tokens_travel &&
        (!all_to_all || s.dispatch_precision != DispatchPrecision::stored ||
         s.overlap_shared_experts))
        return "DeepSpeed's experts are sent tokens by all-to-all, as they are stored and beside "
               "nothing";
    if (is_megatron(s.profile) && tokens_travel && s.overlap_shared_experts && !all_to_all)
        return "Megatron-LM computes shared experts beside its alltoall dispatcher alone";
    if (s.expandable_segments.value_or(false) &&
        (s.profile == RuntimeProfile::megatron_2021 || s.profile == RuntimeProfile::deepspeed_2021))
        return "PyTorch has expandable segments since 2023";
    if (zero_bubble && (deepspeed || is_megatron(s.profile)))
        return "it has no zero-bubble schedule";
    return std::nullopt;
}

}  // namespace shardscope
