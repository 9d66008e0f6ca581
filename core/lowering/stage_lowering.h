// Puts the passes together for one pipeline stage: bodies of its chunks, and their schedule.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <tuple>
#include <vector>

#include "core/lowering/context.h"
#include "core/lowering/gather.h"
#include "core/lowering/layers.h"
#include "core/lowering/reduction.h"
#include "core/lowering/stages.h"
#include "core/lowering/transfers.h"

namespace shardscope {

class StageLowering {
public:
    explicit StageLowering(LoweringContext& context);

    // Fills context.builder.role's buffers, bodies and schedule.
    void run();

private:
    BodyId lower_forward(int chunk, bool first_micro_batch);
    BodyId lower_backward(int chunk, BackwardPart part, MicroBatchKind kind);
    // The body of a task of the schedule, lowered at its first use.
    BodyId backward_body(const StageTask& task);
    void schedule(const StageTask& task, BodyId body);
    // What the stage receives, per peer, in the order in which that peer sends it.
    struct Receive {
        Transfers::Port port;
        StageTask task;
    };
    void find_receives();
    // Adds the receive of what the task wants, behind those that its peer sends before.
    void schedule_receive(Transfers::Port port, const StageTask& task);
    // Adds the task that transfers, where the chunk has such a transfer.
    void schedule_transfer(Transfers::Port port, const StageTask& task);
    std::string body_name(const char* what, int chunk) const;
    const LayerRange& layers_of(int chunk) const {
        return context_.chunks[static_cast<std::size_t>(chunk)];
    }

    // Whether the stage's chunk before ends where this one begins: they hand over without a transfer.
    bool continues(int chunk) const {
        return chunk > 0 && layers_of(chunk - 1).last == layers_of(chunk).first;
    }
    // A tied embedding's chunk comes behind the head's, which has written its gradient, if this stage has both.
    void add_to_written(int chunk);

    LoweringContext& context_;
    ParameterBuffers parameters_;
    LayerLowering layers_;
    Gather gather_;
    Reduction reduction_;
    Transfers transfers_;
    std::vector<BufferId> input_, received_;  // per chunk: its input, and its output's gradient;
                                              // made at first use
    std::vector<BufferId> handed_;  // per chunk: the gradient of its input, for the chunk before
    BufferId read_;  // of outputs that are kept until backward bodies: so that those read them
    std::vector<BodyId> first_forward_, forward_;  // per chunk: of the first micro-batch, of others
    std::map<std::tuple<int, BackwardPart, bool, bool>, BodyId> backward_;
    std::map<std::pair<Transfers::Port, int>, BodyId> transfer_bodies_;
    std::map<std::pair<int, BackwardPart>, std::int64_t> done_;  // micro-batches seen so far
    std::map<int, std::deque<Receive>> receives_;                // in a V, by peer
};

}  // namespace shardscope
