#include "cli/variation_arguments.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/usage_error.h"
#include "core/error.h"
#include "core/strategy/validate.h"
#include "core/yaml_number.h"

namespace shardscope {
namespace {

constexpr double kMostJitter = 10;
constexpr double kLeastFactor = 0.01, kMostFactor = 1000;
constexpr int kMostSteps = 100'000;

}  // namespace

void VariationArguments::add_to(CLI::App& app) {
    app.add_option("--jitter", disturbance.kernel_jitter,
                   "Relative deviation of every kernel's time, 0.05 being 5 %")
        ->type_name("X")
        ->check(in_range(0.0, kMostJitter));
    app.add_option("--rank-jitter", disturbance.rank_jitter,
                   "Relative deviation of every rank's kernels, in each step anew")
        ->type_name("X")
        ->check(in_range(0.0, kMostJitter));
    app.add_option_function<std::vector<std::string>>(
           "--straggler",
           [this](const std::vector<std::string>& words) {
               for (const std::string& word : words) add_straggler(word);
           },
           "A rank whose kernels take FACTOR times as long; may be repeated")
        ->type_name("RANK=FACTOR")
        ->allow_extra_args(false);
    app.add_option("--jitter-steps", steps,
                   "Steps to simulate with jitter (default 100; fewer of more than 64 ranks)")
        ->type_name("N")
        ->check(in_range(1, kMostSteps));
    app.callback([this, &app] { refuse_without_effect(app); });
}

// What has no effect is not accepted in silence.
void VariationArguments::refuse_without_effect(const CLI::App& app) const {
    if (!steps) return;
    for (const char* name : {"--jitter", "--rank-jitter", "--straggler"})
        if (app.get_option(name)->count() > 0) return;
    usage_error("--jitter-steps has no effect where all ranks run alike",
                "add --jitter, --rank-jitter or --straggler, or leave it out");
}

void VariationArguments::check_ranks(const Scenario& scenario) const {
    std::vector<std::int32_t> worlds;
    for (const Strategy& strategy : scenario.strategies) {
        try {
            worlds.push_back(layout_for(scenario, strategy).world);
        } catch (const Error&) {
            // The report has it.
        }
    }
    if (worlds.empty()) return;
    const std::int32_t most = *std::ranges::max_element(worlds);
    for (const Straggler& straggler : disturbance.stragglers)
        if (straggler.rank.value >= most)
            throw Error("straggler",
                        fmt::format("--straggler {}={}: no strategy of the scenario has a rank {}",
                                    straggler.rank.value, straggler.factor, straggler.rank.value),
                        fmt::format("use a rank from 0 to {}", most - 1));
}

void VariationArguments::add_straggler(const std::string& word) {
    const std::size_t sign = word.find('=');
    const auto rank = parse_integer(std::string_view(word).substr(0, sign));
    const std::size_t behind = sign == std::string::npos ? word.size() : sign + 1;
    const auto factor = parse_number(std::string_view(word).substr(behind));
    if (!rank || *rank < 0 || *rank > INT32_MAX || !factor || *factor < kLeastFactor ||
        *factor > kMostFactor)
        usage_error(
            fmt::format("--straggler is \"{}\", but must be a rank, \"=\" and a factor from "
                        "{} to {}",
                        word, kLeastFactor, kMostFactor),
            "write for example --straggler 3=1.5");
    const Straggler straggler{Rank(static_cast<std::int32_t>(*rank)), *factor};
    for (const Straggler& earlier : disturbance.stragglers)
        if (earlier.rank == straggler.rank)
            usage_error(fmt::format("--straggler names rank {} twice, with factors {} and {}",
                                    *rank, earlier.factor, straggler.factor),
                        "keep one of the two");
    disturbance.stragglers.push_back(straggler);
}

}  // namespace shardscope
