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
    if (plan.layout.cp > 1)
        throw Error("simulated-only",
                    place_of(plan.strategy) + ": context parallelism (cp " +
                        std::to_string(plan.layout.cp) + ") can be simulated, not run",
                    "use cp 1, or simulate");
    if (plan.layout.shards < plan.layout.replicas())
        throw Error("simulated-only",
                    place_of(plan.strategy) + ": sharding over groups of " +
                        std::to_string(plan.layout.shards) + " ranks can be simulated, not run",
                    "leave shard_group out, or simulate");
    if (plan.layout.tp > 1 && tensor_overlap(plan.strategy) == TensorOverlap::pieces)
        throw Error("simulated-only",
                    place_of(plan.strategy) +
                        ": tensor-parallel multiplies in pieces can be simulated, not run",
                    "use tp_overlap: gradients, or simulate");
    const OptimizerKind optimizer = training.optimizer.kind;
    if (optimizer == OptimizerKind::adam_8bit || optimizer == OptimizerKind::adafactor ||
        optimizer == OptimizerKind::muon)
        throw Error("simulated-only",
                    "optimizer " + std::string(name_of(optimizer)) + " can be simulated, not run",
                    "use adamw, adam, sgd or lion, or simulate");
    if (const std::string text = zero_plus_plus_text(plan.strategy); !text.empty())
        throw Error(
            "simulated-only",
            place_of(plan.strategy) + ": ZeRO++ (" + text.substr(1) + ") can be simulated, not run",
            "leave it out, or simulate");
    if (plan.strategy.offload.any())
        throw Error("simulated-only",
                    place_of(plan.strategy) + ": " + offload_text(plan.strategy.offload) +
                        " can be simulated, not run",
                    "leave offload out, or simulate");
    if (training.math || training.precision == DType::fp16)
        throw Error("simulated-only",
                    "precision " + std::string(name_of(training.arithmetic())) +
                        " can be simulated, not run",
                    "use precision fp32, fp64 or bf16, or simulate");
}

}  // namespace shardscope
