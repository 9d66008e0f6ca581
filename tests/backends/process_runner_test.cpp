// Ranks that talk over the TCP link hold the same bits, and take the same memory, as ranks that are
// threads. The processes' ends are threads of this test, each with a runner and a link of its own.

#include "backends/cpu/process_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/rank_values.h"
#include "tests/support/tcp_ranks.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::on_tcp_links;
using testing::HasSubstr;

void expect_same(const std::vector<test::Run>& processes, const test::Run& threads) {
    for (std::size_t r = 0; r < processes.size(); ++r) {
        const test::Run& mine = processes[r];
        const int rank = static_cast<int>(r);
        EXPECT_TRUE(mine.values.at(rank) == threads.values.at(rank)) << "rank " << rank;
        EXPECT_EQ(mine.trace.losses, threads.trace.losses);
        EXPECT_EQ(mine.trace.gradient_norms, threads.trace.gradient_norms);
        ASSERT_EQ(mine.trace.ranks.size(), threads.trace.ranks.size());
        for (std::size_t i = 0; i < mine.trace.ranks.size(); ++i) {
            EXPECT_EQ(mine.trace.ranks[i].rank, threads.trace.ranks[i].rank);
            EXPECT_EQ(mine.trace.ranks[i].memory.categories,
                      threads.trace.ranks[i].memory.categories);
            EXPECT_EQ(mine.trace.ranks[i].steps.size(), threads.trace.ranks[i].steps.size());
        }
    }
}

class ProcessRanks : public testing::TestWithParam<int> {};

TEST_P(ProcessRanks, HaveTheBitsOfThreads) {
    const int ranks = GetParam();
    for (const Scenario& scenario : test::scenarios_for(ranks)) {
        SCOPED_TRACE(test::describe(scenario, scenario.strategies[0]));
        std::vector<test::Run> processes(static_cast<std::size_t>(ranks));
        const auto errors = on_tcp_links(ranks, [&](int r, MessageLink& link) {
            processes[static_cast<std::size_t>(r)] =
                test::run_and_read(scenario, [&](CpuRunnerOptions options) {
                    return std::make_unique<ProcessRunner>(link, std::move(options));
                });
        });
        for (const auto& e : errors) ASSERT_FALSE(e) << e->what();
        expect_same(processes, test::run_threads(scenario));
    }
}
INSTANTIATE_TEST_SUITE_P(, ProcessRanks, testing::Values(1, 2, 3, 4, 8));

// A strategy for two ranks leaves the other processes idle, and they all get its trace; the link serves
// the next strategy as well.
TEST(ProcessRunner, IdleProcessesAndSeveralRuns) {
    const std::vector<Scenario> scenarios{test::tiny_scenario(test::tiny_mlp(), 2),
                                          test::tiny_scenario(test::tiny_gpt(), 3)};
    std::vector<std::vector<double>> losses(3);
    const auto errors = on_tcp_links(3, [&](int r, MessageLink& link) {
        for (const Scenario& scenario : scenarios) {
            const Trace trace = ProcessRunner(link).run(scenario, test::lower_tiny(scenario), {});
            EXPECT_EQ(std::ssize(trace.ranks), scenario.cluster.world_size());
            losses[static_cast<std::size_t>(r)].push_back(trace.losses.back());
        }
    });
    for (const auto& e : errors) ASSERT_FALSE(e) << e->what();
    EXPECT_EQ(losses[0], losses[1]);
    EXPECT_EQ(losses[0], losses[2]);
}

TEST(ProcessRunner, MoreRanksThanProcesses) {
    const Scenario scenario = test::tiny_scenario(test::tiny_mlp(), 3);
    const auto errors = on_tcp_links(2, [&](int, MessageLink& link) {
        ProcessRunner(link).run(scenario, test::lower_tiny(scenario), {});
    });
    for (const auto& e : errors) {
        ASSERT_TRUE(e);
        EXPECT_THAT(e->message, HasSubstr("needs 3 ranks, but 2 processes were started"));
    }
}

TEST(ProcessRunner, TheFailingRankIsNamedOnRank0) {
    const Scenario scenario = test::tiny_scenario(test::tiny_mlp(), 3);
    std::optional<Error> later;
    const auto errors = on_tcp_links(3, [&](int r, MessageLink& link) {
        CpuRunnerOptions options;
        options.inspect = [](int rank, std::int64_t step, const RankState&) {
            if (rank == 2 && step == 1) throw std::runtime_error("its disk is full");
        };
        const Plan plan = test::lower_tiny(scenario);
        try {
            ProcessRunner(link, options).run(scenario, plan, {});
        } catch (const Error& first) {
            try {
                ProcessRunner(link).run(scenario, plan, {});
            } catch (const Error& e) {
                if (r == 0) later = e;
            }
            link.leave();
            throw first;
        }
    });
    for (const auto& e : errors) ASSERT_TRUE(e);
    EXPECT_THAT(errors[0]->message, HasSubstr("rank 2: its disk is full"));
    EXPECT_THAT(errors[2]->message, HasSubstr("rank 2: its disk is full"));
    ASSERT_TRUE(later);
    EXPECT_EQ(later->rule, "not-run");
}

}  // namespace
}  // namespace shardscope
