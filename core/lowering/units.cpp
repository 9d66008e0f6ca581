#include "core/lowering/units.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/checked.h"
#include "core/lowering/optimizer_rules.h"

namespace shardscope {
namespace {

// Collects the parameters held whole of whose gradient a tensor-parallel rank computes a part only:
// those of norms with sequence parallelism, where each rank sees a part of the rows, and of head norms
// always, where each rank sees a part of the heads.
struct PartialGradients {
    bool sequence_parallel;
    std::vector<bool>& partial;
    void add(ParameterId id) const {
        if (id.valid()) partial[id.index()] = true;
    }
    void add(const NormParameters& p) const {
        if (!sequence_parallel) return;
        add(p.weight);
        add(p.bias);
    }
    // What every rank holds whole and multiplies with its part of the rows.
    void add(const LinearParameters& p) const {
        if (!sequence_parallel) return;
        add(p.weight);
        add(p.bias);
    }
    void operator()(const BlockLayer& b) const {
        add(b.attention_norm);
        add(b.mlp_norm);
        for (const auto* p : {&b.latent.query_down, &b.latent.kv_down, &b.latent.key_rope,
                              &b.experts.router, &b.experts.shared_gate})
            add(*p);
        add(b.latent.query_norm);
        add(b.latent.kv_norm);
        add(b.head_norm.query);
        add(b.head_norm.key);
    }
    void operator()(const HeadLayer& h) const { add(h.norm); }
    void operator()(const NormLayer& n) const { add(n.norm); }
    template <class Other>
    void operator()(const Other&) const {}
};

class UnitMaker {
public:
    UnitMaker(const Model& model, const std::vector<TensorSplit>& splits,
              const std::vector<LayerRange>& chunks, const UnitRules& rules)
        : model_(model),
          splits_(splits),
          rules_(rules),
          tied_(model.parameters.size()),
          expert_(model.parameters.size()),
          steppers_(steppers_of(model, rules.optimizer)) {
        std::vector<bool> here(model.layers.size());
        for (const LayerRange& chunk : chunks)
            for (std::size_t l = chunk.first; l < chunk.last; ++l) here[l] = true;
        partial_.resize(model.parameters.size());
        for (const Layer& layer : model.layers)
            std::visit(PartialGradients{rules.sequence_parallel, partial_}, layer.kind);
        find_tied(here);
        if (rules.experts_apart) find_experts();
    }

    std::vector<Unit> run(const std::vector<LayerRange>& chunks) {
        for (std::size_t c = chunks.size(); c-- > 0;) add_chunk(chunks[c]);
        std::reverse(units_.begin(), units_.end());
        return std::move(units_);
    }

private:
    // A tied parameter whose owner and borrower are on different stages, one of them this one.
    void find_tied(const std::vector<bool>& here) {
        std::vector<std::size_t> owner(model_.parameters.size());
        for (std::size_t l = 0; l < model_.layers.size(); ++l)
            for (ParameterId p : model_.layers[l].parameters) owner[p.index()] = l;
        for (std::size_t l = 0; l < model_.layers.size(); ++l)
            for (ParameterId p : model_.layers[l].borrowed)
                if (here[l] != here[owner[p.index()]]) tied_[p.index()] = true;
    }

    // Parameters that other ranks hold than the rest.
    void find_experts() {
        for (const Layer& layer : model_.layers)
            if (const auto* block = std::get_if<BlockLayer>(&layer.kind);
                block != nullptr && block->has_experts())
                for (const auto* p : {&block->experts.up, &block->experts.down})
                    expert_[p->weight.index()] = true;
    }

    std::int64_t elements(ParameterId p) const { return model_.parameters[p.index()].elements(); }

    // Parameters of the layer that go with its bucket.
    std::vector<ParameterId> bucketed(std::size_t layer) const {
        std::vector<ParameterId> list;
        for (ParameterId p : model_.layers[layer].parameters)
            if (!tied_[p.index()]) list.push_back(p);
        return list;
    }

    void add_chunk(const LayerRange& chunk) {
        const std::int64_t enough = rules_.zero == 3 ? 0 : rules_.bucket.value;
        std::int64_t filled = 0;       // bytes in the open bucket
        std::size_t end = chunk.last;  // one past the open bucket's last layer
        if (persists()) add_bucket(chunk.first, chunk.last, true);
        for (std::size_t l = chunk.last; l-- > chunk.first;) {
            for (ParameterId p : bucketed(l)) filled += elements(p) * size_of(rules_.gradient);
            if (filled > 0 && (filled >= enough || l == chunk.first)) {
                add_bucket(l, end);
                filled = 0;
                end = l;
            } else if (filled == 0) {
                end = l;  // layers without parameters belong to no unit
            }
            add_tied(l);
        }
    }

    void add_tied(std::size_t layer) {
        for (const auto* list : {&model_.layers[layer].parameters, &model_.layers[layer].borrowed})
            for (ParameterId p : *list) {
                if (!tied_[p.index()]) continue;
                Unit unit;
                unit.tied = true;
                unit.name = model_.parameters[p.index()].name + " (tied)";
                add(unit, p);
                finish(unit);
            }
    }

    // 0: held by this rank alone (or a part of it with neighbours), 1: by all ranks of the group, each
    // with the whole gradient, 2: each with a part of the gradient.
    int sharing(ParameterId p) const {
        if (rules_.tp == 1 || splits_[p.index()].kind != TensorSplit::Kind::whole) return 0;
        return partial_[p.index()] ? 2 : 1;
    }

    bool persists() const { return rules_.zero == 3 && rules_.persistent > 0; }

    // Weights that may be gathered at different times.
    bool apart(std::size_t layer) const {
        std::int64_t sum = 0;
        for (ParameterId p : bucketed(layer)) sum += elements(p);
        return rules_.zero == 3 && rules_.reuse_distance > 0 && sum > rules_.reuse_distance / 2;
    }

    // Which parameters of its layers a unit has.
    struct Choice {
        bool persistent = false, experts = false;
        OptimizerKind stepper = OptimizerKind::adamw;
        ParameterId only = {};  // valid: this one
    };

    bool belongs(ParameterId p, const Choice& choice) const {
        const bool expert = expert_[p.index()];
        const bool persistent = persists() && !expert && elements(p) <= rules_.persistent;
        return expert == choice.experts && persistent == choice.persistent &&
               steppers_[p.index()] == choice.stepper && (!choice.only.valid() || choice.only == p);
    }

    // Experts apart, and what AdamW steps beside another optimizer: units are in backward order.
    void add_bucket(std::size_t first, std::size_t last, bool persistent = false) {
        const OptimizerKind kind = rules_.optimizer.kind;
        for (const bool experts : {true, false}) {
            add_bucket(first, last, Choice{persistent, experts, kind});
            if (kind != OptimizerKind::adamw)
                add_bucket(first, last, Choice{persistent, experts, OptimizerKind::adamw});
        }
    }

    void add_bucket(std::size_t first, std::size_t last, Choice choice) {
        if (choice.persistent || choice.experts || !apart(first))
            return add_unit(first, last, choice);
        const std::vector<ParameterId> list = bucketed(first);
        for (auto p = list.rbegin(); p != list.rend(); ++p) {
            choice.only = *p;
            add_unit(first, last, choice);
        }
    }

    // Lays out layers [first, last) in forward order, shared parameters behind the others.
    void add_unit(std::size_t first, std::size_t last, const Choice& choice) {
        Unit unit;
        for (int kind = 0; kind <= 2; ++kind) {
            const std::int64_t begin = unit.elements;
            for (std::size_t l = first; l < last; ++l)
                for (ParameterId p : bucketed(l))
                    if (sharing(p) == kind && belongs(p, choice)) add(unit, p);
            if (kind > 0 && unit.elements > begin)
                unit.shared.push_back(
                    {begin, unit.elements, GroupId(kTensorGroup), rules_.tp, kind == 2});
        }
        if (unit.entries.empty()) return;
        unit.name = model_.layers[first].name;
        if (first + 1 != last) unit.name += " … " + model_.layers[last - 1].name;
        if (choice.only.valid()) unit.name = model_.parameters[choice.only.index()].name;
        if (choice.experts) unit.name += " experts";
        if (choice.persistent) unit.name += " (persistent)";
        if (choice.stepper != rules_.optimizer.kind)
            unit.name += fmt::format(" ({})", name_of(choice.stepper));
        unit.persistent = choice.persistent;
        finish(unit, choice.experts);
    }

    void add(Unit& unit, ParameterId p) {
        unit.entries.push_back({p, unit.elements});
        add_shared_heads(unit, p);
        unit.elements = checked_add(unit.elements, elements(p), "a parameter bucket");
    }

    // Rows of key and value heads that neighbouring ranks hold too.
    void add_shared_heads(Unit& unit, ParameterId p) const {
        const TensorSplit& split = splits_[p.index()];
        if (split.kind != TensorSplit::Kind::rows || split.experts > 0) return;
        const Parameter& parameter = model_.parameters[p.index()];
        const std::int64_t row = parameter.elements() / parameter.shape[0];
        std::int64_t begin = unit.elements;
        for (const auto& section : split.sections) {
            const std::int64_t end = begin + section.local() * row;
            if (section.parts < rules_.tp) {
                const bool goes_on = !unit.shared.empty() && unit.shared.back().last == begin;
                if (goes_on)
                    unit.shared.back().last = end;
                else
                    unit.shared.push_back(
                        {begin, end, GroupId(kHeadGroup), rules_.tp / section.parts, true});
            }
            begin = end;
        }
    }

    void finish(Unit& unit, bool experts = false) {
        unit.optimizer = steppers_[unit.entries.front().parameter.index()];
        unit.ranks = experts ? rules_.expert_ranks : rules_.dp;
        if (experts)
            unit.group = rules_.same_experts;
        else if (unit.ranks > 1)
            unit.group = GroupId(kDataGroup);
        const bool sharded = rules_.zero >= 1 && unit.ranks > 1;
        unit.shard = sharded
                         ? round_up((unit.elements + unit.ranks - 1) / unit.ranks, kShardAlignment)
                         : unit.elements;
        unit.padded =
            sharded ? checked_mul(unit.shard, unit.ranks, "a parameter bucket") : unit.elements;
        units_.push_back(std::move(unit));
    }

    const Model& model_;
    const std::vector<TensorSplit>& splits_;
    const UnitRules& rules_;
    std::vector<bool> tied_, partial_, expert_;  // per parameter
    std::vector<OptimizerKind> steppers_;        // likewise
    std::vector<Unit> units_;                    // in backward order
};

}  // namespace

std::vector<Unit> make_units(const Model& model, const std::vector<TensorSplit>& splits,
                             const std::vector<LayerRange>& chunks, const UnitRules& rules) {
    return UnitMaker(model, splits, chunks, rules).run(chunks);
}

std::vector<Place> places_of(const Model& model, const std::vector<Unit>& units) {
    std::vector<Place> places(model.parameters.size());
    for (std::size_t u = 0; u < units.size(); ++u)
        for (const auto& entry : units[u].entries)
            places[entry.parameter.index()] = {UnitId(u), entry.offset};
    return places;
}

}  // namespace shardscope
