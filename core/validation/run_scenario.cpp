#include "core/validation/run_scenario.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include <fmt/format.h>

#include "core/error.h"
#include "core/nearest.h"
#include "core/validation/run_model.h"
#include "core/validation/run_words.h"

namespace shardscope {
namespace {

// A product's name in the file.
struct Framework {
    std::string_view name;
    RuntimeProfile profile;
    int zero;  // where the row does not say: what the product does unless it is told
};
constexpr auto kFrameworks = std::to_array<Framework>({
    {"shardscope", RuntimeProfile::shardscope, 0},
    {"deepspeed", RuntimeProfile::deepspeed, 0},
    {"deepspeed-2021", RuntimeProfile::deepspeed_2021, 0},
    {"megatron-deepspeed", RuntimeProfile::megatron_deepspeed, 0},
    {"megatron", RuntimeProfile::megatron, 0},
    {"megatron-2021", RuntimeProfile::megatron_2021, 0},
    {"fsdp", RuntimeProfile::fsdp, 3},
    {"fsdp1", RuntimeProfile::fsdp, 3},
    {"fsdp2", RuntimeProfile::fsdp, 3},
    {"llm-foundry", RuntimeProfile::llm_foundry, 3},
});

class RunMapping {
public:
    RunMapping(const MeasuredRun& run, const ValidationConstants& constants)
        : run_(run), constants_(constants) {}

    MappedRun map() {
        if (run_.unreadable) throw *run_.unreadable;
        derive_degree();
        framework_ = find_framework();
        Scenario& scenario = mapped_.scenario;
        scenario.name = "validation";
        scenario.cluster = cluster_of(run_, mapped_.assumed);
        apply_constants(constants_, scenario.cluster);
        scenario.model = model_of(run_, framework_.profile, tp(), mapped_.assumed);
        scenario.training = training();
        scenario.strategies = all_strategies();
        return std::move(mapped_);
    }

private:
    void assume(const char* column, std::string value) {
        const Assumption assumption{column, std::move(value)};
        if (std::ranges::find(mapped_.assumed, assumption) == mapped_.assumed.end())
            mapped_.assumed.push_back(assumption);
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

    // torch.compile has no column; rows that used it say so in their notes, or are of a program that
    // compiles unless told otherwise (fms-fsdp's train_config). The loss is compiled too by torchtitan
    // since 2025; its files carry the month.
    RuntimeProfile fsdp_profile() const {
        if (run_.source.starts_with("foundation-model-stack/fms-fsdp"))
            return RuntimeProfile::fsdp_compile_blocks;
        if (run_.source.starts_with("mosaicml/llm-foundry")) return RuntimeProfile::llm_foundry;
        if (run_.assumptions.find("torch.compile") == std::string::npos)
            return RuntimeProfile::fsdp;
        const bool old = run_.source.find("_2024") != std::string::npos;
        return old ? RuntimeProfile::fsdp_compile_blocks : RuntimeProfile::fsdp_compile;
    }

    // No column has the year, but a source may name it, or the conference.
    bool is_of_2021() const {
        return run_.source.find("2021") != std::string::npos ||
               run_.source.find("SC21") != std::string::npos;
    }
    static RuntimeProfile in_2021(RuntimeProfile profile) {
        if (profile == RuntimeProfile::deepspeed) return RuntimeProfile::deepspeed_2021;
        if (profile == RuntimeProfile::megatron) return RuntimeProfile::megatron_2021;
        return profile;
    }

    Framework find_framework() const {
        if (is_unknown_mark(run_.framework) || run_.framework.empty())
            throw Error("missing-value", "column \"framework\" is empty",
                        "nothing can stand for it");
        const std::string word = usual_word(RunWord::framework, run_.framework);
        std::vector<std::string_view> names;
        for (Framework framework : kFrameworks) {
            names.push_back(framework.name);
            if (framework.name != word) continue;
            if (framework.profile == RuntimeProfile::fsdp) framework.profile = fsdp_profile();
            if (is_of_2021()) framework.profile = in_2021(framework.profile);
            return framework;
        }
        throw Error("unknown-name", fmt::format("unknown framework \"{}\"", run_.framework),
                    suggest_name(run_.framework, names));
    }

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
        for (const MathType math : kTrainingPrecisions) names.push_back(name_of(math));
        // Gradients in fp16 are of training in fp16, as is training where there is no bf16.
        const bool half = usual_word(RunWord::precision, run_.grad_dtype) == "fp16" ||
                          !mapped_.scenario.cluster.device.peak.contains(MathType::bf16);
        std::string word = usual_word(RunWord::precision, run_.precision);
        if (word.empty()) {
            word = half ? "fp16" : "bf16";
            assume("precision", word);
        }
        const auto found = std::find(names.begin(), names.end(), word);
        if (found == names.end())
            throw Error("unknown-name", fmt::format("unknown precision \"{}\"", word),
                        suggest_name(word, names));
        training.set_precision(
            kTrainingPrecisions[static_cast<std::size_t>(found - names.begin())]);
        set_gradient_dtype(training);
    }

    // Gradients as the parameters are stored, or in fp32. FSDP1's MixedPrecision reduces in the type of
    // the parameters unless it is told otherwise; torchtitan tells FSDP2 fp32, as the profile does.
    void set_gradient_dtype(TrainingSpec& training) {
        const std::string word = usual_word(RunWord::precision, run_.grad_dtype);
        if (word.empty() && (framework_.name == "fsdp1" || framework_.name == "llm-foundry")) {
            training.gradient_dtype = training.precision;
            return assume("grad_dtype", std::string(name_of(training.precision)));
        }
        if (word.empty()) return assume("grad_dtype", "the profile's");
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
        if ((run_.tp && run_.pp) || is_fsdp(framework_.profile)) return {least};
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

    bool divides(const Degrees& d) const {
        const std::int64_t ranks = require(run_.gpus, "gpus");
        const std::int64_t model = std::int64_t{d.tp} * d.pp * run_.cp.value_or(1);
        if (ranks % model != 0) return false;
        const std::int64_t replicas = ranks / model;
        return run_.dp.value_or(replicas) == replicas &&
               require(run_.global_batch, "global_batch") % replicas == 0;
    }

    std::vector<Strategy> all_strategies() {
        const std::vector<Degrees> degrees = all_degrees();
        mapped_.degrees_open = degrees.size() > 1;
        std::vector<Strategy> all;
        for (const Degrees& d : degrees)
            for (Strategy& s : alternatives(strategy(d))) all.push_back(std::move(s));
        return all;
    }

    Strategy strategy(const Degrees& degrees) {
        Strategy s;
        s.name = "run";
        set_profile(s, framework_.profile);
        s.tp = degrees.tp;
        s.pp = degrees.pp;
        if (!mapped_.degrees_open) {
            if (!run_.tp) assume("tp", std::to_string(s.tp));
            if (!run_.pp) assume("pp", std::to_string(s.pp));
        }
        s.ep = static_cast<int>(run_.ep.value_or(1));
        set_context_parallel(s);
        s.zero = number(run_.zero_stage, "zero_stage", framework_.zero);
        set_data_parallel(s);
        set_expert_tensor_parallel(s);
        set_pipeline(s);
        set_sequence_parallel(s);
        set_attention(s);
        set_recompute(s);
        return s;
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
        } else if (const auto noted = number_after(run_.assumptions, "ETP")) {
            s.etp = static_cast<int>(*noted);
            assume("etp", std::to_string(*s.etp));
        } else if (const int replicas = *s.dp * s.cp;
                   replicas % s.ep != 0 && s.tp * replicas % s.ep == 0) {
            s.etp = 1;
            assume("etp", "1");
        }
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
        const int chunks = word == "interleaved-1f1b" ? 2 : 1;  // torchtitan's, else Megatron's
        // Both chunks are the schedule's own.
        if (s.schedule == Schedule::zero_bubble_v && run_.virtual_stages.value_or(2) == 2) return;
        s.virtual_stages = number(run_.virtual_stages, "virtual_stages", chunks);
    }

    // PyTorch's tensor parallelism comes with it, Megatron's needs to be asked for it.
    void set_sequence_parallel(Strategy& s) {
        if (s.tp == 1) return;
        // Experts beside tensor parallelism need it.
        const bool usual = is_fsdp(framework_.profile) || run_.experts.value_or(1) > 1;
        if (!run_.sequence_parallel) assume("sequence_parallel", usual ? "1" : "0");
        s.sequence_parallel = run_.sequence_parallel.value_or(usual);
        if (s.sequence_parallel && run_.assumptions.find("async TP") != std::string::npos)
            s.tp_overlap = TensorOverlap::pieces;
    }

    void set_attention(Strategy& s) {
        const std::string word = usual_word(RunWord::attention, run_.attention);
        if (word.empty()) return assume("attention", "flash");
        if (word == "flash") return;
        if (word != "unfused")
            throw Error("unknown-name", fmt::format("unknown attention \"{}\"", run_.attention),
                        "use \"flash\" or \"unfused\"");
        s.attention = AttentionKind::unfused;
    }

    void set_recompute(Strategy& s) {
        const std::string word = usual_word(RunWord::recompute, run_.recompute);
        if (word == "none") return;
        if (word.empty()) {
            mapped_.recompute_open = true;
        } else if (word == "full") {
            s.recompute.kind = Recompute::Kind::full;
        } else if (word != "selective") {
            throw Error("unknown-name", fmt::format("unknown recompute \"{}\"", run_.recompute),
                        "use \"none\", \"selective\", \"full\" or \"unstated\"");
        } else if (is_fsdp(framework_.profile)) {
            s.recompute = recomputed_blocks();
            assume("recompute", recompute_text(s.recompute));
        } else {
            s.recompute.kind = Recompute::Kind::selective;
        }
    }

    // Which blocks are recomputed: as a note says by the share of the model's work, of which a forward
    // pass is a third, in eighths at the finest; every second block where nothing is said.
    Recompute recomputed_blocks() const {
        Recompute nearest{Recompute::Kind::full, 2};
        const auto share = number_before(run_.assumptions, " of a fwd+bwd");
        if (!share) return nearest;
        const auto error = [&](int blocks, int every) {
            return std::abs(static_cast<double>(blocks) / every - 3 * *share);
        };
        for (int every = 1; every <= 8; ++every)
            for (int blocks = 1; blocks <= every; ++blocks)
                if (error(blocks, every) < error(nearest.blocks, nearest.every))
                    nearest = {Recompute::Kind::full, every, blocks};
        return nearest;
    }

    // All that the row leaves open: no recomputation before full, and micro-batches from the largest that still gives
    // every pipeline stage one.
    std::vector<Strategy> alternatives(const Strategy& s) {
        std::vector<Recompute> recomputes{s.recompute};
        if (mapped_.recompute_open) recomputes.push_back({Recompute::Kind::full, 1});
        std::vector<Strategy> strategies;
        for (const std::int64_t micro_batch : micro_batches(s))
            for (const Recompute& recompute : recomputes) {
                strategies.push_back(s);
                strategies.back().micro_batch = micro_batch;
                strategies.back().recompute = recompute;
            }
        return strategies;
    }

    std::vector<std::int64_t> micro_batches(const Strategy& s) {
        if (run_.micro_batch) return {*run_.micro_batch};
        mapped_.micro_batch_open = true;
        const std::int64_t samples = mapped_.scenario.training.global_batch / *s.dp;
        constexpr std::int64_t kLargest = 256;
        std::vector<std::int64_t> sizes;
        for (std::int64_t size = std::min(samples / s.pp, kLargest); size > 1; --size)
            if (samples % size == 0) sizes.push_back(size);
        sizes.push_back(1);
        return sizes;
    }

    MeasuredRun run_;
    const ValidationConstants& constants_;
    Framework framework_ = kFrameworks.front();
    MappedRun mapped_;
};

}  // namespace

MappedRun map_run(const MeasuredRun& run, const ValidationConstants& constants) {
    return RunMapping(run, constants).map();
}

}  // namespace shardscope
