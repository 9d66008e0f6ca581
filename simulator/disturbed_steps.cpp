#include "simulator/disturbed_steps.h"

#include <algorithm>
#include <mutex>

#include <fmt/format.h>

#include "core/error.h"
#include "simulator/channels.h"
#include "simulator/event_engine.h"
#include "simulator/log_normal.h"
#include "simulator/parallel.h"

namespace shardscope {
namespace {

constexpr std::uint64_t kWholeStep = ~std::uint64_t{0};  // no operation has this number

void check(const Plan& plan, const Disturbance& disturbance) {
    const int ranks = plan.layout.world;
    if (ranks > kDisturbedRanks)
        throw Error("separate-ranks",
                    fmt::format("with jitter or stragglers every rank is simulated by itself: {} "
                                "ranks, at most {}",
                                ranks, kDisturbedRanks),
                    fmt::format("use a strategy of at most {} ranks", kDisturbedRanks));
    for (const Straggler& straggler : disturbance.stragglers)
        if (straggler.rank.value < 0 || straggler.rank.value >= ranks)
            throw Error("straggler",
                        fmt::format("there is no rank {} among {} rank{}", straggler.rank.value,
                                    ranks, ranks == 1 ? "" : "s"),
                        fmt::format("use a rank below {}", ranks));
}

std::vector<double> factors_of(const LaneProgram& program, const Disturbance& disturbance,
                               std::uint64_t seed) {
    std::vector<double> factors;
    for (std::size_t role = 0; role < program.roles.size(); ++role) {
        double factor = log_normal(seed, role, kWholeStep, disturbance.rank_jitter);
        for (const Straggler& straggler : disturbance.stragglers)
            if (straggler.rank == program.roles[role].rank) factor *= straggler.factor;
        factors.push_back(factor);
    }
    return factors;
}

}  // namespace

int usual_disturbed_steps(int ranks) {
    constexpr int kSteps = 100, kAtLeast = 10, kRanks = 64;
    return std::clamp(kSteps * kRanks / std::max(1, ranks), kAtLeast, kSteps);
}

StepVariation simulate_disturbed(const Scenario& scenario, const Plan& plan,
                                 const Disturbance& disturbance, int steps, int threads,
                                 const std::function<void(int)>& on_step) {
    check(plan, disturbance);
    const LaneProgram program =
        prepare(plan.program, scenario.cluster, false, plan.strategy.profile, true);
    std::vector<DisturbedStep> all(static_cast<std::size_t>(steps));
    std::mutex counting;
    int done = 0;
    for_each_index(all.size(), std::min(threads, steps), [&](std::size_t step) {
        StepNoise noise;
        noise.kernel_jitter = disturbance.kernel_jitter;
        noise.seed = disturbance.seed + step;
        noise.factors = factors_of(program, disturbance, noise.seed);
        const auto ranks = simulate_step(program, scenario.cluster, false, &noise);
        for (const RoleTimeline& rank : ranks) {
            all[step].wall = std::max(all[step].wall, rank.time.wall);
            all[step].busy += rank.time.busy() / static_cast<double>(ranks.size());
        }
        if (!on_step) return;
        const std::lock_guard lock(counting);
        on_step(++done);
    });
    StepVariation variation = variation_of(all);
    variation.disturbance = disturbance;
    return variation;
}

}  // namespace shardscope
