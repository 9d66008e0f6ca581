// CUDA_LAUNCH_BLOCKING=1: the host's time for every launch adds to the device's, and nothing goes on beside a kernel.
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "simulator/event_engine.h"
#include "simulator/product_kernels.h"
#include "tests/simulator/hand_made.h"

namespace shardscope {
namespace {

constexpr int kKernels = 10;

// A body of kernels that take `seconds` each on the hand-made device.
Program kernels(double seconds, Phase phase = Phase::forward) {
    test::BodyText body;
    for (int i = 0; i < kKernels; ++i) body.kernel(seconds, phase);
    return test::one_role(body, 1);
}

Seconds wall(const Program& program, bool blocking, RuntimeProfile profile) {
    Cluster cluster = test::round_cluster();
    cluster.device.host_cost = Seconds(1e-3);
    cluster.device.blocking_launches = blocking;
    return simulate_step(program, cluster, false, profile)[0].time.wall;
}

double waiting(RuntimeProfile profile) {
    return 1e-3 + fitted_constants(profile).waiting_launch.value;
}

TEST(BlockingLaunches, HostAndDeviceTakeTurns) {
    for (const RuntimeProfile profile :
         {RuntimeProfile::shardscope, RuntimeProfile::fsdp_compile}) {
        const double device = wall(kernels(0.5), false, profile).value;
        EXPECT_NEAR(device,
                    kKernels * 0.5 + launch_cost(profile, test::round_cluster().device).value, 2e-3)
            << "ahead: only the first launch is seen";
        EXPECT_NEAR(wall(kernels(0.5), true, profile).value, kKernels * (0.5 + waiting(profile)),
                    1e-6)
            << name_of(profile);
    }
}

// A collective on another stream is over before the next kernel is launched.
TEST(BlockingLaunches, NothingIsOverlapped) {
    test::BodyText body;
    body.all_reduce(0.5, test::kReduce, GroupId(0)).kernel(0.5);
    const Program program = test::one_role(body, 2);
    Cluster cluster = test::round_cluster();
    const auto seconds = [&] {
        return simulate_step(program, cluster, false, RuntimeProfile::fsdp)[0].time.wall.value;
    };
    const double beside = seconds();
    cluster.device.blocking_launches = true;
    const double turns = seconds();
    EXPECT_LT(beside, 0.9);
    EXPECT_NEAR(turns, 1.0, 1e-3);
}

// Autograd's engine launches in a quarter of Python's time, waiting or not.
TEST(BlockingLaunches, BackwardLaunchesTakeAQuarter) {
    const RuntimeProfile profile = RuntimeProfile::megatron_deepspeed;
    EXPECT_NEAR(wall(kernels(0.5, Phase::backward), true, profile).value,
                kKernels * (0.5 + waiting(profile) / 4), 1e-6);
}

}  // namespace
}  // namespace shardscope
