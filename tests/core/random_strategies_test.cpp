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
        s.cp = one_in(6) ? 2 : 1;
        if (one_in(4)) s.ep = of(std::array{2, 4});
        if (one_in(4)) s.etp = of(std::array{1, 2});
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
        s.overlap_gather = one_in(3);
        if (one_in(2))
            s.tp_overlap = of(
                std::array{TensorOverlap::none, TensorOverlap::gradients, TensorOverlap::pieces});
        if (one_in(3)) s.offload = {of(kPlaces), of(kPlaces), of(kPlaces)};
        if (s.zero == 3) {
            s.quantized_weights = one_in(4);
            s.quantized_gradients = one_in(4);
            if (one_in(4)) s.secondary_shard = 2;
            if (one_in(4)) s.shard_group = 2;
        }
        return s;
    }

private:
    std::mt19937 random_;
};

TEST(RandomStrategies, WhatIsNotRefusedIsSound) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Draw draw(seed);
    TransformerSpec mixture = test::tiny_transformer();
    mixture.layers = 6;
    mixture.experts = {8, 2, 20};
    const ModelSpec experts{"experts", mixture};
    TransformerSpec short_vectors = mixture;
    short_vectors.kv_heads = 0;
    short_vectors.latent = {10, 14, 8, 4, 6};
    short_vectors.experts.shared_ffn = 12;
    const ModelSpec latent{"latent", short_vectors};
    const std::array models{test::deep_llama(), test::deep_gpt(), experts, latent};
    constexpr int kRanks = 8, kTried = 600;
    int sound = 0;
    for (int i = 0; i < kTried; ++i) {
        Scenario s = test::tiny_scenario(draw.of(models), kRanks);
        s.cluster = catalogue_cluster("h100-sxm");
        s.cluster.gpus_per_node = kRanks;
        s.training.precision = draw.of(std::array{DType::fp32, DType::bf16});
        if (s.training.precision == DType::bf16 && draw.one_in(2)) {
            s.training.math = draw.of(std::array{MathType::fp8, MathType::mxfp8, MathType::nvfp4});
            if (draw.one_in(3)) s.cluster.device.architecture = Architecture::blackwell;
        }
        s.training.micro_batch = draw.of(std::array<std::int64_t, 2>{1, 2});
        s.strategies[0] = draw.strategy();
        s.training.optimizer.kind = draw.of(kOptimizerKinds);
        const Strategy& strategy = s.strategies[0];
        SCOPED_TRACE(fmt::format("strategy {}: {}, profile {}, {}, {}", i,
                                 layout_of(strategy, kRanks), name_of(strategy.profile),
                                 name_of(s.training.optimizer.kind),
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
