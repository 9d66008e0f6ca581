#include "core/validation/run_framework.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "core/error.h"
#include "core/nearest.h"
#include "core/validation/framework_name.h"
#include "core/validation/run_notes.h"
#include "core/validation/run_words.h"

namespace shardscope {
namespace {

constexpr auto kFrameworks = std::to_array<RunFramework>({
    {"shardscope", RuntimeProfile::shardscope, 0},
    {"deepspeed", RuntimeProfile::deepspeed, 0},
    {"deepspeed-2021", RuntimeProfile::deepspeed_2021, 0},
    {"megatron-deepspeed", RuntimeProfile::megatron_deepspeed, 0},
    {.name = "megatron", .profile = RuntimeProfile::megatron, .partial_recompute = true},
    // NeMo 2's recipes in performance mode, which its scripts/performance train (nemo/collections/llm/recipes/*.py and
    // nemo/lightning/pytorch/callbacks/megatron_comm_overlap.py): the distributed optimizer, whatever overlaps, and
    // plugins.grad_reduce_in_fp32 False.
    {.name = "nemo",
     .profile = RuntimeProfile::megatron,
     .zero = 1,
     .recipes = Recipes::nemo,
     .narrow_gradients = true,
     .partial_recompute = true},
    // The same of scripts/performance (configs/*/*_llm_pretrain.py) and src/megatron/bridge/training/comm_overlap.py.
    {.name = "megatron-bridge",
     .profile = RuntimeProfile::megatron,
     .zero = 1,
     .recipes = Recipes::megatron_bridge,
     .narrow_gradients = true,
     .partial_recompute = true},
    {"megatron-2021", RuntimeProfile::megatron_2021, 0},
    {"fsdp", RuntimeProfile::fsdp, 3},
    // MixedPrecision reduces in the type of the parameters unless it is told otherwise; torchtitan tells FSDP2 fp32, as
    // the profile does, and which blocks to recompute.
    {.name = "fsdp1", .profile = RuntimeProfile::fsdp, .zero = 3, .narrow_gradients = true},
    {.name = "fsdp2", .profile = RuntimeProfile::fsdp, .zero = 3, .partial_recompute = true},
    {"ddp", RuntimeProfile::fsdp, 0},  // the same stack around the model, nothing sharded
    {.name = "llm-foundry",
     .profile = RuntimeProfile::llm_foundry,
     .zero = 3,
     .narrow_gradients = true},
    // bf16 parameters, fp32 gradients that a kernel adds to, fp32 masters of ZeRO 1, Megatron's layers without its fused
    // kernels (nanotron's optim/gradient_accumulator.py, optim/zero.py, parallel/tensor_parallel/).
    {.name = "nanotron", .profile = RuntimeProfile::megatron_2021, .stands_in = true},
    {.name = "picotron", .profile = RuntimeProfile::megatron_2021, .stands_in = true},
    // Megatron-Core's own FSDP, which shards what ZeRO 3 does.
    {.name = "megatron-fsdp",
     .profile = RuntimeProfile::megatron,
     .zero = 3,
     .names_zero = true,
     .stands_in = true,
     .partial_recompute = true},
    // Built on Megatron-LM, or like it, by who trains with them.
    {.name = "megascale", .profile = RuntimeProfile::megatron, .zero = 1, .stands_in = true},
    {.name = "vescale", .profile = RuntimeProfile::megatron, .zero = 1, .stands_in = true},
    {.name = "hai-llm", .profile = RuntimeProfile::megatron, .zero = 1, .stands_in = true},
    // Layers for Megatron-LM.
    {.name = "megablocks",
     .profile = RuntimeProfile::megatron,
     .stands_in = true,
     .partial_recompute = true},
});

const RunFramework* find_framework(std::string_view word) {
    const auto* found = std::ranges::find(kFrameworks, word, &RunFramework::name);
    return found == kFrameworks.end() ? nullptr : found;
}

bool is_word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

// Without the punctuation around what was taken out of a name: "deepspeed-(" is "deepspeed".
std::string trimmed(std::string_view name) {
    while (!name.empty() && !is_word_char(name.front())) name.remove_prefix(1);
    while (!name.empty() && !is_word_char(name.back())) name.remove_suffix(1);
    return std::string(name);
}

// What is left of a name without one of its words, if it has it: "fsdp" of "fsdp-hsdp".
std::optional<std::string> without_word(std::string_view name, std::string_view word) {
    const std::size_t at = name.find(word);
    if (at == std::string_view::npos) return std::nullopt;
    if (at > 0 && is_word_char(name[at - 1])) return std::nullopt;
    const std::string_view behind = name.substr(at + word.size());
    if (!behind.empty() && is_word_char(behind.front())) return std::nullopt;
    const std::string before = trimmed(name.substr(0, at));
    return before.empty() ? trimmed(behind) : before;
}

// "v0.12", "r0.8.0", "0.14.0rc1", "3"; a number of more than two digits is a year or a model's size.
bool is_version(std::string_view word) {
    const bool marked = word.starts_with('v') || word.starts_with('r');
    if (marked) word.remove_prefix(1);
    const std::size_t digits = std::min(word.find_first_not_of("0123456789."), word.size());
    if (digits == 0 || word.front() == '.') return false;
    if (word.substr(0, digits).find('.') != std::string_view::npos) return true;
    return digits == word.size() && (marked || digits <= 2);
}

std::string without_version(const std::string& name) {
    for (std::size_t at = name.find('-'); at != std::string::npos; at = name.find('-', at + 1)) {
        const std::size_t end = std::min(name.find('-', at + 1), name.size());
        if (is_version(std::string_view(name).substr(at + 1, end - at - 1)))
            return name.substr(0, at);
    }
    return name;
}

// A product by its name alone, without a stage.
const RunFramework* product_of(const std::string& name) {
    if (const auto* found = find_framework(usual_word(RunWord::framework, name))) return found;
    if (const auto* found = find_framework(usual_word(RunWord::framework, without_version(name))))
        return found;
    return find_framework(
        one_product(name, [](std::string_view word) { return find_framework(word) != nullptr; }));
}

// A name with "ZeRO-3", "stage 3" or "z3"; such a stage alone is DeepSpeed's.
std::optional<RunFramework> product_with_stage(const std::string& name) {
    for (const char* form :
         {"zero-stage-{}", "zero-stage{}", "zero-{}", "zero{}", "stage-{}", "stage{}", "z{}"})
        for (int stage = 0; stage <= 3; ++stage) {
            const auto rest = without_word(name, fmt::format(fmt::runtime(form), stage));
            if (!rest) continue;
            const auto* product = product_of(rest->empty() ? "deepspeed" : *rest);
            if (product == nullptr) return std::nullopt;
            RunFramework framework = *product;
            framework.zero = stage;
            framework.names_zero = true;
            return framework;
        }
    return std::nullopt;
}

std::optional<RunFramework> product_named(const std::string& name) {
    if (const auto rest = without_word(name, "hsdp")) {
        const bool torch = rest->empty() || *rest == "pytorch" || *rest == "torch";
        const auto* product = product_of(torch ? "fsdp" : *rest);
        if (product == nullptr) return std::nullopt;
        RunFramework framework = *product;
        framework.hybrid = true;
        return framework;
    }
    // DeepSpeed's ZeRO 3 whose shards lie within a node, or within more where that does not fit.
    if (const auto rest = without_word(name, "mics");
        rest && (rest->empty() || *rest == "deepspeed")) {
        RunFramework framework = *find_framework("deepspeed");
        framework.zero = 3;
        framework.names_zero = framework.hybrid = true;
        return framework;
    }
    if (const auto staged = product_with_stage(name)) return staged;
    const auto* product = product_of(name);
    return product != nullptr ? std::optional(*product) : std::nullopt;
}

// What a program around PyTorch used that does not say so in its name: what the notes do, else what goes with its stage.
// DDP shards nothing, FSDP parameters or gradients; states alone only DeepSpeed.
RunFramework behind_wrapper(const MeasuredRun& run, std::vector<Assumption>& assumed) {
    const RunNotes notes(run.assumptions);
    for (const char* engine : {"DeepSpeed", "FSDP", "DDP"}) {
        if (!notes.affirms(engine)) continue;
        assumed.push_back({kFromNotes, engine});
        return *find_framework(folded(engine));
    }
    const auto take = [&](const char* engine) {
        assumed.push_back({"framework", engine});
        return *find_framework(engine);
    };
    if (run.zero_stage == 0) return take("ddp");
    if (run.zero_stage == 1) return take("deepspeed");
    if (run.zero_stage) return take("fsdp");
    RunFramework framework = take("fsdp");
    framework.zero = 0;
    framework.open = true;
    assumed.back().value = "ddp, or fsdp where that does not fit";
    return framework;
}

std::optional<RunFramework> product_behind(const std::string& name, const MeasuredRun& run,
                                           std::vector<Assumption>& assumed) {
    if (auto product = product_named(name)) return product;
    const BareName bare = bare_name(name);
    if (!bare.rest.empty()) {
        const auto product = product_named(bare.rest);
        if (product && bare.derived) assumed.push_back({"framework", std::string(product->name)});
        return product;
    }
    return bare.wrapped ? std::optional(behind_wrapper(run, assumed)) : std::nullopt;
}

// "deepspeed" of "deepspeed-zero++".
std::optional<std::string> without_form(const std::string& name, std::string_view form) {
    const std::size_t at = name.find(form);
    if (at == std::string::npos) return std::nullopt;
    const std::string before = trimmed(name.substr(0, at));
    return before.empty() ? trimmed(name.substr(at + form.size())) : before;
}

std::optional<RunFramework> named_framework(const MeasuredRun& run,
                                            std::vector<Assumption>& assumed) {
    const std::string name = folded(run.framework);
    for (const char* form : {"zero++", "zeropp", "zero-plus-plus"})
        if (const auto rest = without_form(name, form)) {
            auto product =
                rest->empty() ? *find_framework("deepspeed") : product_behind(*rest, run, assumed);
            if (!product) return product;
            product->zero = 3;
            product->names_zero = product->plus_plus = true;
            return product;
        }
    return product_behind(name, run, assumed);
}

// torch.compile has no column; rows that used it say so in their notes, or are of a program that compiles unless told
// otherwise (fms-fsdp's train_config, nanoGPT's train.py). The loss is compiled too by torchtitan since 2025; its files carry the month.
RuntimeProfile fsdp_profile(const MeasuredRun& run, std::vector<Assumption>& assumed) {
    RunNotes::Said said = RunNotes(run.assumptions).said("torch.compile");
    const bool named =
        RunNotes(run.framework).affirms("compile") || RunNotes(run.framework).affirms("nanoGPT");
    if (named && said == RunNotes::Said::nothing) said = RunNotes::Said::yes;
    if (run.source.starts_with("mosaicml/llm-foundry")) return RuntimeProfile::llm_foundry;
    const bool compiles = run.source.starts_with("foundation-model-stack/fms-fsdp");
    if (said == RunNotes::Said::denied && compiles)
        assumed.push_back({kFromNotes, "no torch.compile"});
    if (said == RunNotes::Said::denied) return RuntimeProfile::fsdp;
    if (compiles) return RuntimeProfile::fsdp_compile_blocks;
    if (said == RunNotes::Said::nothing) return RuntimeProfile::fsdp;
    assumed.push_back({named ? "framework" : kFromNotes, "torch.compile"});
    const bool old = run.source.find("_2024") != std::string::npos;
    return old ? RuntimeProfile::fsdp_compile_blocks : RuntimeProfile::fsdp_compile;
}

// No column has the year, but a source may name it, or the conference.
bool is_of_2021(const MeasuredRun& run) {
    return run.source.find("2021") != std::string::npos ||
           run.source.find("SC21") != std::string::npos;
}

RuntimeProfile in_2021(RuntimeProfile profile) {
    if (profile == RuntimeProfile::deepspeed) return RuntimeProfile::deepspeed_2021;
    if (profile == RuntimeProfile::megatron) return RuntimeProfile::megatron_2021;
    return profile;
}

// Offloaded states are neither in the device's memory nor stepped by it, and no column says which are.
void refuse_offloading(const MeasuredRun& run) {
    const RunNotes name(run.framework);
    const bool named = name.affirms("ZeRO-Infinity") || name.affirms("offload");
    if (!named && !RunNotes(run.assumptions).affirms("offload")) return;
    throw Error("framework",
                fmt::format("{} offload{} what no column says",
                            named ? run.framework : "the row's assumptions", named ? "s" : ""),
                "leave the row out, and simulate a scenario, whose strategies have offload");
}

}  // namespace

RunFramework framework_of(const MeasuredRun& run, std::vector<Assumption>& assumed) {
    if (is_unknown_mark(run.framework) || run.framework.empty())
        throw Error("missing-value", "column \"framework\" is empty", "nothing can stand for it");
    if (const auto why = why_not_modelled(folded(run.framework)); !why.empty())
        throw Error("framework", fmt::format("{} {}", run.framework, why), "leave the row out");
    refuse_offloading(run);
    auto framework = named_framework(run, assumed);
    if (!framework) {
        std::vector<std::string_view> names;
        names.reserve(kFrameworks.size());
        for (const RunFramework& known : kFrameworks) names.push_back(known.name);
        throw Error("unknown-name", fmt::format("unknown framework \"{}\"", run.framework),
                    suggest_name(run.framework, names));
    }
    const bool shards = !framework->open && run.zero_stage.value_or(framework->zero) > 0;
    if (is_fsdp(framework->profile) && shards && reduces_as_it_computes(folded(run.framework)))
        framework->narrow_gradients = true;
    if (framework->profile == RuntimeProfile::fsdp) framework->profile = fsdp_profile(run, assumed);
    if (is_of_2021(run)) framework->profile = in_2021(framework->profile);
    if (framework->stands_in)
        assumed.push_back({"framework", std::string(name_of(framework->profile))});
    if (framework->recipes != Recipes::none)
        assumed.push_back({"framework", fmt::format("{}'s recipes", framework->name)});
    return *framework;
}

}  // namespace shardscope
