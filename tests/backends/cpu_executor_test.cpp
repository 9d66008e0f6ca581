// The CPU executor on hand-made programs: order between streams, overlap, times, and failures.
#include "backends/cpu/cpu_executor.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/thread_communicator.h"
#include "backends/interpreter.h"
#include "core/error.h"
#include "tests/backends/hand_made.h"
#include "tests/backends/thread_ranks.h"

namespace shardscope {
namespace {

using namespace std::chrono_literals;
using test::HandMade;
using test::on_ranks;

std::vector<StreamCommunicators> communicators(int ranks) {
    std::vector<StreamCommunicators> result(static_cast<std::size_t>(ranks));
    for (std::size_t s = 0; s < kStreams; ++s) {
        auto members = make_thread_communicators(ranks);
        for (int r = 0; r < ranks; ++r)
            result[static_cast<std::size_t>(r)][s].push_back(
                std::move(members[static_cast<std::size_t>(r)]));
    }
    return result;
}

// Runs `steps` steps of the program on every rank; each buffer starts with rank + 1 in every element.
// Returns the values of `result` on each rank.
std::vector<float> run(const HandMade& p, BufferId result, CpuExecutorOptions options = {},
                       int steps = 1) {
    const int ranks = p.program.groups[0].size;
    auto all = communicators(ranks);
    std::vector<float> values(static_cast<std::size_t>(ranks));
    const auto errors = on_ranks(ranks, [&](int r) {
        const auto i = static_cast<std::size_t>(r);
        CpuExecutor executor(p.role(), std::move(all[i]), BatchLoader(), options);
        Interpreter interpreter(p.program, Rank(r), p.plan, executor);
        auto* arena = reinterpret_cast<float*>(interpreter.arena());
        std::fill_n(arena, p.plan.arena.value / 4, static_cast<float>(r + 1));
        for (int step = 0; step < steps; ++step) interpreter.run_step(step);
        std::memcpy(&values[i], interpreter.arena() + p.plan.offset[result.index()].value, sizeof(float));
    });
    for (const auto& error : errors)
        if (error) throw *error;
    return values;
}

TEST(CpuExecutor, EventsOrderComputeAndCommunication) {
    HandMade p(3);
    const BufferId x = p.buffer("x", 1000), sum = p.buffer("sum", 1000);
    p.body("body").add(x, sum).order(Stream::compute, Stream::reduce);
    p.all_reduce(sum, Stream::reduce).order(Stream::reduce, Stream::compute).add(x, sum);
    // sum = rank + 1 + rank + 1, summed over ranks 12, then + rank + 1.
    for (const auto delay : {0ms, 3ms})
        EXPECT_THAT(run(p, sum, {delay}), testing::ElementsAre(13.0f, 14.0f, 15.0f));
}

// Negative control: without the wait, the delayed all-reduce comes too late for the addition.
TEST(CpuExecutor, DelayExposesAMissingWait) {
    HandMade p(2);
    const BufferId x = p.buffer("x", 1000), sum = p.buffer("sum", 1000), y = p.buffer("y", 1000);
    p.body("body").add(x, sum).order(Stream::compute, Stream::reduce);
    p.all_reduce(sum, Stream::reduce).zero(y).add(sum, y);
    EXPECT_THAT(run(p, y, {20ms}), testing::ElementsAre(2.0f, 4.0f));  // not 6 and 6
}

TEST(CpuExecutor, ManyStepsReuseEventsWithoutMixing) {
    HandMade p(2);
    const BufferId x = p.buffer("x", 8), y = p.buffer("y", 8);
    p.body("body");
    for (int i = 0; i < 200; ++i) {  // more work than the stream's queue holds
        p.zero(y).add(x, y).order(Stream::compute, Stream::reduce).all_reduce(y, Stream::reduce);
        p.order(Stream::reduce, Stream::compute);
    }
    for (int i = 0; i < 400; ++i) p.all_reduce(y, Stream::gather);
    p.order(Stream::gather, Stream::compute).zero(y).add(x, y);
    EXPECT_THAT(run(p, y, {}, 5), testing::ElementsAre(1.0f, 2.0f));
}

TEST(CpuExecutor, StreamsOverlap) {
    HandMade p(2);
    const BufferId a = p.buffer("a", 8), b = p.buffer("b", 8);
    p.body("body").all_reduce(a, Stream::gather).all_reduce(b, Stream::reduce);
    p.order(Stream::gather, Stream::compute).order(Stream::reduce, Stream::compute).add(a, b);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THAT(run(p, b, {100ms}), testing::ElementsAre(6.0f, 6.0f));
    EXPECT_LT(std::chrono::steady_clock::now() - start, 190ms);
}

TEST(CpuExecutor, SpansTellWhereTimeWent) {
    HandMade p;
    const BufferId a = p.buffer("a", 8);
    p.body("body").zero(a).order(Stream::compute, Stream::reduce).all_reduce(a, Stream::reduce);
    p.phase(Phase::optimizer).order(Stream::reduce, Stream::compute).zero(a);
    CpuExecutor executor(p.role(), std::move(communicators(1)[0]), BatchLoader(), {20ms});
    Interpreter interpreter(p.program, Rank(0), p.plan, executor);
    SpanLog log(p.role());
    executor.log_spans(&log);
    log.begin_step(SpanLog::Clock::now());
    interpreter.run_step(0);
    const std::vector<Span>& spans = log.finish_step();
    ASSERT_EQ(spans.size(), 4u);  // zero, all_reduce, wait, zero; records and the reduce stream's
                                  // wait have none
    int found = 0;
    for (const Span& span : spans) {
        const double length = (span.end - span.start).value;
        if (span.kind == Span::Kind::communication) {
            EXPECT_EQ(span.stream, Stream::reduce);
            EXPECT_EQ(span.instruction, 3);
            EXPECT_GE(length, 0.020);
            ++found;
        } else if (span.kind == Span::Kind::wait) {
            EXPECT_EQ(span.phase, Phase::optimizer);
            EXPECT_GE(length, 0.010);
            ++found;
        }
    }
    EXPECT_EQ(found, 2);
}

TEST(CpuExecutor, AnEventThatWasNeverRecordedIsAnError) {
    HandMade p;
    p.role().events = 1;
    p.body("body").wait(EventId(0), Stream::compute);
    EXPECT_THROW(run(p, p.buffer("x", 1)), Error);
}

// A kernel that throws on a stream's thread: the rank hears of it, and so do the ranks that wait for
// it in a collective.
TEST(CpuExecutor, AFailureOnAStreamReachesEveryRank) {
    HandMade p(3);
    const BufferId x = p.buffer("x", 8);
    p.body("body").zero(x, Stream::gather).all_reduce(x, Stream::gather);
    p.order(Stream::gather, Stream::compute).zero(x);
    HandMade bad = p;
    auto& instruction = bad.role().bodies[0].instructions[0];
    std::get<Compute>(instruction.operation).dtype = DType::int32;  // no kernel has it
    auto all = communicators(3);
    const auto errors = on_ranks(3, [&](int r) {
        const HandMade& mine = r == 1 ? bad : p;
        CpuExecutor executor(mine.role(), std::move(all[static_cast<std::size_t>(r)]),
                             BatchLoader());
        Interpreter(mine.program, Rank(r), mine.plan, executor).run_step(0);
    });
    for (const auto& error : errors) ASSERT_TRUE(error);
    EXPECT_EQ(errors[0]->rule, kCommunicationAborted);
    EXPECT_EQ(errors[1]->rule, "unsupported");
    EXPECT_EQ(errors[2]->rule, kCommunicationAborted);
}

// The rank's own thread fails while its stream waits in a collective that will never complete.
TEST(CpuExecutor, DestructionDoesNotWaitForOthers) {
    HandMade p(2);
    const BufferId x = p.buffer("x", 8);
    p.body("body").all_reduce(x, Stream::reduce);
    auto all = communicators(2);
    CpuExecutor executor(p.role(), std::move(all[0]), BatchLoader());
    std::byte* arena = executor.allocate_arena(p.plan.arena);
    const auto& c = std::get<Collective>(p.role().bodies[0].instructions[0].operation);
    executor.collective(Stream::reduce, c, nullptr, arena);
}

}  // namespace
}  // namespace shardscope
