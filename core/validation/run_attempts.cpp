#include "core/validation/run_attempts.h"

#include <numeric>

#include "core/validation/run_communication.h"
#include "core/validation/run_recompute.h"

namespace shardscope {
namespace {

// Who has no room for optimizer states on every rank shards them before recomputing anything: it costs next to no
// time. Megatron's stage 1 is its distributed optimizer, which that of 2021 has not. DeepSpeed's engine has nothing else
// for a large model than its further stages, which its pipelines do not take.
std::vector<int> stages_of(const MeasuredRun& run, const RunFramework& framework,
                           const Strategy& s) {
    const bool engine = is_deepspeed(s.profile);
    const bool shards_when_told = s.profile == RuntimeProfile::megatron ||
                                  s.profile == RuntimeProfile::megatron_deepspeed || engine ||
                                  framework.stands_in || framework.open;
    const bool open = !run.zero_stage && !framework.names_zero && shards_when_told &&
                      framework.recipes == Recipes::none && *s.dp * s.cp > 1;
    if (!open) return {s.zero};
    if (framework.open) return {0, 3};
    if (engine && s.pp == 1) return {0, 1, 2, 3};
    if (s.profile == RuntimeProfile::megatron && notes_gather_overlap(run)) return {1};
    return {0, 1};
}

// Some of the blocks, before all are: an eighth of them, a quarter, a half and three quarters. torchtitan's
// selective_ac_option is every N-th block, Megatron's recompute_num_layers any number of each chunk of a pipeline stage, so
// that stages stay alike.
std::vector<Recompute> partial_recomputes(const MeasuredRun& run, const Strategy& s) {
    const auto layers = static_cast<int>(run.layers.value_or(0));
    if (is_fsdp(s.profile)) {
        std::vector<Recompute> partial;
        for (const int every : {8, 4, 2})
            if (every <= layers) partial.push_back({Recompute::Kind::full, every});
        return partial;
    }
    const int chunks = s.pp * s.chunks_per_stage(), of_chunk = (layers + chunks - 1) / chunks;
    std::vector<Recompute> partial;
    for (const int eighths : {1, 2, 4, 6}) {
        const int blocks = (of_chunk * eighths + 7) / 8, common = std::gcd(blocks, of_chunk);
        const Recompute recompute{Recompute::Kind::full, of_chunk / common, blocks / common};
        if (blocks == of_chunk) continue;
        if (partial.empty() || partial.back() != recompute) partial.push_back(recompute);
    }
    return partial;
}

}  // namespace

bool leaves_recompute_open(const MeasuredRun& run, const Strategy& s) {
    std::vector<Assumption> said_already;
    return !recompute_of(run, s, said_already);
}

bool may_turn_on_sequence_parallel(const MeasuredRun& run, const Strategy& s) {
    return leaves_recompute_open(run, s) && !run.sequence_parallel && s.tp > 1 &&
           !s.sequence_parallel && s.profile == RuntimeProfile::megatron;
}

std::vector<Attempt> attempts_of(const MeasuredRun& run, const RunFramework& framework,
                                 const Strategy& s) {
    std::vector<Attempt> attempts;
    for (const int zero : stages_of(run, framework, s))
        attempts.push_back({zero, s.sequence_parallel, s.recompute});
    if (!leaves_recompute_open(run, s)) return attempts;
    Attempt next = attempts.back();
    const auto add = [&](const Recompute& recompute) {
        next.recompute = recompute;
        attempts.push_back(next);
    };
    if (may_turn_on_sequence_parallel(run, s)) {
        next.sequence_parallel = true;
        add(next.recompute);
    }
    // Without its probabilities attention keeps little beside what other layers keep.
    if (s.profile == RuntimeProfile::megatron && s.attention == AttentionKind::unfused)
        add({Recompute::Kind::selective});
    if (framework.partial_recompute)
        for (const Recompute& partial : partial_recomputes(run, s)) add(partial);
    add({Recompute::Kind::full, 1});
    return attempts;
}

}  // namespace shardscope
