// Pass "gather": brings each layer's weights together shortly before it computes (ZeRO 3), or what ranks have
// updated of all of them (ZeRO 1 and 2).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "core/lowering/context.h"
#include "core/lowering/parameters.h"

namespace shardscope {

// On the gather stream: all of a unit, of which each rank has updated its share. The unit has a group.
void gather_updated(LoweringContext& context, ParameterBuffers& parameters, UnitId unit);

// Gathers layers of one body in the order they compute. The gather of the layer that is `prefetch`
// places ahead is issued when a layer starts, and waits until the layer before that one has computed:
// so at most prefetch + 1 layers are gathered at any time. Shards that are offloaded are first brought to the
// device, every rank its own (ZeRO-Infinity, Rajbhandari et al. 2021, 6.1). With ZeRO++ (Wang et al. 2023) what is
// gathered are quantised shards, which become weights again just before the layer computes (qwZ), and backward
// bodies gather from the secondary shards that forward bodies fill (hpZ). Does nothing below stage 3.
class Gather {
public:
    Gather(LoweringContext& context, ParameterBuffers& parameters)
        : context_(context), parameters_(parameters) {}

    // Starts a body that computes `layers` (those that read weights), in this order. `kept`: so many, from the
    // first, were left gathered by the forward body.
    enum class Direction { forward, backward };
    void begin_body(Direction direction, std::vector<std::size_t> layers, std::size_t kept);
    // How many of the layers that the backward body visits first stay gathered from the forward body on, which
    // visits `forward`: the last one, and what ProfileRules::reuse_distance says. `recomputed`: of each layer,
    // whether its weights are used twice in the backward body.
    std::size_t kept_layers(const std::vector<std::size_t>& forward,
                            const std::vector<std::size_t>& backward,
                            const std::vector<bool>& recomputed);
    // Behind the last layer of a backward body.
    void end_backward();

    // Between a backward body's recomputation of the layer and its gradients: what ProfileRules::reuse_distance
    // releases is gathered again.
    void after_recompute(std::size_t layer);

    // Around the kernels of each of those layers.
    void before_layer(std::size_t layer);
    void after_layer(std::size_t layer);

    // ZeRO 1 and 2 with Strategy::overlap_gather: the first micro-batch's forward bodies gather what the
    // step before has updated of their layers, in their order, each layer waiting for its own.
    bool overlaps_updates() const;
    void begin_updated(const LayerRange& layers);
    void await_updated(std::size_t layer);

private:
    // Whose parameters the layer reads.
    std::vector<UnitId> units_of(std::size_t layer) const;
    struct Quantised {
        BufferId numbers, scales;
    };
    using Events = std::vector<EventId>;
    // The units whose weights a layer reads, and the buffers that hold them gathered; forward and
    // backward have their own.
    struct Weights {
        std::size_t layer = 0;
        std::vector<UnitId> units;
        std::array<std::vector<BufferId>, 2> copies;  // [direction], as `units`; empty: not yet
        std::array<std::vector<BufferId>, 2>
            outputs;                              // likewise, of ProfileRules::copies_out_gathered
        std::vector<BufferId> again;              // likewise, of after_recompute
        std::vector<BufferId> casts;              // of the shards, where LoweringContext::casts()
        std::vector<BufferId> staged, fetched;    // on the way from NVMe, and on the device
        std::vector<Quantised> shards, gathered;  // as `units`; where shards are quantised
    };
    Operand shard_to_send(Weights& weights, std::size_t unit, Events& ready);
    // Which of the layer's units are released after its recomputation, in the order of the backward pass.
    std::vector<std::size_t> released(const Weights& weights) const;
    void bring(Weights& weights, std::size_t unit, Operand to, Events& ready);
    bool gathers_secondary() const {
        return context_.secondary.valid() && direction_ == Direction::backward;
    }
    bool gathers_quantised() const {
        return context_.strategy.quantized_weights && !gathers_secondary();
    }
    Quantised quantised(std::vector<Quantised>& list, const Weights& weights, std::size_t unit,
                        const char* what, std::int64_t elements);
    void gather_quantised(Weights& weights, std::size_t unit, Events& ready);
    void gather_unit(Weights& weights, std::size_t unit, BufferId copy, Events& ready);
    // ProfileRules::lists_partitions: into a buffer that was made and filled with zeros for it, out of the collective's
    // own (`flat_tensor` and PyTorch's newLikeFlat).
    void gather_lists(Collective c, const Unit& unit, BufferId copy);
    void make_weights(Weights& weights, std::size_t unit, BufferId copy);
    // What the collective writes, which is copied out to `copy` where the product does so.
    BufferId output_of(Weights& weights, std::size_t unit, BufferId copy);
    void copy_out(Weights& weights, std::size_t unit, BufferId copy);
    // Reads what the layer's forward collectives have written, which is thus there until now.
    void hold_outputs(const Weights& weights);
    void bring_whole(Weights& weights, std::size_t unit, BufferId to, Events& ready);
    BufferId fetched(Weights& weights, std::size_t unit);
    // The gather stream goes on once what has computed has left its memory.
    void record_free();
    // What `ready` has afterwards must be over before the layer computes, the gather being the last.
    void issue(std::size_t layer, Events& ready);
    void issue_next() {
        issue(layers_[next_], ready_[next_]);
        ++next_;
    }
    // Layers outside blocks (ProfileRules::keeps_root): gathered when a forward body starts, kept until the
    // backward body ends.
    bool in_root(std::size_t layer) const;
    void gather_root(const std::vector<std::size_t>& layers);
    void before_root(std::size_t layer);
    Weights& weights_of(std::size_t layer);
    const std::vector<BufferId>& copies_of(std::size_t layer, Direction direction);

    LoweringContext& context_;
    ParameterBuffers& parameters_;
    std::vector<Weights> weights_;  // by layer, found at first use
    std::vector<std::size_t> layers_;
    std::vector<Events> ready_;              // per entry of layers_
    std::map<std::int32_t, BufferId> flat_;  // of gather_lists, by what it is copied to
    std::vector<BufferId> root_;  // by unit, where the root's are gathered; empty: no root
    Events root_ready_;           // that has not been waited for
    std::vector<std::pair<std::size_t, std::size_t>>
        root_gathered_;              // layer and which of its units: not yet copied out
    std::size_t last_gathered_ = 0;  // layer, of a forward body
    BufferId read_;                  // of outputs that are held, so that something reads them
    EventId free_;  // of the compute stream: what is issued now may use memory that it has left
    Direction direction_ = Direction::forward;
    std::size_t kept_ = 0;
    std::size_t next_ = 0;          // the next entry to issue
    std::size_t current_ = 0;       // the entry that computes next
    std::vector<bool> gathered_;    // by unit: some body has gathered its update
    std::vector<EventId> updated_;  // that it is there, until a layer has waited for it
};

}  // namespace shardscope
