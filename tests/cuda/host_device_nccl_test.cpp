// The device that the other tests of this folder stand on: NCCL between ranks that are threads.
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include "core/bf16.h"
#include "tests/cuda/on_device.h"

namespace {

using shardscope::Bf16;
using shardscope::test::OnDevice;
using shardscope::test::with_seed;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ncclResult_t settled(ncclComm_t comm) {
    ncclResult_t state = ncclInProgress;
    while (ncclCommGetAsyncError(comm, &state) == ncclSuccess && state == ncclInProgress) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return state;
}

// One rank's view in a test.
struct Rank {
    int rank, size;
    ncclComm_t world = nullptr;
    cudaStream_t stream = nullptr;

    // For calls of a communicator that may answer ncclInProgress.
    void done(ncclResult_t result, ncclComm_t comm = nullptr) const {
        if (result == ncclInProgress) result = settled(comm == nullptr ? world : comm);
        EXPECT_EQ(result, ncclSuccess) << "rank " << rank;
    }
};

ncclConfig_t config_of(bool blocking, const char* name) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = blocking ? 1 : 0;
    config.commName = name;
    return config;
}

// Every rank on a thread and a device of its own.
void on_ranks(int size, bool blocking, const std::function<void(Rank&)>& body) {
    ncclUniqueId id;
    ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
    std::vector<std::thread> threads;
    for (int r = 0; r < size; ++r) {
        threads.emplace_back([&, r] {
            Rank rank{r, size};
            EXPECT_EQ(cudaSetDevice(r), cudaSuccess);
            cudaStreamCreateWithFlags(&rank.stream, cudaStreamNonBlocking);
            ncclConfig_t config = config_of(blocking, "world");
            const ncclResult_t made = ncclCommInitRankConfig(&rank.world, size, id, r, &config);
            rank.done(made);
            body(rank);
        });
    }
    for (std::thread& thread : threads) thread.join();
}

class HostDeviceNccl : public shardscope::test::HostDeviceTest {};

TEST_F(HostDeviceNccl, CollectivesOfEveryType) {
    for (const bool blocking : {true, false}) {
        host_device::reset();
        on_ranks(3, blocking, [](Rank& rank) {
            const int r = rank.rank;
            OnDevice<float> f({1.0f * float(r), 2.0f});
            OnDevice<Bf16> b({Bf16(256.0f), Bf16(1.0f)});
            OnDevice<double> d({0.5, double(r)});
            OnDevice<std::int32_t> i({r, -r});
            const auto all_reduce = [&](auto& x, ncclDataType_t type, ncclRedOp_t op) {
                rank.done(ncclAllReduce(x.data(), x.data(), 2, type, op, rank.world, rank.stream));
            };
            all_reduce(f, ncclFloat32, ncclSum);
            all_reduce(b, ncclBfloat16, ncclSum);
            all_reduce(d, ncclFloat64, ncclMax);
            all_reduce(i, ncclInt32, ncclSum);
            EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaSuccess);
            EXPECT_THAT(f.values(), ElementsAre(3.0f, 6.0f));
            EXPECT_THAT(b.values(), ElementsAre(768.0f, 3.0f));
            EXPECT_THAT(d.values(), ElementsAre(0.5, 2.0));
            EXPECT_THAT(i.values(), ElementsAre(3, -3));
        });
    }
}

TEST_F(HostDeviceNccl, ScatterAndGatherInPlaceAndNot) {
    on_ranks(2, true, [](Rank& rank) {
        const int r = rank.rank;
        const std::vector<int> values{10 * r + 1, 10 * r + 2, 10 * r + 3, 10 * r + 4};
        OnDevice<int> x(values), y({0, 0}), z({0, 0, 0, 0});
        rank.done(
            ncclReduceScatter(x.data(), y.data(), 2, ncclInt32, ncclSum, rank.world, rank.stream));
        rank.done(ncclAllGather(y.data(), z.data(), 2, ncclInt32, rank.world, rank.stream));
        int* shard = x.data() + 2 * r;
        rank.done(
            ncclReduceScatter(x.data(), shard, 2, ncclInt32, ncclSum, rank.world, rank.stream));
        rank.done(ncclAllGather(shard, x.data(), 2, ncclInt32, rank.world, rank.stream));
        cudaStreamSynchronize(rank.stream);
        EXPECT_THAT(z.values(), ElementsAre(12, 14, 16, 18));
        EXPECT_THAT(x.values(), ElementsAre(12, 14, 16, 18));
    });
}

TEST_F(HostDeviceNccl, TransfersInAGroupPassAroundARing) {
    on_ranks(4, false, [](Rank& rank) {
        OnDevice<int> out({rank.rank}), in({-1});
        const int next = (rank.rank + 1) % 4, before = (rank.rank + 3) % 4;
        EXPECT_EQ(ncclGroupStart(), ncclSuccess);
        EXPECT_EQ(ncclSend(out.data(), 1, ncclInt32, next, rank.world, rank.stream), ncclSuccess);
        EXPECT_EQ(ncclRecv(in.data(), 1, ncclInt32, before, rank.world, rank.stream), ncclSuccess);
        rank.done(ncclGroupEnd());
        cudaStreamSynchronize(rank.stream);
        EXPECT_EQ(in.values()[0], before);
    });
}

TEST_F(HostDeviceNccl, SplitsAreOrderedByKeyAndLeaveRanksOut) {
    for (const bool blocking : {true, false}) {
        host_device::reset();
        on_ranks(5, blocking, [&](Rank& rank) {
            const int color = rank.rank == 4 ? NCCL_SPLIT_NOCOLOR : rank.rank % 2;
            ncclComm_t half = nullptr;
            ncclConfig_t config = config_of(blocking, "half");
            rank.done(ncclCommSplit(rank.world, color, -rank.rank, &half, &config));
            if (color == NCCL_SPLIT_NOCOLOR) {
                EXPECT_EQ(half, nullptr);
                return;
            }
            int own = -1, count = 0;
            EXPECT_EQ(ncclCommUserRank(half, &own), ncclSuccess);
            EXPECT_EQ(ncclCommCount(half, &count), ncclSuccess);
            EXPECT_EQ(own, rank.rank >= 2 ? 0 : 1);
            EXPECT_EQ(count, 2);
            OnDevice<int> x({1 << rank.rank});
            rank.done(ncclAllReduce(x.data(), x.data(), 1, ncclInt32, ncclSum, half, rank.stream),
                      half);
            cudaStreamSynchronize(rank.stream);
            EXPECT_EQ(x.values()[0], color == 0 ? 1 + 4 : 2 + 8);
            rank.done(ncclCommFinalize(half), half);
            EXPECT_EQ(ncclCommDestroy(half), ncclSuccess);
        });
        EXPECT_EQ(host_device::live().communicators, 5u) << "those of world, which nobody left";
    }
}

// A rank whose host is elsewhere still takes part: its device's work is run by those who wait for it.
TEST_F(HostDeviceNccl, ARankNeedNotWaitForTheOthersToFinish) {
    std::atomic<bool> first_is_done = false;
    on_ranks(2, true, [&](Rank& rank) {
        OnDevice<int> x({1});
        ncclAllReduce(x.data(), x.data(), 1, ncclInt32, ncclSum, rank.world, rank.stream);
        if (rank.rank == 0) {
            EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaSuccess);
            first_is_done = true;
        } else {
            first_is_done.wait(false);
        }
        first_is_done.notify_all();
        EXPECT_EQ(x.values()[0], 2);
    });
}

__global__ void increment_one(int* x) { ++*x; }

TEST_F(HostDeviceNccl, CollectivesInGraphsRunAtEveryLaunch) {
    on_ranks(2, true, [](Rank& rank) {
        OnDevice<int> x({1});
        cudaGraph_t graph = nullptr;
        cudaGraphExec_t run = nullptr;
        EXPECT_EQ(cudaStreamBeginCapture(rank.stream, cudaStreamCaptureModeThreadLocal),
                  cudaSuccess);
        host_device::launch(increment_one, 1, 1, 0, rank.stream, x.data());
        rank.done(
            ncclAllReduce(x.data(), x.data(), 1, ncclInt32, ncclSum, rank.world, rank.stream));
        EXPECT_EQ(cudaStreamEndCapture(rank.stream, &graph), cudaSuccess);
        EXPECT_EQ(cudaGraphInstantiate(&run, graph), cudaSuccess);
        for (int i = 0; i < 3; ++i) EXPECT_EQ(cudaGraphLaunch(run, rank.stream), cudaSuccess);
        EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaSuccess);
        EXPECT_EQ(x.values()[0], 22) << "1 → 4 → 10 → 22";
    });
}

// Two operations of a communicator on two streams run as they were issued, with other work around them.
TEST_F(HostDeviceNccl, IssueOrderHoldsAcrossStreams) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        host_device::reset(with_seed(seed));
        on_ranks(2, false, [](Rank& rank) {
            cudaStream_t other = nullptr;
            cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
            OnDevice<int> x({1});
            OnDevice<float> y({1});
            rank.done(ncclAllReduce(x.data(), x.data(), 1, ncclInt32, ncclSum, rank.world, other));
            rank.done(ncclAllReduce(y.data(), y.data(), 1, ncclFloat32, ncclSum, rank.world,
                                    rank.stream));
            EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
            EXPECT_EQ(x.values()[0], 2);
            EXPECT_EQ(y.values()[0], 2);
        });
        EXPECT_THAT(host_device::problems(), ::testing::IsEmpty());
    }
}

TEST_F(HostDeviceNccl, MismatchesAreNamed) {
    on_ranks(2, true, [](Rank& rank) {
        OnDevice<float> x({1, 2, 3, 4});
        ncclAllReduce(x.data(), x.data(), rank.rank == 0 ? 4 : 3, ncclFloat32, ncclSum, rank.world,
                      rank.stream);
        EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaErrorLaunchFailure);
    });
    EXPECT_THAT(host_device::problems(),
                Each(::testing::AllOf(HasSubstr("communicator world: all-reduce (sum) of"),
                                      HasSubstr("3 fp32"), HasSubstr("4 fp32"))));
}

TEST_F(HostDeviceNccl, ADeadlockIsReported) {
    host_device::Settings settings;
    settings.patience = std::chrono::milliseconds(200);
    host_device::reset(settings);
    on_ranks(2, true, [](Rank& rank) {
        OnDevice<int> x({1}), y({1});
        // Both receive before they send, outside of a group.
        ncclRecv(x.data(), 1, ncclInt32, 1 - rank.rank, rank.world, rank.stream);
        ncclSend(y.data(), 1, ncclInt32, 1 - rank.rank, rank.world, rank.stream);
        EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaErrorLaunchTimeout);
    });
    ASSERT_FALSE(host_device::problems().empty());
    EXPECT_THAT(
        host_device::problems()[0],
        ::testing::AllOf(HasSubstr("deadlock"),
                         HasSubstr("communicator world, rank 0: receive from 1 of 1 int32")));
}

// A peer is gone: the others learn of it, and are released by their own abort.
TEST_F(HostDeviceNccl, ALostPeerIsAnAsynchronousErrorAndAbortReleases) {
    std::atomic<int> waiting = 0;
    on_ranks(3, false, [&](Rank& rank) {
        if (rank.rank == 2) {
            while (waiting < 2) std::this_thread::yield();
            host_device::lose_peer(2);
            return;
        }
        OnDevice<float> x({1});
        rank.done(
            ncclAllReduce(x.data(), x.data(), 1, ncclFloat32, ncclSum, rank.world, rank.stream));
        ++waiting;
        std::thread watchdog([&] {
            EXPECT_EQ(cudaSetDevice(rank.rank), cudaSuccess);
            ncclResult_t state = ncclSuccess;
            while (state == ncclSuccess || state == ncclInProgress) {
                EXPECT_EQ(ncclCommGetAsyncError(rank.world, &state), ncclSuccess);
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            EXPECT_EQ(state, ncclRemoteError);
            EXPECT_EQ(
                ncclAllReduce(x.data(), x.data(), 1, ncclFloat32, ncclSum, rank.world, rank.stream),
                ncclRemoteError);
            EXPECT_EQ(ncclCommAbort(rank.world), ncclSuccess);
        });
        EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaSuccess);
        watchdog.join();
        EXPECT_TRUE(std::isnan(x.values()[0])) << "nothing arrived";
    });
}

TEST_F(HostDeviceNccl, WrongUseIsRefused) {
    int version = 0;
    EXPECT_EQ(ncclGetVersion(&version), ncclSuccess);
    EXPECT_EQ(version, 22809);
    ncclComm_t comm = nullptr;
    ncclUniqueId id;
    ncclGetUniqueId(&id);
    ncclConfig_t config{};
    EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, &config), ncclInvalidArgument);
    EXPECT_EQ(ncclCommInitRank(&comm, 2, id, 2), ncclInvalidArgument);
    ASSERT_EQ(ncclCommInitRank(&comm, 1, id, 0), ncclSuccess);
    EXPECT_EQ(ncclCommInitRank(&comm, 1, id, 0), ncclInvalidUsage) << "an id is for one use";
    OnDevice<float> x({1, 2});
    EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 3, ncclFloat32, ncclSum, comm, nullptr),
              ncclInvalidArgument)
        << "past the end of the buffer";
    EXPECT_EQ(ncclSend(x.data(), 1, ncclFloat32, 1, comm, nullptr), ncclInvalidArgument);
    host_device::fail_call("ncclAllReduce", 1, ncclSystemError);
    EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 2, ncclFloat32, ncclSum, comm, nullptr),
              ncclSystemError);
    EXPECT_EQ(ncclCommAbort(comm), ncclSuccess);
    EXPECT_EQ(ncclCommDestroy(comm), ncclInvalidArgument);

    host_device::Settings settings;
    settings.driver = false;
    host_device::reset(settings);
    EXPECT_EQ(ncclGetUniqueId(&id), ncclSuccess) << "needs no device";
    EXPECT_EQ(ncclCommInitRank(&comm, 1, id, 0), ncclUnhandledCudaError);
}

TEST_F(HostDeviceNccl, TwoRanksOfOneDeviceAreRefused) {
    ncclUniqueId id;
    ncclGetUniqueId(&id);
    std::vector<std::thread> threads;
    for (int r = 0; r < 2; ++r) {
        threads.emplace_back([&, r] {
            ncclComm_t comm = nullptr;
            EXPECT_EQ(ncclCommInitRank(&comm, 2, id, r), ncclInvalidUsage);
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_THAT(host_device::problems(), ElementsAre("communicator world: two ranks on device 0"));
}

}  // namespace
