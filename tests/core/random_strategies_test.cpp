// Options together: whatever strategy is not refused lowers to a program that is sound, with a plan of its memory.
#include <array>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/program/check.h"
#include "core/program/check_progress.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

class Draw {
public:
    explicit Draw(unsigned seed) : random_(seed) {}

    bool one_in(unsigned n) { return random_() % n == 0; }

    template <class T, std::size_t n>
    T of(const std::array<T, n>& choices) {
        return choices[random_() % n];
    }

    Strategy strategy() {
        constexpr std::array kDegrees{1, 1, 2, 4};
        constexpr std::array kPlaces{OffloadTo::none, OffloadTo::cpu, OffloadTo::nvme};
        Strategy s;
        s.name = "drawn";
        s.tp = of(kDegrees);
        s.pp = of(kDegrees);
        s.cp = one_in(6) ? of(std::array{2, 4}) : 1;
        if (one_in(4))
            s.cp_kind =
                of(std::array{ContextKind::ring, ContextKind::all_gather, ContextKind::ulysses});
        s.zero = of(std::array{0, 1, 2, 3});
        s.sequence_parallel = s.tp > 1 && one_in(2);
        s.schedule = of(std::array{Schedule::gpipe, Schedule::one_f_one_b, Schedule::zero_bubble,
                                   Schedule::zero_bubble_v});
        if (s.pp > 1 && s.schedule == Schedule::one_f_one_b && one_in(2)) s.virtual_stages = 2;
        s.recompute.kind = of(
            std::array{Recompute::Kind::none, Recompute::Kind::selective, Recompute::Kind::full});
        s.profile = of(kRuntimeProfiles);
        s.bucket = Bytes(of(std::array<std::int64_t, 3>{1, 6000, 1 << 20}));
        s.prefetch = of(std::array{0, 1, 2});
        if (one_in(3)) s.overlap_reduce = one_in(2);
        if (s.profile != RuntimeProfile::shardscope && one_in(3)) s.expandable_segments = one_in(2);
        s.overlap_gather = one_in(3);
        if (one_in(2))
            s.tp_overlap = of(
                std::array{TensorOverlap::none, TensorOverlap::gradients, TensorOverlap::pieces});
        if (one_in(3)) s.offload = {of(kPlaces), of(kPlaces), of(kPlaces)};
        if (s.zero == 3) {
            s.quantized_weights = one_in(8);
            s.quantized_gradients = one_in(8);
            if (one_in(8)) s.secondary_shard = 2;
        }
        if (s.zero > 0 && one_in(4)) s.shard_group = of(std::array{2, 4});
        return s;
    }

    // How experts are divided, and how tokens travel to them.
    void divide_experts(Strategy& s, bool shared) {
        if (one_in(2)) s.ep = of(std::array{2, 4});
        if (one_in(4)) s.etp = of(std::array{1, 2});
        s.dispatcher =
            of(std::array{Dispatcher::all_to_all, Dispatcher::all_gather, Dispatcher::deepep});
        if (one_in(2)) s.dispatch_precision = DispatchPrecision::fp8;
        s.overlap_shared_experts = shared && one_in(2);
    }

    // Wide enough for tokens to have a scale when they travel in 8 bits. One key head, so that Ulysses has more
    // ranks than key heads.
    ModelSpec mixture(bool latent) {
        TransformerSpec spec = test::tiny_transformer();
        spec.layers = 6;
        spec.hidden = kDispatchBlock;
        spec.kv_heads = 1;
        spec.experts = {8, 2, 20};
        if (one_in(2)) spec.experts.groups = 4, spec.experts.groups_per_token = 2;
        if (one_in(2)) spec.experts.first_dense = 1;
        if (one_in(2)) spec.experts.capacity_factor = 1.3;
        if (one_in(2)) spec.experts.shared_ffn = 12;
        spec.experts.shared_gate = spec.experts.shared_ffn > 0 && one_in(2);
        if (latent) {
            spec.kv_heads = 0;
            spec.latent = {10, 14, 8, 4, 6};
        }
        return {latent ? "latent" : "experts", spec};
    }

    void precision(Scenario& s) {
        s.training.precision = of(std::array{DType::fp32, DType::bf16, DType::bf16});
        if (s.training.precision == DType::fp32 || one_in(3)) return;
        s.training.math = of(std::array{MathType::fp8, MathType::mxfp8, MathType::nvfp4});
        if (one_in(3)) s.cluster.device.architecture = Architecture::blackwell;
    }

    Scenario scenario(int ranks) {
        const bool experts = one_in(2);
        const ModelSpec model =
            experts ? mixture(one_in(2)) : of(std::array{test::deep_llama(), test::deep_gpt()});
        Scenario s = test::tiny_scenario(model, ranks);
        s.cluster = catalogue_cluster("h100-sxm");
        s.cluster.gpus_per_node = one_in(2) ? ranks : ranks / 2;
        s.cluster.nodes = ranks / s.cluster.gpus_per_node;
        precision(s);
        s.training.micro_batch = of(std::array<std::int64_t, 2>{1, 2});
        s.training.optimizer.kind = of(kOptimizerKinds);
        s.strategies[0] = strategy();
        if (s.training.arithmetic() >= MathType::fp8 && one_in(2))  // operands as tensors
            s.strategies[0].profile =
                of(std::array{RuntimeProfile::megatron, RuntimeProfile::llm_foundry});
        if (experts)
            divide_experts(s.strategies[0],
                           std::get<TransformerSpec>(model.kind).experts.shared_ffn > 0);
        return s;
    }

private:
    std::mt19937 random_;
};

TEST(RandomStrategies, WhatIsNotRefusedIsSound) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Draw draw(seed);
    constexpr int kRanks = 8, kTried = 900;
    int sound = 0;
    for (int i = 0; i < kTried; ++i) {
        Scenario s = draw.scenario(kRanks);
        const Strategy& strategy = s.strategies[0];
        SCOPED_TRACE(fmt::format("strategy {}: {}{}, profile {}, {}, {}", i,
                                 layout_of(strategy, kRanks), dispatch_text(strategy),
                                 name_of(strategy.profile), name_of(s.training.optimizer.kind),
                                 name_of(s.training.arithmetic())));
        Plan plan;
        try {
            plan = test::lower_tiny(s);
        } catch (const Error& e) {
            EXPECT_TRUE(e.kind == ErrorKind::invalid_input) << e.what();
            continue;
        }
        ++sound;
        // Profiles with a caching allocator have no arena of their own: any placement without overlap does.
        std::vector<MemoryPlan> arenas;
        for (const RoleProgram& role : plan.program.roles)
            arenas.push_back(plan_memory(role, Bytes(0)));
        EXPECT_NO_THROW(check_program(plan.program, arenas));
        EXPECT_NO_THROW(check_progress(plan.program, Host::issues));
        try {
            s.cluster.device.kind = DeviceKind::cpu;  // where the host computes
            plan = test::lower_tiny(s);
        } catch (const Error& e) {
            EXPECT_TRUE(e.kind == ErrorKind::invalid_input) << e.what();
            continue;
        }
        EXPECT_NO_THROW(check_progress(plan.program, Host::runs_compute));
    }
    EXPECT_GT(sound, kTried / 20) << "most are refused: nothing is tested";
    RecordProperty("sound", sound);
}

}  // namespace
}  // namespace shardscope
