// What holds of runs on GPUs beside their results: replay and any order that events leave open give the
// same bits, and whatever fails ends all ranks with its rank and cause.
#include "backends/cuda/runner.h"

#include <stdexcept>

#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include "tests/cuda/gpu_ranks.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::failures_on_gpus;
using test::GpuRun;
using test::train_on_gpus;
using test::Trained;
using testing::HasSubstr;

Scenario scenario_of(const ModelSpec& model, int tp, int pp, int dp, int zero) {
    Scenario s = test::tiny_scenario(model, tp * pp * dp);
    s.training.precision = DType::fp32;
    s.training.clip = 0.5;
    s.training.steps = 5;
    s.training.micro_batch = 6;
    Strategy& strategy = s.strategies[0];
    strategy.tp = tp;
    strategy.pp = pp;
    strategy.dp = dp;
    strategy.zero = zero;
    strategy.bucket = Bytes(4000);
    return s;
}

GpuRun with_seed(std::uint64_t seed) {
    GpuRun run;
    run.settings.seed = seed;
    return run;
}

void expect_same_bits(const Trained& a, const Trained& b) {
    EXPECT_EQ(a.trace.losses, b.trace.losses);
    EXPECT_EQ(a.trace.gradient_norms, b.trace.gradient_norms);
    EXPECT_TRUE(a.parameters == b.parameters);
}

TEST(CudaRunnerSlow, ReplayedGraphsGiveTheBitsOfDirectCalls) {
    for (const Scenario& scenario :
         {scenario_of(test::tiny_llama(), 1, 1, 2, 3), scenario_of(test::tiny_mlp(), 2, 2, 1, 0)}) {
        GpuRun direct = with_seed(1);
        direct.options.graphs = false;
        expect_same_bits(train_on_gpus(scenario, with_seed(1)), train_on_gpus(scenario, direct));
    }
}

// A process that was started alone has no link; samples that repeat stay where they are, and give the same.
TEST(CudaRunnerSlow, OneProcessNeedsNoLauncher) {
    Scenario scenario = test::on_gpus(scenario_of(test::tiny_mlp(), 1, 1, 1, 0));
    const auto losses_alone = [&] {
        host_device::reset({});
        const Plan plan = test::lower_tiny(scenario);
        return cuda::CudaRunner({}, nullptr).run(scenario, plan, {}).losses;
    };
    EXPECT_EQ(losses_alone(), train_on_gpus(scenario, with_seed(1)).trace.losses);
    scenario.data = SyntheticData{scenario.training.global_batch / 2};  // every step has the same
    const std::vector<double> losses = losses_alone(),
                              expected = test::train(scenario).trace.losses;
    ASSERT_EQ(losses.size(), expected.size());
    for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 1e-5);
}

TEST(CudaRunnerSlow, EveryOrderThatEventsAllowGivesTheSameBits) {
    const Scenario zero = scenario_of(test::tiny_mlp(), 1, 1, 2, 3);
    const Scenario pipeline = scenario_of(test::tiny_mlp(), 1, 2, 2, 1);
    for (const Scenario& scenario : {zero, pipeline}) {
        const Trained first = train_on_gpus(scenario, with_seed(1));
        for (std::uint64_t seed = 2; seed <= 6; ++seed) {
            SCOPED_TRACE("seed " + std::to_string(seed));
            expect_same_bits(train_on_gpus(scenario, with_seed(seed)), first);
        }
    }
}

// The negative control: without waits for events, most orders give something else.
TEST(CudaRunnerSlow, IgnoredEventsAreSeen) {
    const Scenario scenario = scenario_of(test::tiny_mlp(), 1, 1, 2, 3);
    const Trained right = train_on_gpus(scenario, with_seed(1));
    int seen = 0;
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        GpuRun run = with_seed(seed);
        run.settings.ignores_waits = true;
        const Trained wrong = train_on_gpus(scenario, run);
        if (!(wrong.parameters == right.parameters)) ++seen;
    }
    EXPECT_GE(seen, 4);
}

// Storage in bf16 rounds by 2⁻⁹ in other places than the CPU's kernels do: losses within 2 %.
TEST(CudaRunnerSlow, Bf16TrainsAsOnTheCpu) {
    for (Scenario scenario :
         {scenario_of(test::tiny_gpt(), 1, 1, 2, 1), scenario_of(test::tiny_llama(), 2, 1, 1, 0)}) {
        scenario.training.precision = DType::bf16;
        const Trained gpu = train_on_gpus(scenario), cpu = test::train(scenario);
        ASSERT_EQ(gpu.trace.losses.size(), cpu.trace.losses.size());
        for (std::size_t i = 0; i < cpu.trace.losses.size(); ++i)
            EXPECT_NEAR(gpu.trace.losses[i] / cpu.trace.losses[i], 1, 0.02) << "step " << i + 1;
    }
}

// Faults, in a run of two ranks. All ranks must end, soon, and rank 0 must know whose fault it was.

constexpr double kSoon = 10;  // seconds, three of them until what does not move is called stuck

GpuRun faulty(Seconds timeout = Seconds(60)) {
    GpuRun run;
    run.options.timeout = timeout;
    run.settings.patience = std::chrono::milliseconds(500);
    return run;
}

test::Failures fail(const GpuRun& run) {
    const test::Failures failures =
        failures_on_gpus(scenario_of(test::tiny_mlp(), 1, 1, 2, 1), run);
    EXPECT_LT(failures.seconds, kSoon);
    for (const auto& error : failures.of_rank) EXPECT_TRUE(error);
    return failures;
}

// What rank 0 says, or what there is to say that it said nothing.
std::string told(const test::Failures& failures) {
    return failures.of_rank[0] ? failures.of_rank[0]->what() : "no error";
}

TEST(CudaFaultsTiming, ARankThatThrows) {
    GpuRun run = faulty();
    run.inspect = [](int rank, std::int64_t step, const RankState&) {
        if (rank == 1 && step == 1) throw std::runtime_error("its disk is full");
    };
    const auto failures = fail(run);
    EXPECT_THAT(told(failures), HasSubstr("rank 1: its disk is full"));
    EXPECT_THAT(failures.of_rank[1]->what(), HasSubstr("rank 1: its disk is full"));
}

TEST(CudaFaultsTiming, NoMemory) {
    GpuRun run = faulty();
    run.prepare = [] { host_device::fail_call("cudaMalloc", 3, cudaErrorMemoryAllocation, 1); };
    const auto failures = fail(run);
    EXPECT_THAT(told(failures), HasSubstr("out-of-memory"));
    EXPECT_THAT(told(failures), HasSubstr("rank 1"));
}

TEST(CudaFaultsTiming, AFaultOfAKernel) {
    GpuRun run = faulty();
    run.prepare = [] { host_device::fail_call("cudaStreamQuery", 40, cudaErrorIllegalAddress, 1); };
    const auto failures = fail(run);
    EXPECT_THAT(told(failures), HasSubstr("rank 1"));
    EXPECT_THAT(told(failures), HasSubstr("an illegal memory access was encountered"));
}

TEST(CudaFaultsTiming, AnAsynchronousErrorOfNccl) {
    GpuRun run = faulty();
    run.inspect = [](int rank, std::int64_t step, const RankState&) {
        if (rank == 1 && step == 1) host_device::fail_communicators(1, ncclSystemError);
    };
    const auto failures = fail(run);
    EXPECT_THAT(told(failures), HasSubstr("rank 1"));
    EXPECT_THAT(told(failures), HasSubstr("unhandled system error"));
}

TEST(CudaFaultsTiming, ALostPeer) {
    GpuRun run = faulty(Seconds(3));
    run.inspect = [](int rank, std::int64_t step, const RankState&) {
        if (rank != 1 || step != 1) return;
        host_device::lose_peer(1);
        host_device::hang(1);
    };
    EXPECT_THAT(told(fail(run)), HasSubstr("remote process exited or there was a network error"));
}

// One device never ends what it does: its rank, and the one that waits for it, say where they are.
TEST(CudaFaultsTiming, ADeviceThatHangs) {
    GpuRun run = faulty(Seconds(3));
    run.inspect = [](int rank, std::int64_t step, const RankState&) {
        if (rank == 1 && step == 1) host_device::hang(1);
    };
    const auto failures = fail(run);
    EXPECT_THAT(told(failures), HasSubstr("stuck"));
    EXPECT_THAT(told(failures), HasSubstr("no progress for 3 s on "));
    // Where the device was, which had not done all of the step before or had begun the next.
    EXPECT_THAT(told(failures), testing::AnyOf(HasSubstr("of layer"), HasSubstr("in optimizer")));
}

TEST(CudaFaultsTiming, CallsThatFailAtTheStart) {
    for (const auto& [function, code, text] :
         {std::tuple{"ncclCommInitRankConfig", static_cast<int>(ncclSystemError), "system error"},
          {"ncclCommSplit", static_cast<int>(ncclInternalError), "internal error"},
          {"cudaStreamCreateWithPriority", static_cast<int>(cudaErrorInvalidValue),
           "invalid argument"}}) {
        SCOPED_TRACE(function);
        GpuRun run = faulty();
        run.prepare = [&, f = function, c = code] { host_device::fail_call(f, 1, c, 1); };
        const auto failures = fail(run);
        EXPECT_THAT(told(failures), HasSubstr("rank 1"));
        EXPECT_THAT(told(failures), HasSubstr(text));
    }
}

TEST(CudaFaultsTiming, NoDriverAndTooFewDevices) {
    GpuRun run = faulty();
    run.settings.driver = false;
    EXPECT_THAT(told(fail(run)), HasSubstr("this rank needs GPU"));
    EXPECT_THAT(told(fail(run)), HasSubstr("but there are 0"));
}

}  // namespace
}  // namespace shardscope
