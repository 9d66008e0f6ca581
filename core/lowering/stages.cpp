#include "core/lowering/stages.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/error.h"
#include "core/strategy/layer_pattern.h"

namespace shardscope {
namespace {

using PartitionKind = Partition::Kind;

[[noreturn]] void refuse_partition(const std::string& message, const std::string& fix) {
    throw Error("partition", message, fix);
}

// `copies`: a table that the layer shares with another is on its stage too, with a gradient and states of its own.
double parameters_of(const Model& model, const Layer& layer, bool copies) {
    double sum = 0;
    const auto add = [&](const std::vector<ParameterId>& parameters) {
        for (const ParameterId p : parameters)
            sum += static_cast<double>(model.parameters[p.index()].elements());
    };
    add(layer.parameters);
    if (copies) add(layer.borrowed);
    return sum;
}

bool is_block(const Layer& layer) { return std::holds_alternative<BlockLayer>(layer.kind); }

std::vector<double> weights_of(const Model& model, const Strategy& s) {
    const auto blocks = std::count_if(model.layers.begin(), model.layers.end(), is_block);
    const bool has_blocks = blocks > 0;
    // Blocks that every chunk can have as many of leave what surrounds them to go along.
    const double around = blocks % (s.pp * s.chunks_per_stage()) == 0 ? 0 : 1;
    std::regex pattern;
    if (s.partition.kind == PartitionKind::pattern) pattern = compiled_pattern(s.partition.pattern);
    // In a V the first stage has both ends, and a table that they share once.
    const bool in_a_v = s.schedule == Schedule::zero_bubble_v;
    std::vector<double> weights;
    for (const Layer& layer : model.layers) {
        double weight = 1;
        if (s.partition.kind == PartitionKind::parameters)
            weight = parameters_of(model, layer, !in_a_v);
        else if (s.partition.kind == PartitionKind::pattern)
            weight = std::regex_search(layer.name, pattern) ? 1 : 0;
        else if (s.partition.kind == PartitionKind::blocks && has_blocks)
            weight = is_block(layer) ? 1 : around;
        weights.push_back(weight);
    }
    const auto matching =
        std::count_if(weights.begin(), weights.end(), [](double w) { return w > 0; });
    const int chunks = s.pp * s.chunks_per_stage();
    if (s.partition.kind == PartitionKind::pattern && matching > 0 && matching < chunks)
        refuse_partition(fmt::format("\"{}\" matches {} layers, too few for {} chunks",
                                     s.partition.pattern, matching, chunks),
                         fmt::format("use a pattern that matches at least {} layers", chunks));
    if (matching == 0)
        refuse_partition(fmt::format("no layer's name matches \"{}\"", s.partition.pattern),
                         fmt::format("layers are called {} … {}", model.layers.front().name,
                                     model.layers.back().name));
    return weights;
}

// What a division costs: its heaviest chunk first, then how uneven it is.
struct Unevenness {
    double heaviest = 0, squares = 0;
    auto operator<=>(const Unevenness&) const = default;
};

// Dynamic programme over (chunk, first layer): the best division of the layers from `first` on into
// the chunks from `chunk` on. Layers × chunks states, a few times layers/chunks steps each.
std::vector<LayerRange> divide(const std::vector<double>& weights, std::size_t chunks) {
    const std::size_t layers = weights.size();
    std::vector<Unevenness> best(layers + 1), next;  // of the chunks after this one, by first layer
    std::vector<std::vector<std::uint32_t>> ends(chunks, std::vector<std::uint32_t>(layers + 1));
    for (std::size_t chunk = chunks; chunk-- > 0;) {
        next.swap(best);
        best.assign(layers + 1, {});
        const std::size_t later =
            chunks - chunk - 1;  // chunks after this one, a layer each at least
        for (std::size_t first = chunk; first + later < layers; ++first) {
            double weight = 0;
            bool found = false;
            for (std::size_t end = first + 1; end + later <= layers; ++end) {
                weight += weights[end - 1];
                if (found && weight > best[first].heaviest) break;  // and heavier from here on
                if (later == 0 && end < layers) continue;
                const Unevenness rest = later == 0 ? Unevenness{} : next[end];
                const Unevenness cost{std::max(weight, rest.heaviest),
                                      weight * weight + rest.squares};
                if (found && !(cost < best[first])) continue;
                best[first] = cost;
                ends[chunk][first] = static_cast<std::uint32_t>(end);
                found = true;
            }
        }
    }
    std::vector<LayerRange> ranges;
    for (std::size_t chunk = 0, first = 0; chunk < chunks; first = ranges.back().last, ++chunk)
        ranges.push_back({first, ends[chunk][first]});
    return ranges;
}

std::vector<LayerRange> by_counts(const Model& model, const Strategy& s) {
    std::vector<LayerRange> ranges;
    std::size_t first = 0;
    for (const std::int64_t count : s.partition.counts) {
        ranges.push_back({first, first + static_cast<std::size_t>(count)});
        first = ranges.back().last;
    }
    if (first != model.layers.size())
        refuse_partition(fmt::format("the chunks have {} layers together, the model has {}", first,
                                     model.layers.size()),
                         fmt::format("count every layer, from {} to {}", model.layers.front().name,
                                     model.layers.back().name));
    return ranges;
}

// The k-th forward of 1F1B: rounds of `stages` micro-batches, every chunk in turn.
struct Turn {
    int chunk = 0;
    std::int32_t micro_batch = 0;
};
std::vector<Turn> turns_of(int stages, int chunks, std::int64_t micro_batches) {
    std::vector<Turn> turns;
    for (std::int64_t first = 0; first < micro_batches; first += stages)
        for (int chunk = 0; chunk < chunks; ++chunk)
            for (std::int64_t m = first; m < std::min(first + stages, micro_batches); ++m)
                turns.push_back({chunk, static_cast<std::int32_t>(m)});
    return turns;
}

// Interleaved, the order is that of full rounds with what is missing left out: a short round in its own
// right would bring stages to wait for each other, but leaving work out of an order that finishes, on
// all stages alike, can only let it finish earlier.
std::vector<StageTask> one_forward_one_backward(int chunks, int stage, int stages,
                                                std::int64_t micro_batches) {
    const std::int64_t rounded =
        chunks == 1 ? micro_batches : (micro_batches + stages - 1) / stages * stages;
    const std::vector<Turn> turns = turns_of(stages, chunks, rounded);
    const int after = stages - stage - 1;
    const auto warm_up =
        static_cast<std::size_t>(chunks == 1 ? after : 2 * after + (chunks - 1) * stages);
    std::vector<StageTask> tasks;
    std::size_t forward = 0, backward = 0;
    const auto add = [&](StageTask::Kind kind, int chunk, std::int32_t micro_batch) {
        if (micro_batch < micro_batches) tasks.push_back({kind, chunk, micro_batch});
    };
    const auto add_forward = [&] {
        const Turn& turn = turns[forward++];
        add(StageTask::Kind::forward, turn.chunk, turn.micro_batch);
    };
    while (forward < std::min(warm_up, turns.size())) add_forward();
    while (backward < turns.size()) {
        if (forward < turns.size()) add_forward();
        const Turn& turn = turns[backward++];  // the last chunk's gradient comes first
        add(StageTask::Kind::backward, chunks - 1 - turn.chunk, turn.micro_batch);
    }
    return tasks;
}

std::vector<StageTask> zero_bubble(int stage, int stages, std::int64_t micro_batches) {
    using Kind = StageTask::Kind;
    std::vector<StageTask> tasks;
    std::int32_t weights = 0;
    for (const StageTask& task : one_forward_one_backward(1, stage, stages, micro_batches)) {
        if (task.kind == Kind::forward) {
            tasks.push_back(task);
            continue;
        }
        tasks.push_back({Kind::input_gradient, 0, task.micro_batch});
        if (task.micro_batch - weights >= stage)
            tasks.push_back({Kind::weight_gradient, 0, weights++});
    }
    while (weights < micro_batches) tasks.push_back({Kind::weight_gradient, 0, weights++});
    return tasks;
}

// Appends tasks of one stage, each kind's micro-batches in order.
class VSchedule {
public:
    VSchedule(int stage, int stages, std::int64_t micro_batches)
        : stage_(stage),
          stages_(stages),
          real_(micro_batches),
          all_(std::max(micro_batches, std::int64_t{2} * stages - 1)) {}

    std::vector<StageTask> run() {
        repeat(2 * (stages_ - stage_) - 1, [&] { forward(kDown); });
        repeat(stage_, [&] {
            forward(kUp);
            forward(kDown);
        });
        repeat(stages_ - stage_, [&] {
            forward(kUp);
            backward(kUp);
        });
        while (forwards_[kUp] < all_) {
            if (forwards_[kDown] < all_) forward(kDown);
            backward(kDown);
            forward(kUp);
            backward(kUp);
        }
        repeat(stage_, [&] {
            input_gradient(kDown);
            input_gradient(kUp);
        });
        repeat(stages_ - stage_, [&] { backward(kDown); });
        for (const Leg leg : {kUp, kDown})
            while (weights_[leg] < all_) weight_gradient(leg);
        return std::move(tasks_);
    }

private:
    enum Leg { kDown, kUp };
    template <class Work>
    static void repeat(int times, Work&& work) {
        for (int i = 0; i < times; ++i) work();
    }
    void add(StageTask::Kind kind, Leg leg, std::int64_t& next) {
        if (next < real_) tasks_.push_back({kind, leg, static_cast<std::int32_t>(next)});
        ++next;
    }
    void forward(Leg leg) { add(StageTask::Kind::forward, leg, forwards_[leg]); }
    void input_gradient(Leg leg) { add(StageTask::Kind::input_gradient, leg, inputs_[leg]); }
    void weight_gradient(Leg leg) { add(StageTask::Kind::weight_gradient, leg, weights_[leg]); }
    void backward(Leg leg) {
        input_gradient(leg);
        weight_gradient(leg);
    }

    int stage_, stages_;
    std::int64_t real_, all_;
    std::array<std::int64_t, 2> forwards_{}, inputs_{}, weights_{};  // done, per leg
    std::vector<StageTask> tasks_;
};

std::vector<StageTask> gpipe(std::int64_t micro_batches) {
    std::vector<StageTask> tasks;
    for (const auto kind : {StageTask::Kind::forward, StageTask::Kind::backward})
        for (std::int64_t m = 0; m < micro_batches; ++m)
            tasks.push_back({kind, 0, static_cast<std::int32_t>(m)});
    return tasks;
}

}  // namespace

int stage_of_chunk(const Strategy& strategy, int chunk) {
    const bool up = strategy.schedule == Schedule::zero_bubble_v && chunk >= strategy.pp;
    return up ? 2 * strategy.pp - 1 - chunk : chunk % strategy.pp;
}

std::vector<int> chunks_of_stage(const Strategy& strategy, int stage) {
    std::vector<int> chunks;
    for (int c = 0; c < strategy.pp * strategy.chunks_per_stage(); ++c)
        if (stage_of_chunk(strategy, c) == stage) chunks.push_back(c);
    return chunks;
}

std::vector<LayerRange> partition_layers(const Model& model, const Strategy& strategy) {
    const int per_stage = strategy.chunks_per_stage();
    const auto chunks = static_cast<std::size_t>(strategy.pp * per_stage);
    if (chunks > model.layers.size())
        refuse_partition(
            fmt::format("pp {} × {} {} = {} chunks, but the model has {} layers", strategy.pp,
                        strategy.schedule == Schedule::zero_bubble_v ? "zb-v's" : "virtual_stages",
                        per_stage, chunks, model.layers.size()),
            fmt::format("use at most {} chunks", model.layers.size()));
    if (chunks == 1) return {{0, model.layers.size()}};
    if (strategy.partition.kind == PartitionKind::counts) return by_counts(model, strategy);
    return divide(weights_of(model, strategy), chunks);
}

std::vector<StageTask> stage_schedule(const Strategy& strategy, int stage, int stages,
                                      std::int64_t micro_batches) {
    if (stages == 1) return one_forward_one_backward(1, 0, 1, micro_batches);
    switch (strategy.schedule) {
        case Schedule::gpipe:
            return gpipe(micro_batches);
        case Schedule::one_f_one_b:
            return one_forward_one_backward(strategy.virtual_stages, stage, stages, micro_batches);
        case Schedule::zero_bubble:
            return zero_bubble(stage, stages, micro_batches);
        case Schedule::zero_bubble_v:
            return VSchedule(stage, stages, micro_batches).run();
    }
    return {};
}

}  // namespace shardscope
