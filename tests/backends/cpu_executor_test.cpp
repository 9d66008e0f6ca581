// The CPU executor on hand-made programs: order between streams, overlap, times, and failures.
#include "backends/cpu/cpu_executor.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/interpreter.h"
#include "core/error.h"
#include "tests/support/hand_made.h"
#include "tests/support/thread_ranks.h"

namespace shardscope {
namespace {

using namespace std::chrono_literals;
using test::HandMade;
using test::on_ranks;

#if defined(__SANITIZE_THREAD__)
constexpr bool kFindsRaces = true;  // and so ends the tests that race on purpose
#else
constexpr bool kFindsRaces = false;
#endif

// Runs `steps` steps of the program on every rank; each buffer starts with rank + 1 in every element.
// Returns the values of `result` on each rank.
std::vector<float> executed(const HandMade& p, BufferId result, CpuExecutorOptions options = {},
                            int steps = 1) {
    const int ranks = p.program.groups[0].size;
    auto all = make_rank_communicators(p.program, ranks);
    std::vector<float> values(static_cast<std::size_t>(ranks));
    const auto errors = on_ranks(ranks, [&](int r) {
        const auto i = static_cast<std::size_t>(r);
        CpuExecutor executor(p.role(), std::move(all[i]), BatchLoader(), options);
        std::byte* const memory = executor.allocate_arena(p.plan.arena);
        Interpreter interpreter(p.program, Rank(r), p.plan, executor, memory);
        auto* arena = reinterpret_cast<float*>(memory);
        std::fill_n(arena, p.plan.arena.value / 4, static_cast<float>(r + 1));
        for (int step = 0; step < steps; ++step) interpreter.run_step(step);
        std::memcpy(&values[i], memory + p.plan.offset[result.index()].value, sizeof(float));
    });
    for (const auto& error : errors)
        if (error) throw *error;
    return values;
}

// Of one step of the program's only rank.
std::vector<Span> spans_of(const HandMade& p, std::chrono::nanoseconds communication_delay) {
    CpuExecutor executor(p.role(), std::move(make_rank_communicators(p.program, 1)[0]),
                         BatchLoader(), {communication_delay});
    std::byte* const memory = executor.allocate_arena(p.plan.arena);
    Interpreter interpreter(p.program, Rank(0), p.plan, executor, memory);
    SpanLog log(p.role());
    executor.log_spans(&log);
    log.begin_step(SpanLog::Clock::now());
    interpreter.run_step(0);
    return log.finish_step();
}

TEST(CpuExecutor, EventsOrderComputeAndCommunication) {
    HandMade p(3);
    const BufferId x = p.buffer("x", 1000), sum = p.buffer("sum", 1000);
    p.body("body").add(x, sum).order(Stream::compute, Stream::reduce);
    p.all_reduce(sum, Stream::reduce).order(Stream::reduce, Stream::compute).add(x, sum);
    // sum = rank + 1 + rank + 1, summed over ranks 12, then + rank + 1.
    for (const auto delay : {0ms, 3ms})
        EXPECT_THAT(executed(p, sum, {delay}), testing::ElementsAre(13.0f, 14.0f, 15.0f));
}

// Negative control: without the wait, the delayed all-reduce comes too late for the addition.
TEST(CpuExecutor, DelayExposesAMissingWait) {
    if (kFindsRaces) GTEST_SKIP() << "races on purpose";
    HandMade p(2);
    const BufferId x = p.buffer("x", 1000), sum = p.buffer("sum", 1000), y = p.buffer("y", 1000);
    p.body("body").add(x, sum).order(Stream::compute, Stream::reduce);
    p.all_reduce(sum, Stream::reduce).zero(y).add(sum, y);
    EXPECT_THAT(executed(p, y, {20ms}), testing::ElementsAre(2.0f, 4.0f));  // not 6 and 6
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
    EXPECT_THAT(executed(p, y, {}, 5), testing::ElementsAre(1.0f, 2.0f));
}

TEST(CpuExecutor, StreamsOverlap) {
    HandMade p(2);
    const BufferId a = p.buffer("a", 8), b = p.buffer("b", 8);
    p.body("body").all_reduce(a, Stream::gather).all_reduce(b, Stream::reduce);
    p.order(Stream::gather, Stream::compute).order(Stream::reduce, Stream::compute).add(a, b);
    EXPECT_THAT(executed(p, b, {3ms}), testing::ElementsAre(6.0f, 6.0f));

    // Each takes so long that the other begins before it ends, on any machine.
    HandMade alone;
    const BufferId c = alone.buffer("c", 8), d = alone.buffer("d", 8);
    alone.body("body").all_reduce(c, Stream::gather).all_reduce(d, Stream::reduce);
    std::vector<Span> sums = spans_of(alone, 500ms);
    std::erase_if(sums, [](const Span& s) { return s.kind != Span::Kind::communication; });
    ASSERT_EQ(sums.size(), 2u);
    EXPECT_LT(sums[0].start.value, sums[1].end.value);
    EXPECT_LT(sums[1].start.value, sums[0].end.value);

    // Negative control: on one stream they follow one another.
    HandMade one_stream;
    const BufferId e = one_stream.buffer("e", 8), f = one_stream.buffer("f", 8);
    one_stream.body("body").all_reduce(e, Stream::gather).all_reduce(f, Stream::gather);
    sums = spans_of(one_stream, 3ms);
    ASSERT_EQ(sums.size(), 2u);
    EXPECT_GE(sums[1].start.value, sums[0].end.value);
}

TEST(CpuExecutor, SpansTellWhereTimeWent) {
    HandMade p;
    const BufferId a = p.buffer("a", 8);
    p.body("body").zero(a).order(Stream::compute, Stream::reduce).all_reduce(a, Stream::reduce);
    p.phase(Phase::optimizer).order(Stream::reduce, Stream::compute).zero(a);
    const std::vector<Span> spans = spans_of(p, 20ms);
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

// The first recording of a later body has no earlier one to wait for.
TEST(CpuExecutor, BeforeTheFirstRecordingThereIsNothingToWaitFor) {
    HandMade p;
    const BufferId x = p.buffer("x", 8), y = p.buffer("y", 8);
    p.role().events = 1;
    p.body("body").wait(EventId(0), Stream::compute).add(x, y).record(EventId(0), Stream::reduce);
    EXPECT_THAT(executed(p, y, {}, 3), testing::ElementsAre(4.0f));
}

TEST(CpuExecutor, AWaitInAnotherBodyIsForTheLatestRecording) {
    HandMade p(2);
    const BufferId x = p.buffer("x", 8), y = p.buffer("y", 8);
    p.role().events = 1;
    p.body("first").all_reduce(x, Stream::gather).record(EventId(0), Stream::gather);
    p.body("second").wait(EventId(0), Stream::compute).zero(y).add(x, y);
    p.role().schedule = {{BodyId(0), 0}, {BodyId(0), 1}, {BodyId(1), 0}};
    EXPECT_THAT(executed(p, y, {10ms}), testing::ElementsAre(6.0f, 6.0f));
}

TEST(CpuExecutor, AllReduceOfTheLargest) {
    HandMade p(3);
    const BufferId x = p.buffer("x", 8);
    p.body("body").all_reduce(x, Stream::compute);
    std::get<Collective>(p.role().bodies[0].instructions[0].operation).reduce = ReduceOp::maximum;
    EXPECT_THAT(executed(p, x), testing::ElementsAre(3.0f, 3.0f, 3.0f));
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
    auto all = make_rank_communicators(p.program, 3);
    const auto errors = on_ranks(3, [&](int r) {
        const HandMade& mine = r == 1 ? bad : p;
        CpuExecutor executor(mine.role(), std::move(all[static_cast<std::size_t>(r)]),
                             BatchLoader());
        Interpreter(mine.program, Rank(r), mine.plan, executor,
                    executor.allocate_arena(mine.plan.arena))
            .run_step(0);
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
    auto all = make_rank_communicators(p.program, 2);
    CpuExecutor executor(p.role(), std::move(all[0]), BatchLoader());
    std::byte* arena = executor.allocate_arena(p.plan.arena);
    const auto& c = std::get<Collective>(p.role().bodies[0].instructions[0].operation);
    executor.collective(Stream::reduce, c, nullptr, arena);
}

// Two ranks with programs of their own, as two stages have.
struct TwoStages {
    std::vector<HandMade> stage{HandMade(2), HandMade(2)};

    // Runs one step; buffers start with rank + 1 in every element. Returns the first value of
    // `result` (the same buffer number on both).
    std::vector<float> run(BufferId result, const CpuExecutorOptions& options = {}) const {
        const Program both = test::stages_of(stage);
        auto all = make_rank_communicators(both, 2);
        std::vector<float> values(2);
        const auto errors = on_ranks(2, [&](int r) {
            const auto i = static_cast<std::size_t>(r);
            CpuExecutor executor(both.roles[i], std::move(all[i]), BatchLoader(), options);
            std::byte* const memory = executor.allocate_arena(stage[i].plan.arena);
            Interpreter interpreter(both, Rank(r), stage[i].plan, executor, memory);
            auto* arena = reinterpret_cast<float*>(memory);
            std::fill_n(arena, stage[i].plan.arena.value / 4, static_cast<float>(r + 1));
            interpreter.run_step(0);
            const Bytes place = stage[i].plan.offset[result.index()];
            std::memcpy(&values[i], memory + place.value, sizeof(float));
        });
        for (const auto& error : errors)
            if (error) throw *error;
        return values;
    }
};

// Activations go one way and gradients the other, on streams whose names differ at both ends.
TEST(CpuExecutor, StagesExchangeActivationsAndGradients) {
    for (const auto delay : {0ms, 5ms}) {
        TwoStages p;
        auto& first = p.stage[0];
        auto& last = p.stage[1];
        const BufferId a = first.buffer("a", 100), g = first.buffer("g", 100);
        last.buffer("a", 100), last.buffer("g", 100);
        first.body("all").zero(g).add(a, g).add(g, a);  // a = 2
        first.order(Stream::compute, Stream::activations_out);
        first.exchange({{1, true, a}}, Stream::activations_out);
        first.exchange({{1, false, g}}, Stream::gradients_in);
        first.order(Stream::gradients_in, Stream::compute).add(g, a);
        last.body("all").exchange({{0, false, a}}, Stream::activations_in);
        last.order(Stream::activations_in, Stream::compute).add(a, g);  // g = 2 + 2
        last.order(Stream::compute, Stream::gradients_out);
        last.exchange({{0, true, g}}, Stream::gradients_out);
        EXPECT_THAT(p.run(a, {delay}), testing::ElementsAre(6.0f, 2.0f));
        EXPECT_THAT(p.run(g, {delay}), testing::ElementsAre(4.0f, 4.0f));
    }
}

TEST(CpuExecutor, BothEndsExchangeOnTheComputeStream) {
    TwoStages p;
    BufferId mine, theirs;
    for (int s = 0; s < 2; ++s) {
        mine = p.stage[s].buffer("mine", 9);
        theirs = p.stage[s].buffer("theirs", 9);
        p.stage[s].body("both").exchange({{1 - s, true, mine}, {1 - s, false, theirs}},
                                         Stream::compute);
    }
    EXPECT_THAT(p.run(theirs), testing::ElementsAre(2.0f, 1.0f));
}

// The last stage of two ends its backward pass while its last gradient is still on the way, and goes
// on to exchange tied gradients with the same peer.
TEST(CpuExecutor, TransfersOfAPairMatchWithinTheirLane) {
    TwoStages p;
    BufferId g, mine, theirs;
    for (int s = 0; s < 2; ++s) {
        g = p.stage[s].buffer("g", 5), p.stage[s].buffer("slow", 8);
        mine = p.stage[s].buffer("mine", 9), theirs = p.stage[s].buffer("theirs", 9);
    }
    const std::vector<HandMade::End> tied[] = {{{1, true, mine}, {1, false, theirs}},
                                               {{0, true, mine}, {0, false, theirs}}};
    p.stage[0].body("all").exchange({{1, false, g}}, Stream::gradients_in);
    p.stage[0].exchange(tied[0], Stream::compute);
    p.stage[1].body("all").all_reduce(BufferId(1), Stream::gradients_out);
    p.stage[0].all_reduce(BufferId(1), Stream::gradients_out);
    p.stage[1].exchange({{0, true, g}}, Stream::gradients_out).exchange(tied[1], Stream::compute);
    EXPECT_THAT(p.run(g, {10ms}), testing::ElementsAre(2.0f, 2.0f));
    EXPECT_THAT(p.run(theirs), testing::ElementsAre(2.0f, 1.0f));
}

// A rank may issue a whole step's receives before its peer sends the first: it needs none of them to
// do what the peer waits for.
TEST(CpuExecutor, ALatePeerDoesNotKeepARankFromIssuing) {
    constexpr int kTransfers = 400;
    TwoStages p;
    const BufferId a = p.stage[0].buffer("a", 8), b = p.stage[0].buffer("b", 8);
    p.stage[1].buffer("a", 8), p.stage[1].buffer("b", 8);
    p.stage[0].body("all");
    for (int i = 0; i < kTransfers; ++i) p.stage[0].exchange({{1, false, a}}, Stream::gradients_in);
    p.stage[0].exchange({{1, true, b}}, Stream::activations_out);
    p.stage[1].body("all").exchange({{0, false, b}}, Stream::activations_in);
    p.stage[1].order(Stream::activations_in, Stream::gradients_out);
    for (int i = 0; i < kTransfers; ++i) p.stage[1].exchange({{0, true, a}}, Stream::gradients_out);
    EXPECT_THAT(p.run(b), testing::ElementsAre(1.0f, 1.0f));
}

// Negative control: without a wait, the delayed activation comes too late.
TEST(CpuExecutor, DelayAppliesToExchanges) {
    if (kFindsRaces) GTEST_SKIP() << "races on purpose";
    TwoStages p;
    const BufferId a = p.stage[0].buffer("a", 8), sum = p.stage[0].buffer("sum", 8);
    p.stage[1].buffer("a", 8), p.stage[1].buffer("sum", 8);
    p.stage[0].body("send").exchange({{1, true, a}}, Stream::activations_out).add(a, sum);
    p.stage[1].body("receive").exchange({{0, false, a}}, Stream::activations_in).add(a, sum);
    EXPECT_THAT(p.run(sum, {30ms}), testing::ElementsAre(2.0f, 4.0f));  // not 3
}

TEST(CpuExecutor, AFailureWakesAPeerThatWaitsForATransfer) {
    TwoStages p;
    const BufferId a = p.stage[0].buffer("a", 8);
    p.stage[1].buffer("a", 8);
    p.stage[0].body("body").exchange({{1, true, a}}, Stream::activations_out);
    p.stage[1].body("body").zero(a, Stream::gather);
    p.stage[1].order(Stream::gather, Stream::activations_in);
    p.stage[1].exchange({{0, false, a}}, Stream::activations_in);
    auto& bad = p.stage[1].role().bodies[0].instructions[0];
    std::get<Compute>(bad.operation).dtype = DType::int32;  // no kernel has it
    try {
        p.run(a);
        FAIL() << "no error";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, kCommunicationAborted);  // rank 0's, the first in order
    }
}

TEST(RankCommunicators, OnlyWhatProgramsUseExists) {
    TwoStages p;
    const BufferId a = p.stage[0].buffer("a", 8);
    p.stage[1].buffer("a", 8);
    p.stage[0].body("body").exchange({{1, true, a}}, Stream::activations_out);
    p.stage[1].body("body").exchange({{0, false, a}}, Stream::activations_in);
    p.stage[1].all_reduce(a, Stream::reduce);
    const auto ranks = make_rank_communicators(test::stages_of(p.stage), 2);
    for (const RankCommunicators& rank : ranks) {
        EXPECT_NE(rank.transfers[0][0], nullptr);
        for (std::size_t s = 0; s < kStreams; ++s)
            EXPECT_EQ(rank.collectives[s][0] != nullptr, static_cast<Stream>(s) == Stream::reduce);
    }
}

}  // namespace
}  // namespace shardscope
