#include "core/validation/run_scenario.h"

#include <algorithm>
#include <array>
#include <numeric>

#include <fmt/format.h>

#include "core/error.h"
#include "core/lowering/profile_rules.h"
#include "core/nearest.h"
#include "core/validation/run_attempts.h"
#include "core/validation/run_communication.h"
#include "core/validation/run_framework.h"
#include "core/validation/run_model.h"
#include "core/validation/run_notes.h"
#include "core/validation/run_recompute.h"
#include "core/validation/run_words.h"

namespace shardscope {
namespace {

class RunMapping {
public:
    RunMapping(const MeasuredRun& run, const ValidationConstants& constants)
        : run_(run), notes_(run.assumptions), constants_(constants) {}

    MappedRun map() {
        if (run_.unreadable) throw *run_.unreadable;
        count_devices(run_, assumed_);
        derive_degree();
        framework_ = framework_of(run_, assumed_);
        Scenario& scenario = mapped_.scenario;
        scenario.name = "validation";
        scenario.cluster = cluster_of(run_, assumed_);
        apply_constants(constants_, scenario.cluster);
        scenario.model = model_of(run_, framework_.profile, tp(), assumed_);
        scenario.training = training();
        mapped_.assumed.always = std::move(assumed_);
        for (const Degrees& degrees : all_degrees()) {
            assumed_.clear();
            add_alternatives(strategy(degrees));
        }
        if (run_.out_of_memory) keep_first();
        return std::move(mapped_);
    }

private:
    void assume(const char* column, std::string value) {
        assumed_.push_back({column, std::move(value)});
    }

    // The number in a column, or what stands for it where it is empty.
    int number(const std::optional<std::int64_t>& value, const char* column, int otherwise) {
        if (!value) assume(column, std::to_string(otherwise));
        return static_cast<int>(value.value_or(otherwise));
    }

    // One of the degrees follows from the others and the number of GPUs.
    void derive_degree() {
        if (!run_.gpus) return;
        struct Degree {
            const char* column;
            std::optional<std::int64_t>& value;
        };
        const std::array<Degree, 3> degrees = {{{"tp", run_.tp}, {"pp", run_.pp}, {"dp", run_.dp}}};
        std::int64_t others = run_.cp.value_or(1);
        const Degree* open = nullptr;
        for (const Degree& degree : degrees) {
            if (degree.value) {
                others *= *degree.value;
            } else {
                if (open != nullptr) return;
                open = &degree;
            }
        }
        if (open == nullptr || others < 1 || *run_.gpus % others != 0) return;
        open->value = *run_.gpus / others;
        assume(open->column, std::to_string(*open->value));
    }

    int tp() const { return static_cast<int>(run_.tp.value_or(1)); }

    TrainingSpec training() {
        TrainingSpec training;
        training.global_batch = require(run_.global_batch, "global_batch");
        set_precision(training);
        training.optimizer.weight_decay = 0.1;
        training.clip = 1.0;
        return training;
    }

    void set_precision(TrainingSpec& training) {
        std::vector<std::string_view> names;
        names.reserve(kTrainingPrecisions.size());
        for (const MathType math : kTrainingPrecisions) names.push_back(name_of(math));
        // Gradients in fp16 are of training in fp16, as is training where there is no bf16.
        const bool half = usual_word(RunWord::precision, run_.grad_dtype) == "fp16" ||
                          !mapped_.scenario.cluster.device.peak.contains(MathType::bf16);
        std::string word = usual_word(RunWord::precision, run_.precision);
        if (word.empty()) {
            word = half ? "fp16" : "bf16";
            assume("precision", word);
        } else if (const auto nearest = nearest_precision(word); !nearest.empty()) {
            word = nearest;
            assume("precision", word);
        }
        const auto found = std::find(names.begin(), names.end(), word);
        if (found == names.end())
            throw Error("unknown-name", fmt::format("unknown precision \"{}\"", word),
                        suggest_name(word, names));
        const MathType math = kTrainingPrecisions[static_cast<std::size_t>(found - names.begin())];
        check_peak(math);
        training.set_precision(math);
        set_gradient_dtype(training);
    }

    // GPUs multiply in what their data sheets have a rate for.
    void check_peak(MathType math) const {
        const Device& device = mapped_.scenario.cluster.device;
        if (device.peak_of(math).value > 0) return;
        std::vector<std::string> known;
        for (const MathType other : kTrainingPrecisions)
            if (device.peak_of(other).value > 0) known.emplace_back(name_of(other));
        throw Error("precision", fmt::format("{} has no {}", device.name, name_of(math)),
                    fmt::format("use {}", join_or(known)));
    }

    // Precisions that are not modelled by one that is nearly the same: scales per block of 128 by those per row in
    // torchao, which applies either outside the tensor cores; in Transformer Engine by one scale, as cuBLAS multiplies
    // both, and on Blackwell by the blocks of 32 that it has them emulated with (Float8BlockScaling). 16-bit parameters
    // without fp32 masters.
    std::string nearest_precision(std::string_view word) const {
        if (word.starts_with("fp8-block")) {
            if (is_fsdp(framework_.profile)) return "fp8-rowwise";
            const Device& device = mapped_.scenario.cluster.device;
            return device.peak.contains(MathType::mxfp8) ? "mxfp8" : "fp8";
        }
        if (word == "bf16-true" || word == "pure-bf16") return "bf16";
        return "";
    }

    // Gradients as the parameters are stored, or in fp32.
    void set_gradient_dtype(TrainingSpec& training) {
        const std::string word = usual_word(RunWord::precision, run_.grad_dtype);
        if (word.empty() && framework_.narrow_gradients) {
            training.gradient_dtype = training.precision;
            return assume("grad_dtype", std::string(name_of(training.precision)));
        }
        if (word.empty()) {
            Strategy s;
            set_profile(s, framework_.profile);
            return assume("grad_dtype", std::string(name_of(default_gradient(training, s))));
        }
        for (const DType dtype : {training.precision, DType::fp32})
            if (word == name_of(dtype)) {
                training.gradient_dtype = dtype;
                return;
            }
        throw Error("gradient-dtype",
                    fmt::format("gradients in {} do not go with precision {}", run_.grad_dtype,
                                name_of(training.precision)),
                    fmt::format("use {} or fp32", name_of(training.precision)));
    }

    struct Degrees {
        int tp = 1, pp = 1;
    };

    // Where the row does not say one or both, what people come to who need more ranks for a model: tensor parallelism
    // within a node, then stages of a pipeline, as far as they divide ranks and samples.
    std::vector<Degrees> all_degrees() const {
        const Degrees least{static_cast<int>(run_.tp.value_or(1)),
                            static_cast<int>(run_.pp.value_or(1))};
        if ((run_.tp && run_.pp) || shards_instead()) return {least};
        constexpr int kMostTensorRanks = 8;
        const int most = std::min(mapped_.scenario.cluster.gpus_per_node, kMostTensorRanks);
        std::vector<Degrees> all;
        const auto add = [&](int tp, int pp) {
            if (divides({tp, pp})) all.push_back({tp, pp});
        };
        int tp = least.tp;
        for (; !run_.tp && 2 * tp <= most; tp *= 2) add(tp, least.pp);
        for (std::int64_t pp = least.pp; pp <= require(run_.layers, "layers"); pp *= 2) {
            add(tp, static_cast<int>(pp));
            if (run_.pp) break;
        }
        if (all.empty()) all.push_back(least);  // for what is wrong with it to be said
        return all;
    }

    // FSDP, DeepSpeed's engine, which has no tensor parallelism of its own and layers of its own alone in pipelines, and
    // stages 2 and 3, whose users shard more in place of dividing layers; unless there are fewer replicas than ranks.
    bool shards_instead() const {
        if (is_fsdp(framework_.profile)) return true;
        const bool of_all =
            !run_.dp || *run_.dp * run_.cp.value_or(1) == require(run_.gpus, "gpus");
        return of_all &&
               (is_deepspeed(framework_.profile) || run_.zero_stage.value_or(framework_.zero) >= 2);
    }

    bool divides(const Degrees& d) const {
        const std::int64_t ranks = require(run_.gpus, "gpus");
        const std::int64_t model = std::int64_t{d.tp} * d.pp * run_.cp.value_or(1);
        if (ranks % model != 0) return false;
        const std::int64_t replicas = ranks / model;
        return run_.dp.value_or(replicas) == replicas &&
               require(run_.global_batch, "global_batch") % replicas == 0;
    }

    Strategy strategy(const Degrees& degrees) {
        Strategy s;
        s.name = "run";
        set_profile(s, framework_.profile);
        s.tp = degrees.tp;
        s.pp = degrees.pp;
        if (!run_.tp) assume("tp", std::to_string(s.tp));
        if (!run_.pp) assume("pp", std::to_string(s.pp));
        s.ep = static_cast<int>(run_.ep.value_or(1));
        set_context_parallel(s);
        s.zero = static_cast<int>(run_.zero_stage.value_or(framework_.zero));
        if (framework_.plus_plus) set_zero_plus_plus(s);
        set_data_parallel(s);
        set_expert_tensor_parallel(s);
        set_dispatch(run_, framework_, mapped_.scenario, s, assumed_);
        set_pipeline(s);
        set_tensor_collectives(run_, framework_, mapped_.scenario, s, assumed_);
        set_attention(s);
        set_recompute(s);
        set_segments(s);
        return s;
    }

    // DeepSpeed's tutorial of ZeRO++ has all three, with the GPUs of a node as the secondary group.
    void set_zero_plus_plus(Strategy& s) {
        s.quantized_weights = s.quantized_gradients = true;
        s.secondary_shard = Strategy::kWholeNode;
        assume("framework", "ZeRO++: qwZ, hpZ within nodes, qgZ");
    }

    // How keys and values travel is the product's default: no column says it.
    void set_context_parallel(Strategy& s) {
        s.cp = static_cast<int>(run_.cp.value_or(1));
        if (s.cp > 1) assume("cp_kind", std::string(name_of(context_kind(s))));
    }

    void set_data_parallel(Strategy& s) {
        if (run_.dp) s.dp = static_cast<int>(*run_.dp);
        const std::int64_t gpus = require(run_.gpus, "gpus");
        const std::int64_t model_parallel = std::int64_t{s.tp} * s.cp * s.pp;
        if (gpus % model_parallel != 0 || (s.dp && *s.dp * model_parallel != gpus))
            throw Error("world-size",
                        fmt::format("tp {} × {}pp {}{} is not the {} GPUs", s.tp,
                                    s.cp > 1 ? fmt::format("cp {} × ", s.cp) : "", s.pp,
                                    s.dp ? fmt::format(" × dp {}", *s.dp) : "", gpus),
                        "correct one of them");
        s.dp = static_cast<int>(gpus / model_parallel);
    }

    // Megatron's default is tp, unless there are more expert-parallel ranks than it leaves.
    void set_expert_tensor_parallel(Strategy& s) {
        if (s.tp == 1 || run_.experts.value_or(1) <= 1) return;
        if (run_.etp) {
            s.etp = static_cast<int>(*run_.etp);
        } else if (const auto noted = notes_.number_after("ETP")) {
            s.etp = static_cast<int>(*noted);
            assume("etp", std::to_string(*s.etp));
            assume(kFromNotes, fmt::format("ETP {}", *s.etp));
        } else if (const int replicas = *s.dp * s.cp;
                   replicas % s.ep != 0 && s.tp * replicas % s.ep == 0) {
            s.etp = 1;
            assume("etp", "1");
        }
    }

    void set_segments(Strategy& s) {
        constexpr const char* kWords = "expandable segments";
        const RunNotes::Said said = notes_.said(kWords);
        if (said == RunNotes::Said::nothing) return;
        s.expandable_segments = said == RunNotes::Said::yes;
        assume(kFromNotes, fmt::format("{}{}", *s.expandable_segments ? "" : "no ", kWords));
    }

    void set_pipeline(Strategy& s) {
        if (s.pp == 1) return;
        std::string word = usual_word(RunWord::schedule, run_.schedule);
        if (word.empty()) {
            word = "1f1b";
            assume("schedule", word);
        }
        constexpr auto kSchedules =
            std::to_array<std::string_view>({"1f1b", "interleaved-1f1b", "gpipe", "zb-h1", "zb-v"});
        const auto found = std::find(kSchedules.begin(), kSchedules.end(), word);
        if (found == kSchedules.end())
            throw Error("unknown-name", fmt::format("unknown schedule \"{}\"", word),
                        suggest_name(word, kSchedules));
        if (word == "gpipe") s.schedule = Schedule::gpipe;
        if (word == "zb-h1") s.schedule = Schedule::zero_bubble;
        if (word == "zb-v") s.schedule = Schedule::zero_bubble_v;
        const int chunks = word == "interleaved-1f1b" ? usual_chunks(s.pp) : 1;
        // Both chunks are the schedule's own.
        if (s.schedule == Schedule::zero_bubble_v && run_.virtual_stages.value_or(2) == 2) return;
        s.virtual_stages = number(run_.virtual_stages, "virtual_stages", chunks);
    }

    // Of an interleaved schedule: the fewest chunks of a stage into which its layers divide, as Megatron requires; where
    // they do not divide over the stages, two. A stage with too few layers interleaves nothing.
    int usual_chunks(int stages) const {
        const std::int64_t layers = require(run_.layers, "layers"), of_stage = layers / stages;
        if (layers % stages != 0) return of_stage >= 2 ? 2 : 1;
        for (std::int64_t chunks = 2; chunks <= of_stage; ++chunks)
            if (of_stage % chunks == 0) return static_cast<int>(chunks);
        return 1;
    }

    // FlashAttention is of 2022, and its second version, which frameworks call, needs Ampere.
    bool is_before_flash() const {
        const RuntimeProfile profile = framework_.profile;
        return (profile == RuntimeProfile::megatron_2021 && !framework_.stands_in) ||
               profile == RuntimeProfile::deepspeed_2021 ||
               mapped_.scenario.cluster.device.architecture == Architecture::volta ||
               mapped_.scenario.cluster.device.architecture == Architecture::turing;
    }

    void set_attention(Strategy& s) {
        std::string word = usual_word(RunWord::attention, run_.attention);
        if (word.empty()) {
            // Context parallelism goes by log-sum-exps, which only flash has.
            word = is_before_flash() && s.cp == 1 ? "unfused" : "flash";
            assume("attention", word);
        }
        if (word == "flash") return;
        if (word != "unfused")
            throw Error("unknown-name", fmt::format("unknown attention \"{}\"", run_.attention),
                        "use \"flash\" or \"unfused\"");
        s.attention = AttentionKind::unfused;
    }

    void set_recompute(Strategy& s) {
        if (const auto recompute = recompute_of(run_, s, assumed_)) s.recompute = *recompute;
    }

    // Ranks that share one copy of the parameters, as the notes say it: torchtitan's degrees, or GPUs of a group.
    std::optional<std::int64_t> noted_shard_group(const Strategy& s) const {
        for (const char* words : {"dp_shard", "data_parallel_shard_degree"})
            if (const auto ranks = notes_.number_after(words)) return *ranks * s.cp;
        for (const char* words : {"dp_replicate", "data_parallel_replicate_degree"})
            if (const auto copies = notes_.number_after(words))
                return std::max<std::int64_t>(1, *s.dp / *copies) * s.cp;
        for (const char* words : {"shard group", "shard group size", "sharding group"})
            if (const auto gpus = notes_.number_after(words)) return *gpus / s.tp;
        for (const char* words : {"GPUs per shard group", "GPUs per sharding group"})
            if (const auto gpus = notes_.number_before(words))
                return static_cast<std::int64_t>(*gpus) / s.tp;
        return std::nullopt;
    }

    // HSDP: FSDP's shards lie within groups as stated, or within nodes, where there are replicas in several; within
    // `nodes` of them.
    void set_shard_group(Strategy& s, int nodes) {
        const auto stated = noted_shard_group(s);
        if (s.zero == 0 || !(is_hybrid() || stated)) return;
        const int all = *s.dp * s.cp;
        const int per_node = mapped_.scenario.cluster.gpus_per_node / s.tp;
        const std::int64_t wanted = stated.value_or(std::int64_t{per_node} * nodes);
        if (wanted < 2) {
            if (all > 1)
                assume("shard_group", "all: a node has one rank that holds the parameters");
            return;
        }
        if (all <= wanted) return;
        // Every group has all experts.
        const int experts_over = s.ep / std::gcd(s.ep, s.tp / s.etp.value_or(s.tp));
        const std::int64_t group = std::lcm(wanted, std::int64_t{experts_over});
        if (group >= all && !stated) return;
        if (stated && all % group != 0)
            throw Error("shard-group",
                        fmt::format("groups of {} ranks do not divide the {} that hold the same "
                                    "parameters",
                                    group, all),
                        "state a divisor");
        s.shard_group =
            group == per_node || all % group != 0 ? Strategy::kWholeNode : static_cast<int>(group);
        assume("shard_group", s.shard_group > 0 ? std::to_string(group) : "node");
        if (!framework_.hybrid) assume(kFromNotes, stated ? "shard group" : "HSDP");
    }

    bool is_hybrid() const {
        return framework_.hybrid || notes_.affirms("HSDP") || notes_.affirms("hybrid shard");
    }

    // Nodes that a shard group spans where the row does not say it: one, or more where that does not fit.
    std::vector<int> group_nodes(const Strategy& s) const {
        std::vector<int> nodes{1};
        if (!is_hybrid() || noted_shard_group(s)) return nodes;
        const std::int64_t per_node = mapped_.scenario.cluster.gpus_per_node / s.tp;
        const std::int64_t all = std::int64_t{*s.dp} * s.cp;
        for (int more = 2; per_node >= 2 && per_node * more <= all; more *= 2)
            if (all % (per_node * more) == 0) nodes.push_back(more);
        return nodes;
    }

    // All that the row leaves open: stages of ZeRO, no recomputation before some and full, and micro-batches from the
    // largest that still gives every pipeline stage one.
    void add_alternatives(const Strategy& s) {
        for (const int nodes : group_nodes(s))
            for (const Attempt& attempt : attempts_of(run_, framework_, s))
                for (const std::int64_t micro_batch : micro_batches(s))
                    add_alternative(s, attempt, micro_batch, nodes);
    }

    // What fits did not decide what this run did: who runs out of memory comes to the other alternatives later.
    void keep_first() {
        if (mapped_.scenario.strategies.size() == 1) return;
        mapped_.scenario.strategies.resize(1);
        mapped_.assumed.by_strategy.resize(1);
        mapped_.assumed.by_strategy.front().push_back(
            {"out_of_memory", "what is open is as one tries it first, whether it fits or not"});
    }

    void add_alternative(Strategy s, const Attempt& attempt, std::int64_t micro_batch,
                         int group_nodes) {
        const std::size_t common = assumed_.size();
        if (may_turn_on_sequence_parallel(run_, s))
            assume("sequence_parallel", attempt.sequence_parallel ? "1" : "0");
        s.zero = attempt.zero;
        s.sequence_parallel = attempt.sequence_parallel;
        s.micro_batch = micro_batch;
        s.recompute = attempt.recompute;
        if (!run_.zero_stage) assume("zero_stage", std::to_string(s.zero));
        set_data_parallel_overlap(run_, framework_, mapped_.scenario.training, s, assumed_);
        set_shard_group(s, group_nodes);
        if (!run_.micro_batch) assume("micro_batch", std::to_string(micro_batch));
        if (leaves_recompute_open(run_, s)) assume("recompute", recompute_text(s.recompute));
        mapped_.scenario.strategies.push_back(std::move(s));
        mapped_.assumed.by_strategy.push_back(assumed_);
        assumed_.resize(common);
    }

    std::vector<std::int64_t> micro_batches(const Strategy& s) const {
        if (run_.micro_batch) return {*run_.micro_batch};
        const std::int64_t samples = mapped_.scenario.training.global_batch / *s.dp;
        constexpr std::int64_t kLargest = 256;
        std::vector<std::int64_t> sizes;
        for (std::int64_t size = std::min(samples / s.pp, kLargest); size > 1; --size)
            if (samples % size == 0) sizes.push_back(size);
        sizes.push_back(1);
        return sizes;
    }

    MeasuredRun run_;
    RunNotes notes_;
    const ValidationConstants& constants_;
    RunFramework framework_;
    std::vector<Assumption> assumed_;  // of what is being mapped: all strategies, or one
    MappedRun mapped_;
};

}  // namespace

std::vector<Assumption> RunAssumptions::with(std::size_t strategy) const {
    std::vector<Assumption> all;
    const auto add = [&](const Assumption& assumption) {
        const auto same = std::ranges::find(all, assumption.column, &Assumption::column);
        if (same == all.end())
            all.push_back(assumption);
        else
            same->value += ", " + assumption.value;
    };
    std::ranges::for_each(always, add);
    std::ranges::for_each(by_strategy.at(strategy), add);
    return all;
}

MappedRun map_run(const MeasuredRun& run, const ValidationConstants& constants) {
    return RunMapping(run, constants).map();
}

}  // namespace shardscope
