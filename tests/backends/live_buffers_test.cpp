// The account of live bytes: what it places when, and that it finds a plan that is wrong.
#include "backends/live_buffers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/arena_poison.h"
#include "core/error.h"
#include "tests/support/hand_made.h"

namespace shardscope {
namespace {

using test::HandMade;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Bytes kSize{256};  // of every buffer of 64 elements
constexpr std::int64_t kElements = 64;

std::string live_copies(const HandMade& p, const LiveBuffers& account, std::size_t b) {
    const std::string name = " " + p.role().buffers[b].name;
    if (p.plan.frame[b] < 0) return account.live(BufferId(b)) ? name : "";
    const auto& frame = p.plan.frames[static_cast<std::size_t>(p.plan.frame[b])];
    std::string names;
    for (std::int32_t m = 0; m < std::ssize(frame.base); ++m)
        if (account.live(BufferId(b), m)) names += name + std::to_string(m);
    return names;
}

// Issues one step to the account as the interpreter does and returns the names of the live transient
// buffers after each instruction, "a b"; in frames with the micro-batch, "s0 s1".
std::vector<std::string> live_after_each(const HandMade& p, LiveBuffers& account) {
    const RoleProgram& role = p.role();
    std::vector<std::string> result;
    account.begin_step();
    for (const Task& task : role.schedule) {
        account.begin_task();
        for (const Instruction& instruction : role.bodies[task.body.index()].instructions) {
            account.before_issue(instruction);
            account.after_issue(instruction);
            std::string names;
            for (std::size_t b = 0; b < role.buffers.size(); ++b)
                if (role.buffers[b].residence == Residence::transient)
                    names += live_copies(p, account, b);
            result.push_back(names.empty() ? names : names.substr(1));
        }
    }
    account.end_step();
    return result;
}

std::vector<std::string> live_after_each(const HandMade& p) {
    LiveBuffers account(p.role(), p.plan);
    return live_after_each(p, account);
}

TEST(LiveBuffers, ABufferLivesFromItsFirstToItsLastAccess) {
    HandMade p;
    const BufferId a = p.buffer("a", kElements), b = p.buffer("b", kElements);
    p.body("body").zero(a).zero(b).add(a, b).add(b, b);
    EXPECT_THAT(live_after_each(p), ElementsAre("a", "a b", "b", ""));
}

TEST(LiveBuffers, PersistentBuffersAlwaysLive) {
    HandMade p;
    const BufferId w = p.buffer("w", kElements, Residence::persistent, Category::parameters);
    p.body("body").zero(w);
    LiveBuffers account(p.role(), p.plan);
    EXPECT_TRUE(account.live(w));
    live_after_each(p, account);
    EXPECT_TRUE(account.live(w));
    EXPECT_EQ(account.live_bytes(), kSize);
}

TEST(LiveBuffers, ASavedActivationLivesIntoTheBodyThatReadsIt) {
    HandMade p;
    const BufferId saved = p.buffer("saved", kElements), t = p.buffer("t", kElements);
    p.body("forward").zero(saved).zero(t).add(saved, t);
    p.body("backward").zero(t).add(saved, t).add(t, t);
    EXPECT_THAT(live_after_each(p), ElementsAre("saved", "saved t", "saved", "saved t", "t", ""));
}

TEST(LiveBuffers, ABufferWrittenAnewInALaterBodyIsFreeInBetween) {
    HandMade p;
    const BufferId t = p.buffer("t", kElements), u = p.buffer("u", kElements);
    p.body("forward").zero(t).zero(u);
    p.body("backward").zero(t);
    EXPECT_THAT(live_after_each(p), ElementsAre("", "", ""));
}

TEST(LiveBuffers, MicroBatchesRepeatTheLives) {
    HandMade p;
    const BufferId saved = p.buffer("saved", kElements), t = p.buffer("t", kElements);
    p.body("forward").zero(saved);
    p.body("backward").zero(t).add(saved, t);
    p.role().schedule = {{BodyId(0), 0}, {BodyId(1), 0}, {BodyId(0), 1}, {BodyId(1), 1}};
    EXPECT_THAT(live_after_each(p), ElementsAre("saved", "saved t", "", "saved", "saved t", ""));
}

TEST(LiveBuffers, AnotherStreamsAccessEndsWhenComputeHasWaitedForIt) {
    HandMade p;
    const BufferId a = p.buffer("a", kElements), b = p.buffer("b", kElements);
    p.body("body").zero(a).order(Stream::compute, Stream::reduce).all_reduce(a, Stream::reduce);
    p.zero(b).order(Stream::reduce, Stream::compute);
    // zero, record, wait, all_reduce, zero b, record, wait
    EXPECT_THAT(live_after_each(p), ElementsAre("a", "a", "a", "a", "a", "a", ""));
}

TEST(LiveBuffers, AnEventRecordedBeforeTheAccessDoesNotEndIt) {
    HandMade p;
    const BufferId a = p.buffer("a", kElements);
    p.role().events = 1;
    p.body("body").record(EventId(0), Stream::reduce).zero(a, Stream::reduce);
    p.wait(EventId(0), Stream::compute);
    EXPECT_THAT(live_after_each(p), ElementsAre("", "a", "a"));
}

TEST(LiveBuffers, WaitingForAStreamThatWaitedIsEnough) {
    HandMade p;
    const BufferId a = p.buffer("a", kElements);
    p.body("body").zero(a, Stream::gather).order(Stream::gather, Stream::reduce);
    p.order(Stream::reduce, Stream::compute);
    EXPECT_THAT(live_after_each(p), ElementsAre("a", "a", "a", "a", ""));
}

TEST(LiveBuffers, TheEndOfTheStepEndsEverything) {
    HandMade p;
    const BufferId a = p.buffer("a", kElements);
    p.body("body").zero(a, Stream::gather);
    LiveBuffers account(p.role(), p.plan);
    live_after_each(p, account);
    EXPECT_FALSE(account.live(a));
    EXPECT_EQ(account.live_bytes(), Bytes(0));
}

TEST(LiveBuffers, ThePeakIsMeasuredPerCategoryWithSlackAsWorkspace) {
    HandMade p;
    const BufferId w = p.buffer("w", 10, Residence::persistent, Category::parameters);
    const BufferId a = p.buffer("a", 20, Residence::transient, Category::activations);
    const BufferId g = p.buffer("g", 30, Residence::transient, Category::gradients);
    p.plan.runtime = Bytes(1000);
    p.body("body").phase(Phase::forward).add(w, a).phase(Phase::backward).zero(g).add(a, g);
    LiveBuffers account(p.role(), p.plan);
    live_after_each(p, account);
    const MemoryUse use = account.use();
    const auto of = [&](Category c) { return use.categories[static_cast<std::size_t>(c)].value; };
    EXPECT_EQ(of(Category::parameters), 40);
    EXPECT_EQ(of(Category::activations), 80);
    EXPECT_EQ(of(Category::gradients), 120);
    EXPECT_EQ(of(Category::workspace), 64 + 128 + 128 - 40 - 80 - 120);
    EXPECT_EQ(of(Category::runtime), 1000);
    EXPECT_EQ(use.peak, Bytes(64 + 128 + 128 + 1000));
    EXPECT_EQ(use.peak_phase, Phase::backward);
}

// Negative controls: plans that would let one buffer overwrite another.
std::string overlap_message(const HandMade& p) {
    try {
        live_after_each(p);
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "arena-overlap");
        EXPECT_EQ(e.kind, ErrorKind::run_failed);
        return e.message;
    }
    return "no overlap";
}

TEST(LiveBuffers, OverlapOfLiveBuffersNamesBoth) {
    HandMade p;
    const BufferId a = p.buffer_at(Bytes(0), "a", kElements);
    const BufferId b = p.buffer_at(kSize - Bytes(64), "b", kElements);
    p.body("body").zero(a).zero(b).add(a, b);
    EXPECT_EQ(overlap_message(p),
              "'b' (bytes 192 to 448) is placed while 'a' (bytes 0 to 256) is live");
}

TEST(LiveBuffers, SharingBytesOneAfterTheOtherIsNoOverlap) {
    HandMade p;
    const BufferId a = p.buffer_at(Bytes(0), "a", kElements);
    const BufferId b = p.buffer_at(Bytes(0), "b", kElements);
    p.body("body").zero(a).zero(b).zero(a);
    EXPECT_THAT(overlap_message(p), HasSubstr("'b'"));  // a is used again
    HandMade q;
    const BufferId c = q.buffer_at(Bytes(0), "c", kElements);
    const BufferId d = q.buffer_at(Bytes(0), "d", kElements);
    q.body("body").zero(c).zero(d);
    EXPECT_EQ(overlap_message(q), "no overlap");
}

TEST(LiveBuffers, ReuseBeforeTheOtherStreamIsKnownToBeDoneIsAnOverlap) {
    for (const bool waits : {false, true}) {
        HandMade p;
        const BufferId a = p.buffer_at(Bytes(0), "a", kElements);
        const BufferId b = p.buffer_at(Bytes(0), "b", kElements);
        p.body("body").zero(a).order(Stream::compute, Stream::reduce).all_reduce(a, Stream::reduce);
        if (waits) p.order(Stream::reduce, Stream::compute);
        p.zero(b);
        EXPECT_EQ(overlap_message(p) == "no overlap", waits);
    }
}

TEST(LiveBuffers, ReportsRangesAsTheyComeToLifeAndDie) {
    HandMade p;
    const BufferId w = p.buffer("w", kElements, Residence::persistent);
    const BufferId a = p.buffer("a", kElements);
    p.body("body").add(w, a).zero(w);
    std::string changes;
    LiveBuffers account(p.role(), p.plan, [&](Bytes offset, Bytes size, bool live) {
        changes += (live ? " +" : " -") + std::to_string(offset.value) + ":" +
                   std::to_string((offset + size).value);
    });
    account.close_dead_bytes();
    live_after_each(p, account);
    EXPECT_EQ(changes, " +0:256 -0:512 +0:256 +256:512 -256:512");
}

// Two micro-batches in flight of three, as a pipeline's first stage of two has them: forward 0,
// forward 1, backward 0, forward 2, backward 1, backward 2. The third takes the place of the first.
struct TwoInFlight : HandMade {
    explicit TwoInFlight(std::vector<Bytes> base = {Bytes(1024), Bytes(2048), Bytes(1024)}) {
        const auto f = frame(Bytes(512), std::move(base));
        const BufferId s = buffer_in(f, Bytes(0), "s", kElements);
        const BufferId t = buffer_in(f, kSize, "t", kElements);
        const BufferId g = buffer_at(Bytes(0), "g", kElements);
        body("forward").zero(s).add(s, t);
        body("backward").zero(g).add(t, g).add(s, g);
        const auto forward = [](int m) { return Task{BodyId(0), m}; };
        const auto backward = [](int m) { return Task{BodyId(1), m}; };
        role().schedule = {forward(0), forward(1),  backward(0),
                           forward(2), backward(1), backward(2)};
    }
};

TEST(LiveBuffers, EveryMicroBatchHasItsCopyOfABufferInAFrame) {
    EXPECT_THAT(live_after_each(TwoInFlight()),
                ElementsAre("s0", "s0 t0",                           // forward 0
                            "s0 s1 t0", "s0 s1 t0 t1",               // forward 1
                            "s0 s1 t0 t1 g", "s0 s1 t1 g", "s1 t1",  // backward 0
                            "s1 s2 t1", "s1 s2 t1 t2",               // forward 2
                            "s1 s2 t1 t2 g", "s1 s2 t2 g", "s2 t2",  // backward 1
                            "s2 t2 g", "s2 g", ""));                 // backward 2
}

TEST(LiveBuffers, CopiesCountAsOftenAsTheyLive) {
    const TwoInFlight p;
    LiveBuffers account(p.role(), p.plan);
    live_after_each(p, account);
    const MemoryUse use = account.use();
    EXPECT_EQ(use.categories[static_cast<std::size_t>(Category::activations)], Bytes(4 * 256));
    EXPECT_EQ(use.peak, Bytes(2048 + 512));
    EXPECT_EQ(account.live_bytes(), Bytes(0));
}

TEST(LiveBuffers, FramesOfMicroBatchesInFlightTogetherMustNotShareBytes) {
    EXPECT_EQ(
        overlap_message(TwoInFlight({Bytes(1024), Bytes(1280), Bytes(2048)})),
        "'s' of micro-batch 1 (bytes 1280 to 1536) is placed while 't' of micro-batch 0 (bytes "
        "1280 to 1536) is live");
    EXPECT_EQ(
        overlap_message(TwoInFlight({Bytes(1024), Bytes(2048), Bytes(2048)})),
        "'s' of micro-batch 2 (bytes 2048 to 2304) is placed while 's' of micro-batch 1 (bytes "
        "2048 to 2304) is live");
    EXPECT_EQ(overlap_message(TwoInFlight({Bytes(0), Bytes(2048), Bytes(1024)})),
              "'g' (bytes 0 to 256) is placed while 's' of micro-batch 0 (bytes 0 to 256) is live");
}

// A later body of the micro-batch that writes the buffer first goes on with the life.
TEST(LiveBuffers, ACopyLivesToTheLastTaskOfItsMicroBatch) {
    HandMade p;
    const BufferId s = p.buffer_in(p.frame(kSize, {Bytes(0), kSize}), Bytes(0), "s", kElements);
    p.body("forward").zero(s);
    p.body("backward").zero(s);
    p.role().schedule = {{BodyId(0), 0}, {BodyId(0), 1}, {BodyId(1), 1}, {BodyId(1), 0}};
    EXPECT_THAT(live_after_each(p), ElementsAre("s0", "s0 s1", "s0", ""));
}

TEST(LiveBuffers, ASendInALaterBodyKeepsTheCopyUntilComputeHasWaited) {
    HandMade p(2);
    const BufferId s = p.buffer_in(p.frame(kSize, {Bytes(0), kSize}), Bytes(0), "s", kElements);
    p.role().events = 2;
    const EventId written(0), sent(1);
    p.body("forward").wait(sent, Stream::compute).zero(s).record(written, Stream::compute);
    p.body("send").wait(written, Stream::activations_out);
    p.exchange({{1, true, s}}, Stream::activations_out).record(sent, Stream::activations_out);
    p.role().schedule = {{BodyId(0), 0}, {BodyId(1), 0}, {BodyId(0), 1}, {BodyId(1), 1}};
    EXPECT_THAT(live_after_each(p), ElementsAre("", "s0", "s0",    // forward 0
                                                "s0", "s0", "s0",  // send 0
                                                "", "s1", "s1",    // forward 1
                                                "s1", "s1", "s1"));
}

// What the ranges are for: in AddressSanitizer builds a dead byte cannot be touched.
TEST(LiveBuffersDeathTest, DeadBytesArePoisoned) {
    if (!kPoisonsArena) GTEST_SKIP() << "this build does not poison memory";
    HandMade p;
    const BufferId a = p.buffer("a", kElements);
    p.body("body").zero(a).add(a, a);
    const std::vector<std::byte> arena(static_cast<std::size_t>(p.plan.arena.value));
    LiveBuffers account(p.role(), p.plan, [&](Bytes offset, Bytes size, bool live) {
        (live ? unpoison : poison)(arena.data() + offset.value, size.value);
    });
    const auto touch = [&] { return *static_cast<const volatile std::byte*>(arena.data()); };
    account.close_dead_bytes();
    EXPECT_DEATH(touch(), "use-after-poison");
    account.begin_step();
    account.begin_task();
    account.before_issue(p.role().bodies[0].instructions[0]);
    EXPECT_EQ(touch(), std::byte{0});
    account.after_issue(p.role().bodies[0].instructions[0]);
    account.before_issue(p.role().bodies[0].instructions[1]);
    account.after_issue(p.role().bodies[0].instructions[1]);
    EXPECT_DEATH(touch(), "use-after-poison");
    unpoison(arena.data(), p.plan.arena.value);
}

}  // namespace
}  // namespace shardscope
