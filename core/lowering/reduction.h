// Pass "reduction": sums gradients over data-parallel ranks while the backward pass goes on.
#pragma once

#include <array>
#include <vector>

#include "core/lowering/context.h"
#include "core/lowering/parameters.h"

namespace shardscope {

// Issues the reduction of a unit as soon as its last gradient of the micro-batch is written: an
// all-reduce in stage 0, a reduce-scatter into this rank's shard above, with the all-reduce between shard
// groups behind it; before it, what
// tensor-parallel ranks hold in common but computed in parts is summed over them. When reductions come with
// every micro-batch, gradients go to a transient bucket, of which at most two are alive (one being
// written, one being reduced). Where the optimizer steps on the host, the rank's part of a reduced unit goes there: in
// stages 2 and 3 with every micro-batch, added on the device to what is there already, which is brought back
// for it (DeepSpeed: async_accumulate_grad_in_cpu_via_gpu).
// Products that do not overlap (ProfileRules) reduce where the body ends, or wait for each unit. Quantised gradients (qgZ of ZeRO++, Wang
// et al. 2023, 3.3) go all-to-all within nodes and then between them, as numbers of four bits, and are summed in
// the stream of reductions.
class Reduction {
public:
    Reduction(LoweringContext& context, ParameterBuffers& parameters);

    // Starts a backward body and directs gradients to buckets where they are not accumulated in place.
    void begin_body(MicroBatchKind kind);
    // After the kernels of a layer: reduces the units whose gradients are now complete.
    void after_layer(std::size_t layer);
    // Waits for everything issued in this body.
    void end_body();

private:
    struct Flight {
        UnitId unit;
        EventId done;
        BufferId partial;    // reduced gradients still to be added; invalid: none
        bool whole = false;  // `partial` is the whole unit, of which this rank takes its slice
        DType type;          // of `partial`, and of what is summed
        // Of gradients that the host keeps: they have gone there, or those there have come to be added to.
        EventId left = {}, fetched = {};
    };
    struct Stage {  // of a hierarchical reduction
        BufferId numbers, scales;
    };
    bool reduces() const;  // anything is reduced in this body
    // Whether the unit's gradients of this body go to a transient bucket.
    bool uses_bucket(const Unit& unit) const;
    void sum_shared(const Unit& unit, BufferId whole);
    void sum_over_replicas(const Unit& unit, const Collective& summed);
    void add_written(UnitId unit);  // LoweringContext::adds_written
    void clear_padding(UnitId unit, BufferId bucket);
    void reduce(UnitId unit);
    bool in_root(UnitId unit) const;  // ProfileRules::keeps_root
    Operand own_slice(UnitId unit) const;
    std::int64_t bucket_elements(const Unit& unit, DType type) const;
    BufferId flat_copy(UnitId id, BufferId whole);
    BufferId joined(UnitId id, BufferId bucket);  // ProfileRules::joins_gradients
    BufferId flat_buffer(UnitId id, const char* what, DType type);
    BufferId widened(UnitId unit, BufferId bucket);
    void sum_quantised(UnitId unit, BufferId whole, Operand to);
    void exchange_quantised(GroupId group, Stage from, Stage to, std::int64_t elements,
                            std::int64_t block);
    void sum_over_group(Flight& flight, BufferId whole, BufferId store);
    Operand own_part(const Flight& flight) const;
    BufferId sum_with_host(UnitId unit);
    void send_to_host(Flight& flight, EventId computed);
    EventId move_to_host(const Flight& flight, Operand from, EventId after);
    void add_to_store(const Flight& flight);
    void add_to_host(const Flight& flight);
    void leave(EventId moved);
    BufferId copied(UnitId unit, BufferId store, Stream stream);
    void finish(std::size_t keep);  // waits until at most `keep` reductions are in flight

    LoweringContext& context_;
    ParameterBuffers& parameters_;
    std::vector<std::int32_t> last_writer_;  // per unit: the layer whose backward completes it
    std::vector<BufferId> bucket_;           // per unit, made by the first body that uses buckets
    std::vector<BufferId> written_;          // per unit, of one micro-batch, where they are added
    std::vector<BufferId> wide_;             // per unit, the bucket in the type that is reduced
    std::vector<BufferId> reduced_;          // per unit, what is to be added; made at first use
    std::vector<std::array<Stage, 4>> stages_;  // per unit, of quantised gradients
    std::vector<BufferId> copy_;                // per unit, what a product reduces instead
    std::vector<BufferId> with_host_;           // per unit, the sum with what the host has kept
    EventId leaving_;                           // gradients on their way to the host; invalid: none
    std::vector<Flight> flights_;
    std::vector<UnitId> late_;  // complete in this body, reduced at its end
    MicroBatchKind kind_;
};

}  // namespace shardscope
