#include "cli/variation_arguments.h"

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/usage_error.h"
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
    disturbance.stragglers.push_back({Rank(static_cast<std::int32_t>(*rank)), *factor});
}

}  // namespace shardscope
