// The device that the other tests of this folder stand on: streams, events, memory, graphs, errors.
#include <cmath>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cuda/on_device.h"

namespace {

using shardscope::test::OnDevice;
using shardscope::test::with_seed;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class HostDeviceRuntime : public shardscope::test::HostDeviceTest {
protected:
    static cudaStream_t stream() {
        cudaStream_t made = nullptr;
        EXPECT_EQ(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), cudaSuccess);
        return made;
    }
    static cudaEvent_t event(unsigned flags = cudaEventDisableTiming) {
        cudaEvent_t made = nullptr;
        EXPECT_EQ(cudaEventCreateWithFlags(&made, flags), cudaSuccess);
        return made;
    }
};

__global__ void increment_each(int* x) { ++x[threadIdx.x]; }
__global__ void copy_to(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x]; }
__global__ void scale_by(double* x, double factor) { *x *= factor; }

// Ten increments on one stream, then a copy on another: right with the event between them.
int copy_after_increments(std::uint64_t seed, bool wait) {
    host_device::reset(with_seed(seed));
    OnDevice<int> x({0}), y({0});
    cudaStream_t a = nullptr, b = nullptr;
    cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
    cudaEvent_t done = nullptr;
    cudaEventCreateWithFlags(&done, cudaEventDisableTiming);
    for (int i = 0; i < 10; ++i) host_device::launch(increment_each, 1, 1, 0, a, x.data());
    EXPECT_EQ(cudaEventRecord(done, a), cudaSuccess);
    if (wait) {
        EXPECT_EQ(cudaStreamWaitEvent(b, done), cudaSuccess);
    }
    host_device::launch(copy_to, 1, 1, 0, b, x.data(), y.data());
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    return y.values()[0];
}

TEST_F(HostDeviceRuntime, AMissingWaitIsFoundForMostSeeds) {
    int found = 0;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        EXPECT_EQ(copy_after_increments(seed, true), 10) << "seed " << seed;
        if (copy_after_increments(seed, false) != 10) ++found;
    }
    EXPECT_GE(found, 35) << "of 50 seeds";
}

TEST_F(HostDeviceRuntime, NothingRunsBeforeItIsWaitedFor) {
    OnDevice<int> x({0});
    const cudaStream_t s = stream();
    const std::uint64_t before = host_device::executed();
    host_device::launch(increment_each, 1, 1, 0, s, x.data());
    EXPECT_EQ(host_device::executed(), before);
    EXPECT_EQ(cudaStreamSynchronize(s), cudaSuccess);
    EXPECT_EQ(host_device::executed(), before + 1);
}

TEST_F(HostDeviceRuntime, EventsAreQueriedAndTimed) {
    OnDevice<int> x({0});
    const cudaStream_t s = stream();
    const cudaEvent_t start = event(cudaEventDefault), end = event(cudaEventDefault);
    EXPECT_EQ(cudaEventQuery(start), cudaSuccess) << "never recorded: nothing to wait for";
    cudaEventRecord(start, s);
    for (int i = 0; i < 5; ++i) host_device::launch(increment_each, 1, 1, 0, s, x.data());
    cudaEventRecord(end, s);
    float ms = 0;
    EXPECT_EQ(cudaEventElapsedTime(&ms, start, end), cudaErrorNotReady);
    int questions = 1;
    while (cudaEventQuery(end) == cudaErrorNotReady) ++questions;
    EXPECT_EQ(questions, 7) << "each runs one piece of work";
    EXPECT_EQ(cudaEventElapsedTime(&ms, start, end), cudaSuccess);
    EXPECT_FLOAT_EQ(ms, 0.06f);
    EXPECT_EQ(cudaEventElapsedTime(&ms, start, event()), cudaErrorInvalidResourceHandle);
}

TEST_F(HostDeviceRuntime, NewMemoryIsNaNAndCounted) {
    host_device::Settings settings;
    settings.memory_bytes = 1 << 20;
    settings.context_bytes = 1000;
    settings.module_bytes = 500;
    settings.granularity = 4096;
    host_device::reset(settings);
    std::size_t free = 0, total = 0;
    EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    EXPECT_EQ(total, std::size_t{1} << 20);
    EXPECT_EQ(free, total - 1000);
    float* x = nullptr;
    ASSERT_EQ(cudaMalloc(&x, 4 * sizeof(float)), cudaSuccess);
    cudaMemGetInfo(&free, &total);
    EXPECT_EQ(free, total - 1000 - 4096);
    std::vector<float> host(4);
    cudaMemcpy(host.data(), x, 16, cudaMemcpyDeviceToHost);
    for (float value : host) EXPECT_TRUE(std::isnan(value));
    void* large = nullptr;
    EXPECT_EQ(cudaMalloc(&large, 1 << 20), cudaErrorMemoryAllocation);
    EXPECT_EQ(large, nullptr);
    EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
    EXPECT_EQ(host_device::live().allocations, 1u);
    EXPECT_EQ(cudaFree(x), cudaSuccess);
    EXPECT_EQ(cudaFree(x), cudaErrorInvalidValue);
    OnDevice<int> y({0});
    host_device::launch(increment_each, 1, 1, 0, nullptr, y.data());
    cudaMemGetInfo(&free, &total);
    EXPECT_EQ(free, total - 1000 - 4096 - 500) << "the first kernel loads modules";
}

TEST_F(HostDeviceRuntime, CopiesCheckPlacesAndBounds) {
    OnDevice<int> x({1, 2, 3, 4});
    std::vector<int> host(4);
    EXPECT_EQ(cudaMemcpy(host.data(), x.data(), 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemcpy(host.data(), x.data() + 1, 16, cudaMemcpyDeviceToHost),
              cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemcpy(host.data(), x.data() + 1, 12, cudaMemcpyDefault), cudaSuccess);
    EXPECT_THAT(host, ElementsAre(2, 3, 4, 0));
    EXPECT_EQ(cudaMemset(x.data(), 0, 17), cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemset(x.data(), 0, 8), cudaSuccess);
    EXPECT_THAT(x.values(), ElementsAre(0, 0, 3, 4));
}

// Pinned memory is read and written when the stream comes to it, pageable memory at once.
TEST_F(HostDeviceRuntime, PinnedMemoryIsReadLate) {
    OnDevice<int> x({0, 0});
    const cudaStream_t s = stream();
    int* pinned = nullptr;
    ASSERT_EQ(cudaMallocHost(&pinned, sizeof(int)), cudaSuccess);
    int pageable = 1;
    *pinned = 1;
    cudaMemcpyAsync(x.data(), pinned, 4, cudaMemcpyHostToDevice, s);
    cudaMemcpyAsync(x.data() + 1, &pageable, 4, cudaMemcpyHostToDevice, s);
    *pinned = pageable = 2;
    cudaStreamSynchronize(s);
    EXPECT_THAT(x.values(), ElementsAre(2, 1));
    cudaMemcpyAsync(&pageable, x.data(), 4, cudaMemcpyDeviceToHost, s);
    EXPECT_EQ(pageable, 2) << "waited for";
    EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(HostDeviceRuntime, TheNullStreamWaitsForBlockingStreamsOnly) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        host_device::reset(with_seed(seed));
        OnDevice<int> x({0}), y({0});
        cudaStream_t blocking = nullptr;
        cudaStreamCreate(&blocking);
        host_device::launch(increment_each, 1, 1, 0, blocking, x.data());
        host_device::launch(copy_to, 1, 1, 0, nullptr, x.data(), y.data());
        EXPECT_EQ(y.values()[0], 1) << "seed " << seed;
    }
}

TEST_F(HostDeviceRuntime, HostFunctionsRunInOrderAndMayNotCallTheRuntime) {
    OnDevice<int> x({0});
    const cudaStream_t s = stream();
    struct Seen {
        int* x;
        int value = -1;
        cudaError_t error = cudaSuccess;
    } seen{x.data()};
    host_device::launch(increment_each, 1, 1, 0, s, x.data());
    cudaLaunchHostFunc(
        s,
        [](void* data) {
            auto* at = static_cast<Seen*>(data);
            at->value = *at->x;
            at->error = cudaDeviceSynchronize();
        },
        &seen);
    host_device::launch(increment_each, 1, 1, 0, s, x.data());
    EXPECT_EQ(cudaStreamSynchronize(s), cudaSuccess);
    EXPECT_EQ(seen.value, 1);
    EXPECT_EQ(seen.error, cudaErrorNotPermitted);
}

TEST_F(HostDeviceRuntime, AGraphRunsAsOftenAsItIsLaunched) {
    OnDevice<int> x({0});
    OnDevice<double> y({1.0});
    const cudaStream_t s = stream();
    ASSERT_EQ(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    host_device::launch(increment_each, 1, 1, 0, s, x.data());
    host_device::launch(scale_by, 1, 1, 0, s, y.data(), 2.0);
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamEndCapture(s, &graph), cudaSuccess);
    EXPECT_EQ(x.values()[0], 0) << "captured, not run";
    std::size_t nodes = 0;
    EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &nodes), cudaSuccess);
    EXPECT_EQ(nodes, 2u);
    cudaGraphExec_t run = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&run, graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(cudaGraphLaunch(run, s), cudaSuccess);
    EXPECT_EQ(cudaGraphExecDestroy(run), cudaSuccess);
    EXPECT_EQ(cudaGraphLaunch(run, s), cudaErrorInvalidValue);
    cudaStreamSynchronize(s);
    EXPECT_THAT(x.values(), ElementsAre(3));
    EXPECT_THAT(y.values(), ElementsAre(8.0));
}

// Two streams of a capture, ordered by events as they were.
TEST_F(HostDeviceRuntime, ACaptureFollowsEventsToOtherStreams) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        host_device::reset(with_seed(seed));
        OnDevice<int> x({0}), y({0}), z({0});
        const cudaStream_t a = stream(), b = stream();
        const cudaEvent_t fork = event(), join = event();
        ASSERT_EQ(cudaStreamBeginCapture(a, cudaStreamCaptureModeThreadLocal), cudaSuccess);
        host_device::launch(increment_each, 1, 1, 0, a, x.data());
        cudaEventRecord(fork, a);
        cudaStreamWaitEvent(b, fork);
        host_device::launch(copy_to, 1, 1, 0, b, x.data(), y.data());
        cudaEventRecord(join, b);
        cudaStreamWaitEvent(a, join);
        host_device::launch(copy_to, 1, 1, 0, a, y.data(), z.data());
        cudaGraph_t graph = nullptr;
        ASSERT_EQ(cudaStreamEndCapture(a, &graph), cudaSuccess);
        cudaGraphExec_t run = nullptr;
        cudaGraphInstantiate(&run, graph);
        for (int i = 0; i < 3; ++i) cudaGraphLaunch(run, a);
        cudaStreamSynchronize(a);
        EXPECT_EQ(z.values()[0], 3) << "seed " << seed;
    }
}

TEST_F(HostDeviceRuntime, ACaptureRefusesWhatCudaRefuses) {
    OnDevice<int> x({0});
    const cudaStream_t s = stream(), other = stream();
    const cudaEvent_t outside = event();
    cudaGraph_t graph = nullptr;
    const auto broken_by = [&](cudaError_t expected, auto what) {
        EXPECT_EQ(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
        EXPECT_EQ(what(), expected);
        EXPECT_EQ(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
        EXPECT_EQ(graph, nullptr);
    };
    void* memory = nullptr;
    broken_by(cudaErrorStreamCaptureUnsupported, [&] { return cudaMalloc(&memory, 8); });
    broken_by(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamSynchronize(s); });
    broken_by(cudaErrorStreamCaptureUnsupported, [&] { return cudaDeviceSynchronize(); });
    cudaEventRecord(outside, other);
    broken_by(cudaErrorStreamCaptureIsolation, [&] { return cudaStreamWaitEvent(s, outside); });

    ASSERT_EQ(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    cudaEventRecord(outside, s);
    cudaStreamWaitEvent(other, outside);
    host_device::launch(increment_each, 1, 1, 0, other, x.data());
    EXPECT_EQ(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureUnjoined);

    // A thread-local capture leaves other threads alone, a global one does not.
    for (const auto mode : {cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeGlobal}) {
        ASSERT_EQ(cudaStreamBeginCapture(s, mode), cudaSuccess);
        cudaError_t error = cudaSuccess;
        std::thread([&] { error = cudaDeviceSynchronize(); }).join();
        const bool global = mode == cudaStreamCaptureModeGlobal;
        EXPECT_EQ(error, global ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
        EXPECT_EQ(cudaStreamEndCapture(s, &graph),
                  global ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
    }
}

// External recordings and waits are a graph's ties to streams outside of it.
TEST_F(HostDeviceRuntime, ExternalEventsTieAGraphToOtherStreams) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        host_device::reset(with_seed(seed));
        OnDevice<int> x({0}), y({0});
        const cudaStream_t a = stream(), b = stream();
        const cudaEvent_t produced = event();
        cudaStreamBeginCapture(a, cudaStreamCaptureModeThreadLocal);
        host_device::launch(increment_each, 1, 1, 0, a, x.data());
        EXPECT_EQ(cudaEventRecordWithFlags(produced, a, cudaEventRecordExternal), cudaSuccess);
        cudaGraph_t graph = nullptr;
        ASSERT_EQ(cudaStreamEndCapture(a, &graph), cudaSuccess);
        cudaGraphExec_t run = nullptr;
        cudaGraphInstantiate(&run, graph);
        cudaGraphLaunch(run, a);
        cudaStreamWaitEvent(b, produced);
        host_device::launch(copy_to, 1, 1, 0, b, x.data(), y.data());
        cudaDeviceSynchronize();
        EXPECT_EQ(y.values()[0], 1) << "seed " << seed;
    }
}

TEST_F(HostDeviceRuntime, DevicesAreWhatTheSettingsSay) {
    host_device::Settings settings;
    settings.devices = 3;
    settings.compute_capability = 120;
    host_device::reset(settings);
    int count = 0;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    EXPECT_EQ(count, 3);
    cudaDeviceProp p{};
    EXPECT_EQ(cudaGetDeviceProperties(&p, 2), cudaSuccess);
    EXPECT_STREQ(p.name, "host device");
    EXPECT_EQ(p.major, 12);
    EXPECT_EQ(p.multiProcessorCount, 132);
    EXPECT_EQ(p.sharedMemPerBlockOptin, std::size_t{227} << 10);
    int value = 0;
    EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
              cudaSuccess);
    EXPECT_EQ(value, 227 << 10);
    char bus[32];
    EXPECT_EQ(cudaDeviceGetPCIBusId(bus, sizeof bus, 1), cudaSuccess);
    EXPECT_STREQ(bus, "0000:11:00.0");
    EXPECT_EQ(cudaSetDevice(3), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaSetDevice(2), cudaSuccess);
    EXPECT_EQ(cudaGetDevice(&value), cudaSuccess);
    EXPECT_EQ(value, 2);
}

TEST_F(HostDeviceRuntime, WithoutADriverOrADeviceItSaysSo) {
    host_device::Settings settings;
    settings.driver = false;
    host_device::reset(settings);
    int count = -1;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    EXPECT_EQ(count, -1) << "left untouched";
    EXPECT_EQ(cudaDriverGetVersion(&count), cudaSuccess);
    EXPECT_EQ(count, 0);
    settings.driver = true;
    settings.devices = 0;
    host_device::reset(settings);
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
    EXPECT_STREQ(cudaGetErrorString(cudaErrorNoDevice), "no CUDA-capable device is detected");
}

TEST_F(HostDeviceRuntime, PlannedFailuresComeAtTheirCall) {
    host_device::fail_call("cudaMalloc", 2, cudaErrorMemoryAllocation);
    host_device::fail_call("cudaStreamSynchronize", 1, cudaErrorIllegalAddress, 1);
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, 8), cudaSuccess);
    EXPECT_EQ(cudaMalloc(&memory, 8), cudaErrorMemoryAllocation);
    EXPECT_EQ(cudaMalloc(&memory, 8), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess) << "of device 0";
    cudaSetDevice(1);
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaErrorIllegalAddress);
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
}

TEST_F(HostDeviceRuntime, HandlesAndLeaksAreKnown) {
    const cudaStream_t s = stream();
    const cudaEvent_t e = event();
    EXPECT_EQ(host_device::live(), (host_device::Live{.streams = 1, .events = 1}));
    EXPECT_EQ(cudaStreamDestroy(s), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(s), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaStreamSynchronize(s), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaEventDestroy(e), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(e), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(host_device::live(), host_device::Live{});
}

}  // namespace
