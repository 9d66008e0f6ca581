#include "backends/executable.h"

#include <string>

#include "core/error.h"

namespace shardscope {

void expect_executable(const Plan& plan) {
    const TrainingSpec& training = plan.training;
    if (plan.strategy.profile != RuntimeProfile::shardscope)
        throw Error("simulated-only",
                    place_of(plan.strategy) + ": profile " +
                        std::string(name_of(plan.strategy.profile)) +
                        " describes another product, which shardscope simulates but does not run",
                    "use profile: shardscope, or simulate");
    const auto refuse = [&](const char* what) {
        throw Error("simulated-only",
                    place_of(plan.strategy) + ": " + what + " can be simulated, not run",
                    "use a model without, or simulate");
    };
    if (plan.model->has_experts()) refuse("a mixture of experts");
    if (plan.model->has_latent_attention()) refuse("latent attention");
    if (training.math || training.precision == DType::fp16)
        throw Error("simulated-only",
                    "precision " + std::string(name_of(training.arithmetic())) +
                        " can be simulated, not run",
                    "use precision fp32, fp64 or bf16, or simulate");
}

}  // namespace shardscope
