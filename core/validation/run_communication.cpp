#include "core/validation/run_communication.h"

#include <array>
#include <optional>
#include <span>

#include "core/strategy/check_dispatch.h"
#include "core/validation/released_model.h"
#include "core/validation/run_attempts.h"
#include "core/validation/run_notes.h"

namespace shardscope {
namespace {

using Said = RunNotes::Said;

// The same in several spellings.
using Spellings = std::span<const char* const>;

// The first of the spellings that is affirmed.
const char* affirmed(const RunNotes& notes, Spellings spellings) {
    for (const char* words : spellings)
        if (notes.affirms(words)) return words;
    return nullptr;
}

bool is_denied(const RunNotes& notes, Spellings spellings) {
    for (const char* words : spellings)
        if (notes.said(words) == Said::denied) return true;
    return false;
}

constexpr auto kTensorOverlap = std::to_array<const char*>(
    {"async TP", "TP comm overlap", "TP communication overlap", "TP overlap", "overlap TP comm",
     "overlapped TP comm", "userbuffer", "UB overlap"});
constexpr auto kReduceOverlap = std::to_array<const char*>(
    {"overlap grad reduc", "overlap gradient reduc", "overlapped grad reduc",
     "overlapped gradient reduc", "overlapping gradient reduc"});
constexpr auto kGatherOverlap = std::to_array<const char*>(
    {"overlap param gather", "overlap parameter gather", "overlapped param gather",
     "overlapped parameter gather", "overlapping parameter gather"});
constexpr auto kDataOverlap = std::to_array<const char*>(
    {"overlap DP comm", "overlapped DP comm", "DP comm overlap", "DP communication overlap",
     "DP overlap", "overlapped data parallel comm", "data parallel overlap"});
constexpr auto kAnyOverlap = std::to_array<const char*>(
    {"comm overlap", "communication overlap", "overlap of communication", "all overlap"});
constexpr auto kExpertOverlap = std::to_array<const char*>(
    {"DualPipe", "A2A overlap", "alltoall overlap", "all to all overlap",
     "overlap moe expert parallel comm", "MoE comm overlap", "MoE communication overlap",
     "MoE communication fully overlap", "EP overlap"});
constexpr auto kFlexDispatch = std::to_array<const char*>(
    {"HybridEP", "hybrid EP", "flex dispatcher", "flex token dispatcher", "dispatcher type flex",
     "dispatcher type=flex", "dispatcher=flex", "dispatcher: flex"});
constexpr auto kAllToAllDispatch = std::to_array<const char*>(
    {"alltoall dispatcher", "all to all dispatcher", "alltoall token dispatcher",
     "dispatcher type alltoall", "dispatcher type=alltoall", "dispatcher=alltoall",
     "dispatcher: alltoall"});

// "All comm overlap off": a denial that names no part is of every one.
bool denies_overlap(const RunNotes& notes) {
    return is_denied(notes, kAnyOverlap) && !is_denied(notes, kTensorOverlap) &&
           !is_denied(notes, kReduceOverlap) && !is_denied(notes, kGatherOverlap) &&
           !is_denied(notes, kDataOverlap) && !is_denied(notes, kExpertOverlap);
}

bool has_experts(const MeasuredRun& run) { return run.experts.value_or(1) > 1; }

bool has_shared_experts(const Scenario& scenario) {
    const auto* model = std::get_if<TransformerSpec>(&scenario.model.kind);
    return model != nullptr && model->experts.shared_ffn > 0;
}

// Whether the product's recipes give the model's tokens to Megatron's flex dispatcher, with DeepEP or HybridEP behind it.
// NeMo's are DeepSeek's (recipes/deepseek_*.py, scripts/performance/llm/pretrain_deepseek_v3.py), on GPUs that DeepEP
// knew; Megatron-Bridge's those of scripts/performance/configs/*, but for Qwen3-235B on H100 and B200 and
// Kimi K2 outside racks.
bool has_flex_recipe(const MeasuredRun& run, const RunFramework& framework,
                     const Cluster& cluster) {
    const bool hopper = cluster.device.architecture == Architecture::hopper;
    const bool deepseek = is_named(run, "DeepSeek");
    if (framework.recipes == Recipes::nemo)
        return deepseek && (hopper || cluster.device.architecture == Architecture::ampere);
    if (framework.recipes != Recipes::megatron_bridge) return false;
    if (is_named(run, "Qwen3-235B")) return !hopper && !cluster.name.starts_with("b200");
    if (is_named(run, "Kimi-K2")) return cluster.name.starts_with("gb");
    return deepseek || is_named(run, "Qwen3");
}

bool tokens_travel(const Strategy& s) { return s.ep * s.etp.value_or(s.tp) > 1; }

// The words that a row has for its dispatcher, and what they mean.
std::optional<Dispatcher> noted_dispatcher(const RunNotes& notes, const Cluster& cluster,
                                           const Strategy& s, std::vector<Assumption>& assumed) {
    const auto take = [&](const char* words, Dispatcher dispatcher) {
        assumed.push_back({kFromNotes, words});
        return dispatcher;
    };
    if (notes.affirms("DeepEP")) return take("DeepEP", Dispatcher::deepep);
    if (notes.affirms("allgather dispatcher"))
        return take("allgather dispatcher", Dispatcher::all_gather);
    if (const char* words = affirmed(notes, kFlexDispatch)) {
        const bool can = has_deepep_groups(cluster, s.ep, s.etp.value_or(s.tp));
        const Dispatcher dispatcher =
            take(words, can ? Dispatcher::deepep : Dispatcher::all_to_all);
        assumed.push_back({"dispatcher", std::string(name_of(dispatcher))});
        return dispatcher;
    }
    if (affirmed(notes, kAllToAllDispatch) != nullptr || notes.said("DeepEP") == Said::denied ||
        is_denied(notes, kFlexDispatch))
        return Dispatcher::all_to_all;
    return std::nullopt;
}

}  // namespace

void set_tensor_collectives(const MeasuredRun& run, const RunFramework& framework,
                            const Scenario& scenario, Strategy& s,
                            std::vector<Assumption>& assumed) {
    if (s.tp == 1) return;
    const RunNotes notes(run.assumptions);
    const char* words = affirmed(notes, kTensorOverlap);
    // PyTorch's tensor parallelism comes with it, Megatron's needs to be asked for it; experts beside tensor parallelism
    // need it, and so does the overlap.
    const bool usual = is_fsdp(framework.profile) || has_experts(run) ||
                       framework.recipes != Recipes::none || words != nullptr;
    s.sequence_parallel = run.sequence_parallel.value_or(usual);
    if (!run.sequence_parallel && !may_turn_on_sequence_parallel(run, s))
        assumed.push_back({"sequence_parallel", usual ? "1" : "0"});
    if (!s.sequence_parallel) return;
    if (words != nullptr) {
        s.tp_overlap = TensorOverlap::pieces;
        return assumed.push_back({kFromNotes, words});
    }
    // tp_comm_overlap is in the recipes of dense models, but for NVFP4.
    const bool in_recipe = framework.recipes != Recipes::none && !has_experts(run) &&
                           scenario.training.arithmetic() != MathType::nvfp4;
    if (!in_recipe || is_denied(notes, kTensorOverlap) || denies_overlap(notes)) return;
    s.tp_overlap = TensorOverlap::pieces;
    assumed.push_back({"framework", "TP comm overlap"});
}

void set_dispatch(const MeasuredRun& run, const RunFramework& framework, const Scenario& scenario,
                  Strategy& s, std::vector<Assumption>& assumed) {
    if (!has_experts(run)) return;
    const RunNotes notes(run.assumptions);
    const bool noted_overlap =
        has_shared_experts(scenario) && notes.affirms("shared expert overlap");
    const auto noted = noted_dispatcher(notes, scenario.cluster, s, assumed);
    if (noted) {
        s.dispatcher = *noted;
    } else if (tokens_travel(s) && !noted_overlap &&  // which its dispatcher has not
               has_flex_recipe(run, framework, scenario.cluster) &&
               has_deepep_groups(scenario.cluster, s.ep, s.etp.value_or(s.tp))) {
        s.dispatcher = Dispatcher::deepep;
        assumed.push_back({"dispatcher", std::string(name_of(s.dispatcher))});
    }
    if (const char* words = affirmed(notes, kExpertOverlap))
        assumed.push_back({kFromNotes, std::string(words) + " is not modelled"});
    if (notes.affirms("fp8 dispatch")) {
        s.dispatch_precision = DispatchPrecision::fp8;
        assumed.push_back({kFromNotes, "fp8 dispatch"});
    }
    // NeMo turns it on where it does not use DeepEP.
    const bool recipe_overlap = framework.recipes == Recipes::nemo && is_named(run, "DeepSeek") &&
                                has_shared_experts(scenario) && tokens_travel(s) &&
                                s.dispatcher == Dispatcher::all_to_all &&
                                notes.said("shared expert overlap") == Said::nothing;
    if (!noted_overlap && !recipe_overlap) return;
    s.overlap_shared_experts = true;
    assumed.push_back({noted_overlap ? kFromNotes : "framework", "shared expert overlap"});
}

bool notes_gather_overlap(const MeasuredRun& run) {
    return affirmed(RunNotes(run.assumptions), kGatherOverlap) != nullptr;
}

void set_data_parallel_overlap(const MeasuredRun& run, const RunFramework& framework,
                               const TrainingSpec& training, Strategy& s,
                               std::vector<Assumption>& assumed) {
    const RunNotes notes(run.assumptions);
    if (is_deepspeed(s.profile) && s.pp == 1 && s.zero > 0) {  // its pipelines turn it off
        const Said said = notes.said("overlap comm");
        if (said == Said::nothing) return;
        s.overlap_reduce = said == Said::yes;
        return assumed.push_back(
            {kFromNotes, *s.overlap_reduce ? "overlap_comm" : "no overlap_comm"});
    }
    if (s.profile != RuntimeProfile::megatron || *s.dp * s.cp == 1) return;
    // Of both by a word for both; else each by its own, else by the recipes.
    struct Part {
        Spellings words;
        const char* name;
        bool usual;
        bool on = false;
    };
    const bool recipes = framework.recipes != Recipes::none && *s.dp > 1;
    // NeMo's MXFP8 gathers into the buffer of the gradients (reuse_grad_buf_for_mxfp8_param_ag).
    const bool reuses =
        framework.recipes == Recipes::nemo && training.arithmetic() == MathType::mxfp8;
    Part reduce{kReduceOverlap, "overlapped gradient reduction", recipes};
    Part gather{kGatherOverlap, "overlapped parameter gather", recipes && !reuses};
    const bool shards = s.zero == 1 || s.zero == 2;
    const auto decide = [&](Part& part) {
        const char* words = affirmed(notes, part.words);
        if (words == nullptr) words = affirmed(notes, kDataOverlap);
        part.on = words != nullptr || (part.usual && !is_denied(notes, part.words) &&
                                       !is_denied(notes, kDataOverlap) && !denies_overlap(notes));
        if (part.on) assumed.push_back({words != nullptr ? kFromNotes : "framework", part.name});
    };
    decide(reduce);
    if (shards) decide(gather);
    if (reduce.on || gather.on) s.overlap_reduce = true;  // --overlap-param-gather needs the other
    s.overlap_gather = gather.on;
}

}  // namespace shardscope
