// The account of live bytes: what it places when, and that it finds a plan that is wrong.
#include "backends/live_buffers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/arena_poison.h"
#include "core/error.h"
#include "tests/backends/hand_made.h"

namespace shardscope {
namespace {

using test::HandMade;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Bytes kSize{256};  // of every buffer of 64 elements
constexpr std::int64_t kElements = 64;

// Issues one step to the account as the interpreter does and returns the names of the live transient
// buffers after each instruction, "a b".
std::vector<std::string> live_after_each(const RoleProgram& role, LiveBuffers& account) {
    std::vector<std::string> result;
    account.begin_step();
    for (const Task& task : role.schedule) {
        account.begin_task();
        for (const Instruction& instruction : role.bodies[task.body.index()].instructions) {
            account.before_issue(instruction);
            account.after_issue(instruction);
            std::string names;
            for (std::size_t b = 0; b < role.buffers.size(); ++b)
                if (role.buffers[b].residence == Residence::transient && account.live(BufferId(b)))
                    names += (names.empty() ? "" : " ") + role.buffers[b].name;
            result.push_back(names);
        }
    }
    account.end_step();
    return result;
}

std::vector<std::string> live_after_each(const HandMade& p) {
    LiveBuffers account(p.role(), p.plan);
    return live_after_each(p.role(), account);
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
    live_after_each(p.role(), account);
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
    live_after_each(p.role(), account);
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
    live_after_each(p.role(), account);
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
    live_after_each(p.role(), account);
    EXPECT_EQ(changes, " +0:256 -0:512 +0:256 +256:512 -256:512");
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
