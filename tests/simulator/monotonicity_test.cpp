// Whole programs on better and worse machines: more bandwidth is never slower, fewer bytes never
// take longer.
#include <functional>

#include <gtest/gtest.h>

#include "simulator/event_engine.h"
#include "tests/simulator/hand_made.h"

namespace shardscope {
namespace {

using test::BodyText;
using test::one_role;
using test::round_cluster;
using test::step_seconds;

// Layers whose gradients are reduced while the next ones compute, `bytes` as a factor on sizes.
Program data_parallel(double bytes, int ranks) {
    BodyText body;
    for (int layer = 0; layer < 6; ++layer) body.kernel(0.4).kernel(0.1);
    for (int layer = 0; layer < 6; ++layer) {
        body.kernel(0.9, Phase::backward).record(layer, Stream::compute);
        body.wait(layer, Stream::reduce).all_reduce(bytes * (0.3 + 0.2 * layer), Stream::reduce);
    }
    body.record(7, Stream::reduce).wait(7, Stream::compute).kernel(0.2, Phase::optimizer);
    return one_role(body, ranks, 2);
}

class Monotonicity : public ::testing::TestWithParam<DeviceKind> {
protected:
    static Cluster cluster(double factor, const std::function<void(Cluster&, double)>& change) {
        Cluster c = round_cluster(GetParam());
        c.device.host_cost = Seconds(0.05);
        c.nodes = 4;
        if (GetParam() == DeviceKind::cpu) c.cores = 4;
        change(c, factor);
        return c;
    }
    static void never_slower(const std::function<void(Cluster&, double)>& change) {
        for (const int ranks : {2, 8, 32}) {
            double last = 1e300;
            for (const double factor : {0.1, 0.3, 0.5, 0.9, 1.0, 1.1, 2.0, 5.0, 50.0}) {
                const double time = step_seconds(data_parallel(1, ranks), cluster(factor, change));
                EXPECT_LE(time, last) << ranks << " ranks, factor " << factor;
                last = time;
            }
        }
    }
};

TEST_P(Monotonicity, MoreLinkBandwidth) {
    never_slower([](Cluster& c, double f) { c.intra_node.bandwidth.value *= f; });
    never_slower([](Cluster& c, double f) { c.inter_node.bandwidth.value *= f; });
}

TEST_P(Monotonicity, MoreMemoryBandwidth) {
    never_slower([](Cluster& c, double f) { c.device.memory_bandwidth.value *= f; });
}

TEST_P(Monotonicity, FasterHost) {
    never_slower([](Cluster& c, double f) { c.device.host_cost.value /= f; });
}

TEST_P(Monotonicity, FewerBytes) {
    for (const int ranks : {2, 8, 32}) {
        double last = 0;
        for (const double bytes : {0.01, 0.1, 0.5, 1.0, 1.5, 3.0, 10.0}) {
            const double time =
                step_seconds(data_parallel(bytes, ranks), cluster(1, [](Cluster&, double) {}));
            EXPECT_GE(time, last);
            last = time;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Devices, Monotonicity, ::testing::Values(DeviceKind::gpu, DeviceKind::cpu),
                         [](const auto& tested) {
                             return tested.param == DeviceKind::gpu ? "gpu" : "cpu";
                         });

}  // namespace
}  // namespace shardscope
