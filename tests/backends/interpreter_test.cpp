// What the interpreter tells an executor, read as text from one that only writes down its calls.
#include "backends/interpreter.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/hand_made.h"

namespace shardscope {
namespace {

using test::HandMade;
using testing::ElementsAre;

class RecordingExecutor final : public Executor {
public:
    bool begin_task(BodyId body, std::int32_t slot, const StepContext&) override {
        tasks.push_back(std::to_string(body.value) + " in " + std::to_string(slot));
        return replays;
    }
    void compute(Stream stream, const Compute& c, const Addresses& operands,
                 const StepContext& context) override {
        std::string text = name(stream) + std::string(kernel_name(c.kernel)) + " step " +
                           std::to_string(context.step) + " micro-batch " +
                           std::to_string(context.micro_batch);
        for (const std::byte* p : operands) text += p == nullptr ? "" : " " + place(p);
        calls.push_back(text);
    }
    void collective(Stream stream, const Collective& c, const std::byte* send,
                    std::byte* recv) override {
        calls.push_back(name(stream) + std::string(collective_name(c.kind)) + " " +
                        (send == nullptr ? "-" : place(send)) + " to " + place(recv));
    }
    void exchange(Stream stream, const Exchange& x,
                  std::span<std::byte* const> addresses) override {
        std::string text = name(stream) + "exchange";
        for (std::size_t i = 0; i < addresses.size(); ++i)
            text += (x.transfers[i].send ? " send " : " receive ") + place(addresses[i]);
        calls.push_back(text);
    }
    void record(Stream stream, EventId e) override {
        calls.push_back(name(stream) + "record " + std::to_string(e.value));
    }
    void wait(Stream stream, EventId e) override {
        calls.push_back(name(stream) + "wait " + std::to_string(e.value));
    }
    void copy_scalar(Stream stream, const std::byte* value, double* destination) override {
        calls.push_back(name(stream) + "copy " + place(value));
        *destination = ++scalar;
    }
    void synchronize() override { calls.push_back("synchronize"); }

    std::vector<std::string> calls;
    std::vector<std::string> tasks;
    bool replays = false;
    double scalar = 0;
    std::vector<std::byte> memory = std::vector<std::byte>(4096);

private:
    static std::string name(Stream stream) { return std::string(stream_name(stream)) + ": "; }
    std::string place(const std::byte* p) const { return "@" + std::to_string(p - memory.data()); }
};

TEST(Interpreter, WalksTheScheduleAndResolvesOperands) {
    HandMade p;
    const BufferId x = p.buffer("x", 16), y = p.buffer("y", 16);
    p.body("forward").add(x, y).order(Stream::compute, Stream::reduce);
    p.body("optimizer").all_reduce(y, Stream::reduce).copy_to_host(CopyToHost::What::loss, y);
    p.role().schedule = {{BodyId(0), 0}, {BodyId(0), 1}, {BodyId(1), 1}};
    RecordingExecutor executor;
    Interpreter interpreter(p.program, Rank(0), p.plan, executor, executor.memory.data());
    const StepScalars scalars = interpreter.run_step(4);
    EXPECT_THAT(executor.calls,
                ElementsAre("compute: add step 4 micro-batch 0 @64 @0", "compute: record 0",
                            "reduce: wait 0",  //
                            "compute: add step 4 micro-batch 1 @64 @0", "compute: record 0",
                            "reduce: wait 0",  //
                            "reduce: all_reduce - to @64", "compute: copy @64", "synchronize"));
    EXPECT_EQ(scalars.loss, 1.0);
    EXPECT_FALSE(scalars.gradient_norm_squared);
}

TEST(Interpreter, RankStrideSelectsTheShardOfTheRank) {
    HandMade p(3);
    const BufferId whole = p.buffer("whole", 48);
    p.body("body").collective(CollectiveKind::all_gather, Stream::gather, {whole, 8, 64},
                              {whole, 0, 0}, 48);
    for (const auto& [rank, expected] : {std::pair{0, "@8"}, {1, "@72"}, {2, "@136"}}) {
        RecordingExecutor executor;
        Interpreter(p.program, Rank(rank), p.plan, executor, executor.memory.data()).run_step(0);
        EXPECT_EQ(executor.calls[0], "gather: all_gather " + std::string(expected) + " to @0");
    }
}

TEST(Interpreter, TheLastOfSeveralScalarsCounts) {
    HandMade p;
    const BufferId loss = p.buffer("loss", 2, Residence::persistent);
    p.body("body").copy_to_host(CopyToHost::What::loss, loss);
    p.copy_to_host(CopyToHost::What::gradient_norm, loss);
    p.copy_to_host(CopyToHost::What::loss, loss);
    RecordingExecutor executor;
    const StepScalars scalars =
        Interpreter(p.program, Rank(0), p.plan, executor, executor.memory.data()).run_step(0);
    EXPECT_EQ(scalars.loss, 3.0);
    EXPECT_EQ(scalars.gradient_norm_squared, 2.0);
}

// What a buffer in a frame means depends on the micro-batch of the task, nothing else does.
TEST(Interpreter, OperandsInFramesAreOfTheTasksMicroBatch) {
    HandMade p;
    const BufferId x = p.buffer("x", 16);
    const auto frame = p.frame(Bytes(128), {Bytes(256), Bytes(1024), Bytes(256)});
    const BufferId saved = p.buffer_in(frame, Bytes(64), "saved", 16);
    p.body("forward").add(x, saved).copy_to_host(CopyToHost::What::loss, saved);
    p.body("backward")
        .collective(CollectiveKind::all_gather, Stream::gather, {saved, 8, 0}, {saved, 0, 0}, 16);
    p.role().schedule = {
        {BodyId(0), 0}, {BodyId(0), 1}, {BodyId(1), 0}, {BodyId(1), 1}, {BodyId(0), 2}};
    RecordingExecutor executor;
    Interpreter(p.program, Rank(0), p.plan, executor, executor.memory.data()).run_step(0);
    EXPECT_THAT(executor.calls,
                ElementsAre("compute: add step 0 micro-batch 0 @320 @0",  //
                            "compute: copy @320", "compute: add step 0 micro-batch 1 @1088 @0",
                            "compute: copy @1088", "gather: all_gather @328 to @320",
                            "gather: all_gather @1096 to @1088",
                            "compute: add step 0 micro-batch 2 @320 @0", "compute: copy @320",
                            "synchronize"));
}

// Micro-batches whose frames lie at the same place share a slot; a body without frames has one.
TEST(Interpreter, SlotsNumberTheDifferentPlaces) {
    HandMade p;
    const BufferId x = p.buffer("x", 16);
    const auto frame = p.frame(Bytes(128), {Bytes(256), Bytes(1024), Bytes(256)});
    const BufferId saved = p.buffer_in(frame, Bytes(64), "saved", 16);
    p.body("forward").add(x, saved);
    p.body("optimizer").add(x, x);
    p.role().schedule = {
        {BodyId(0), 0}, {BodyId(0), 1}, {BodyId(0), 2}, {BodyId(1), 0}, {BodyId(1), 2}};
    RecordingExecutor executor;
    Interpreter(p.program, Rank(0), p.plan, executor, executor.memory.data()).run_step(0);
    EXPECT_THAT(executor.tasks, ElementsAre("0 in 0", "0 in 1", "0 in 0", "1 in 0", "1 in 0"));
}

TEST(Interpreter, TasksThatTheExecutorReplaysAreNotIssued) {
    HandMade p;
    const BufferId x = p.buffer("x", 16);
    p.body("forward").add(x, x);
    RecordingExecutor executor;
    executor.replays = true;
    Interpreter(p.program, Rank(0), p.plan, executor, executor.memory.data()).run_step(0);
    EXPECT_THAT(executor.calls, ElementsAre("synchronize"));
}

TEST(Interpreter, ExchangesGetTheAddressOfEveryTransfer) {
    HandMade p(2);
    const BufferId x = p.buffer("x", 16);
    const auto frame = p.frame(Bytes(64), {Bytes(128), Bytes(192)});
    const BufferId y = p.buffer_in(frame, Bytes(0), "y", 16);
    p.body("receive").exchange({{1, false, y}}, Stream::activations_in);
    p.body("both").exchange({{1, true, x}, {1, false, y}}, Stream::compute);
    p.role().schedule = {{BodyId(0), 0}, {BodyId(0), 1}, {BodyId(1), 1}};
    RecordingExecutor executor;
    Interpreter(p.program, Rank(0), p.plan, executor, executor.memory.data()).run_step(0);
    EXPECT_THAT(executor.calls,
                ElementsAre("fwd-in: exchange receive @128", "fwd-in: exchange receive @192",
                            "compute: exchange send @0 receive @192", "synchronize"));
}

}  // namespace
}  // namespace shardscope
