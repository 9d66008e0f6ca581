#include "simulator/memory_cost.h"

#include <gtest/gtest.h>

#include "simulator/gpu_generation.h"

namespace shardscope {
namespace {

Device memory_gpu() {
    Device device;
    device.memory_bandwidth = BytesPerSecond(2e12);
    device.memory_efficiency = 0.9;
    device.memory_latency = Seconds(1e-6);
    device.l2 = Bytes(40'000'000);
    return device;
}

TEST(MemoryCost, LargeKernelsReachTheAttainableBandwidth) {
    EXPECT_NEAR(MemoryCost(memory_gpu()).seconds(1e9, 2e9), 1e-6 + 3e9 / 1.8e12, 1e-12);
}

TEST(MemoryCost, SmallKernelsReadFromTheCacheAndDoNotReachTheBandwidth) {
    const Device device = memory_gpu();
    const double cache = generation_of(device.architecture).cache_bytes * device.multiprocessors *
                         device.clock.value;
    ASSERT_GT(cache, 1.8e12);
    EXPECT_NEAR(MemoryCost(device).seconds(8e6, 4e6), 1e-6 + 8e6 / cache + 4e6 / 1.8e12, 1e-12)
        << "below half the cache all is found there";
    EXPECT_NEAR(MemoryCost(device).seconds(20e6, 10e6),
                1e-6 + 0.5 * 20e6 / cache + (0.5 * 20e6 + 10e6) / 1.8e12, 1e-12)
        << "at three quarters half of it";
    EXPECT_LT(1e5 / MemoryCost(device).seconds(5e4, 5e4), 0.1 * 1.8e12) << "latency";
    EXPECT_EQ(MemoryCost(device).seconds(0, 0), 0);
}

TEST(MemoryCost, NeverLongerForFewerBytesOrMoreBandwidth) {
    Device wider = memory_gpu(), larger = memory_gpu();
    wider.memory_bandwidth.value *= 1.5;
    larger.l2 = Bytes(80'000'000);
    double last = 0;
    for (double bytes = 1; bytes < 1e10; bytes *= 1.05) {
        const double time = MemoryCost(memory_gpu()).seconds(bytes, bytes / 3);
        EXPECT_GE(time, last);
        EXPECT_LE(MemoryCost(wider).seconds(bytes, bytes / 3), time);
        EXPECT_LE(MemoryCost(larger).seconds(bytes, bytes / 3), time);
        last = time;
    }
}

TEST(MemoryCost, CpusAndUndescribedGpusHaveNoCache) {
    Device cpu = memory_gpu();
    cpu.kind = DeviceKind::cpu;
    cpu.memory_latency = Seconds(0);
    EXPECT_NEAR(MemoryCost(cpu).seconds(900, 900), 1800 / 1.8e12, 1e-20);
}

}  // namespace
}  // namespace shardscope
