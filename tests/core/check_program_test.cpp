// What the checks find in small programs written by hand: events, places, order, and agreement of
// roles. That real programs pass is tested where they are lowered.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/check.h"
#include "core/program/check_arena.h"
#include "core/program/check_communication.h"
#include "tests/support/hand_made.h"

namespace shardscope {
namespace {

using test::HandMade;
using test::stages_of;
using testing::HasSubstr;

constexpr Stream kIn = Stream::activations_in;

// "rule: message" of what check() throws.
template <class Check>
std::string found(Check check) {
    try {
        check();
    } catch (const Error& e) {
        EXPECT_EQ(e.kind, ErrorKind::run_failed);
        return e.rule + ": " + e.message;
    }
    return "nothing";
}

std::string found_in(const HandMade& p) {
    return found([&] { check_program(p.program, {p.plan}); });
}

TEST(CheckEvents, OneInstructionRecordsAnyBodyWaits) {
    HandMade p;
    p.role().events = 1;
    p.body("first").wait(EventId(0), Stream::compute);
    EXPECT_EQ(
        found_in(p),
        "program-event: body \"first\", instruction 0: event 0 is waited for and never recorded");
    p.body("second").record(EventId(0), Stream::reduce);
    EXPECT_EQ(found_in(p), "nothing");
    p.record(EventId(0), Stream::reduce);
    EXPECT_EQ(found_in(p),
              "program-event: body \"second\", instruction 1: event 0 is recorded twice");
}

TEST(CheckBounds, TheLastShardMustStartInTheBuffer) {
    HandMade p(3);
    const BufferId x = p.buffer("x", 48);
    p.body("body")
        .zero(x, Stream::gather)
        .collective(CollectiveKind::all_gather, Stream::gather, {x, 0, 64}, {x, 0, 0}, 48);
    EXPECT_EQ(found_in(p), "nothing");
    p.collective(CollectiveKind::all_gather, Stream::gather, {x, 0, 96}, {x, 0, 0}, 48);
    EXPECT_EQ(found_in(p),
              "program-bounds: body \"body\", instruction 2: offset 192 lies outside x");
}

// Micro-batches are received and saved in a frame each, and used in the order 0, 1, back 0, 2, back 1,
// back 2: the third is received where the first was, once it is no longer needed.
HandMade two_in_flight(std::vector<Bytes> base, bool waits = true) {
    HandMade p(2);
    const auto f = p.frame(Bytes(128), std::move(base));
    const BufferId x = p.buffer_in(f, Bytes(0), "x", 16), y = p.buffer_in(f, Bytes(64), "y", 16);
    p.role().events = 2;
    const EventId arrived(0), used(1);
    p.body("receive").wait(used, kIn).exchange({{1, false, x}}, kIn).record(arrived, kIn);
    if (!waits) p.role().bodies[0].instructions.erase(p.role().bodies[0].instructions.begin());
    p.body("forward").wait(arrived, Stream::compute).zero(y).add(x, y);
    p.body("backward").add(x, y).record(used, Stream::compute);
    const BodyId receive(0), forward(1), backward(2);
    p.role().schedule = {{receive, 0}, {forward, 0}, {receive, 1},  {forward, 1}, {backward, 0},
                         {receive, 2}, {forward, 2}, {backward, 1}, {backward, 2}};
    return p;
}

std::string found_in_arena(const HandMade& p) {
    return found([&] { check_arena(p.role(), p.plan); });
}

TEST(CheckArena, MicroBatchesInFlightHavePlacesOfTheirOwn) {
    EXPECT_EQ(found_in_arena(two_in_flight({Bytes(0), Bytes(128), Bytes(0)})), "nothing");
    EXPECT_EQ(found_in_arena(two_in_flight({Bytes(0), Bytes(128), Bytes(256)})), "nothing");
}

TEST(CheckArena, FramesThatShareBytesWhileInUseAreFound) {
    // Backward 0, which the third receive waits for, follows forward 1, but backward 1 comes later.
    EXPECT_EQ(
        found_in_arena(two_in_flight({Bytes(0), Bytes(128), Bytes(128)})),
        "program-overlap: body \"backward\", instruction 0: \"y\" of micro-batch 1 is read after "
        "\"y\" of micro-batch 2 was written over it");
}

// Without a frame, two micro-batches in flight have one place.
TEST(CheckArena, AMicroBatchMustNotReadWhatAnotherWrote) {
    HandMade p;
    const BufferId saved = p.buffer("saved", 16), g = p.buffer("g", 16);
    p.body("forward").zero(saved);
    p.body("backward").zero(g).add(saved, g);
    p.role().schedule = {{BodyId(0), 0}, {BodyId(1), 0}, {BodyId(0), 1}, {BodyId(1), 1}};
    EXPECT_EQ(found_in_arena(p), "nothing");
    p.role().schedule = {{BodyId(0), 0}, {BodyId(0), 1}, {BodyId(1), 0}, {BodyId(1), 1}};
    EXPECT_EQ(
        found_in_arena(p),
        "program-overlap: body \"backward\", instruction 1: \"saved\" is read for micro-batch 0 "
        "after micro-batch 1 was written over it");
}

TEST(CheckArena, AWaitOfAnotherBodyPutsReuseInOrder) {
    EXPECT_EQ(
        found_in_arena(two_in_flight({Bytes(0), Bytes(128), Bytes(0)}, false)),
        "program-race: body \"receive\", instruction 0: \"x\" of micro-batch 2 on stream fwd-in "
        "may run together with \"x\" of micro-batch 0 on stream compute, in the same bytes");
}

TEST(CheckArena, EveryMicroBatchMustBeWrittenBeforeItIsRead) {
    HandMade p = two_in_flight({Bytes(0), Bytes(128), Bytes(256)});
    p.role().schedule = {{BodyId(0), 0}, {BodyId(1), 0}, {BodyId(1), 1}};
    EXPECT_EQ(
        found_in_arena(p),
        "program-uninitialised: body \"forward\", instruction 2: \"x\" of micro-batch 1 is read "
        "before anything wrote it");
}

TEST(CheckArena, PlacesMustBeInTheArenaAndForEveryMicroBatch) {
    EXPECT_THAT(found_in_arena(two_in_flight({Bytes(0), Bytes(128)})),
                HasSubstr("\"x\" has no place for micro-batch 2"));
    HandMade p = two_in_flight({Bytes(0), Bytes(128), Bytes(0)});
    p.plan.arena = Bytes(192);
    EXPECT_EQ(found_in_arena(p), "program-bounds: \"y\" of micro-batch 1 lies outside the arena");
    p = two_in_flight({Bytes(0), Bytes(128), Bytes(0)});
    p.plan.frames[0].size = Bytes(64);
    EXPECT_EQ(found_in_arena(p), "program-bounds: \"y\" of micro-batch 0 lies outside the frame");
}

TEST(CheckArena, NothingIsWrittenOverWhatIsKept) {
    HandMade p;
    const BufferId w = p.buffer("w", 16, Residence::persistent);
    const BufferId x = p.buffer_at(Bytes(0), "x", 16);
    p.body("body").zero(x);
    EXPECT_EQ(
        found_in_arena(p),
        "program-overlap: body \"body\", instruction 0: \"x\" shares bytes with \"w\", which is "
        "kept");
    EXPECT_TRUE(w.valid());
}

struct Pair {
    HandMade a{2}, b{2};
    BufferId x, y;

    Pair() {
        for (HandMade* p : {&a, &b}) {
            x = p->buffer("x", 8);
            y = p->buffer("y", 9);
            p->body("body");
        }
    }
    std::string found() const {
        return shardscope::found([&] { check_communication(stages_of({a, b})); });
    }
};

TEST(CheckCommunication, CollectivesOfRolesThatShareAGroupMatch) {
    Pair p;
    p.a.all_reduce(p.x, Stream::reduce).all_reduce(p.y, Stream::reduce);
    p.b.all_reduce(p.x, Stream::reduce);
    EXPECT_EQ(p.found(),
              "program-collective: roles \"stage 0\" and \"stage 1\" issue different collectives: "
              "number 1 over \"dp\" on stream reduce is all_reduce of 9 fp32 and nothing");
    p.b.all_reduce(p.y, Stream::reduce);
    EXPECT_EQ(p.found(), "nothing");
    std::get<Collective>(p.b.role().bodies[0].instructions[1].operation).reduce = ReduceOp::maximum;
    EXPECT_THAT(p.found(), HasSubstr("is all_reduce of 9 fp32 and all_reduce (maximum) of 9 fp32"));
}

// The order counts on each stream, not between streams.
TEST(CheckCommunication, StreamsAreComparedOneByOne) {
    Pair p;
    p.a.all_reduce(p.x, Stream::reduce).all_reduce(p.y, Stream::gather);
    p.b.all_reduce(p.y, Stream::gather).all_reduce(p.x, Stream::reduce);
    EXPECT_EQ(p.found(), "nothing");
}

TEST(CheckCommunication, TransfersMatchInOrder) {
    Pair p;
    p.a.exchange({{1, true, p.x}, {1, true, p.y}}, Stream::activations_out);
    EXPECT_EQ(p.found(),
              "program-exchange: \"stage 0\" sends 2 times to \"stage 1\", which receives 0 times");
    p.b.exchange({{0, false, p.y}}, kIn).exchange({{0, false, p.x}}, kIn);
    EXPECT_EQ(
        p.found(),
        "program-exchange: transfer 0 from \"stage 0\" to \"stage 1\": 8 fp32 are sent and 9 fp32 "
        "received");
    auto& list = p.b.role().bodies[0].instructions;
    std::swap(list[0], list[1]);
    EXPECT_EQ(p.found(), "nothing");
    std::get<Exchange>(list[1].operation).transfers[0].dtype = DType::bf16;
    EXPECT_THAT(p.found(),
                HasSubstr("transfer 1 from \"stage 0\" to \"stage 1\": 9 fp32 are sent"));
}

TEST(CheckCommunication, PeersAreMembers) {
    Pair p;
    p.a.exchange({{2, true, p.x}}, Stream::activations_out);
    EXPECT_EQ(p.found(), "program-exchange: role \"stage 0\": peer 2 is no member of \"dp\"");
}

}  // namespace
}  // namespace shardscope
