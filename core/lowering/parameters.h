// Pass "parameters": the persistent buffers of weights, gradients and optimizer states, and where a
// kernel finds a weight or puts a gradient at any point of a body.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/lowering/context.h"

namespace shardscope {

// Persistent buffers of one unit; sizes by ZeRO stage (docs/memory-model.md):
//   value     padded elements (shard in stage 3), storage type
//   gradient  padded elements (shard in stages 2 and 3), gradient type
//   master, state1, state2   shard elements, state type (states of 8 bits: int8); invalid when absent
//   statistics   fp32: two scales per block of 8-bit states, or Adafactor's rows and columns of the whole unit
// With Strategy::offload value, master and states lie where it says, and
//   stepped   shard elements, gradient type, on the host: what the optimizer steps with; in stages 2 and 3
//             there is no `gradient`, and `stepped` is what is kept over micro-batches
//   wide      shard elements, state type, on the host, where ProfileRules::widens_gradients
//   secondary   padded / secondary group elements, storage type: the forward pass's parameters (hpZ)
struct UnitBuffers {
    BufferId value, gradient, master, state1, state2, statistics, stepped, wide, secondary;
    std::int64_t blocks = 0;  // of 8-bit states
};

class ParameterBuffers {
public:
    explicit ParameterBuffers(LoweringContext& context);

    // Begins a body: weights are read from the persistent buffers again (stage 3: from nowhere until
    // set_value), gradients go to the persistent buffers, and count as unwritten.
    void begin_body(MicroBatchKind kind);

    // From now on kernels read unit `u` from `buffer` (a gathered copy). The first one waits for `ready`.
    void set_value(UnitId u, BufferId buffer, std::vector<EventId> ready = {}) {
        value_[u.index()] = buffer;
        ready_[u.index()] = std::move(ready);
    }
    // From now on gradients of unit `u` are written, not accumulated, into `buffer`.
    void set_gradient(UnitId u, BufferId buffer);

    // A body before this one has written the micro-batch's gradient of `p`: this one adds to it.
    void set_written(ParameterId p) { fresh_[p.index()] = false; }

    Operand value(ParameterId p);  // invalid for an invalid parameter
    struct Target {
        Operand operand;
        bool accumulate = false;
    };
    // Where a kernel puts the gradient of `p`, and whether it adds to what is there; marks it written.
    Target gradient(ParameterId p);

    const UnitBuffers& unit(UnitId u) const { return buffers_[u.index()]; }
    // The gradient norm where the host's optimizer reads it, made at first use.
    BufferId host_norm();

private:
    void add_states(const Unit& unit, UnitBuffers& buffers, Tier tier);
    void add_pools();
    void add_placeholders();  // ProfileRules::placeholder_gradients

    LoweringContext& context_;
    std::vector<UnitBuffers> buffers_;
    BufferId host_norm_;
    std::vector<BufferId> value_, gradient_;   // current, per unit
    std::vector<std::vector<EventId>> ready_;  // of values that have not been waited for, per unit
    std::vector<bool> fresh_;                  // per parameter: the next gradient write overwrites
};

}  // namespace shardscope
