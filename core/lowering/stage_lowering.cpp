#include "core/lowering/stage_lowering.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/lowering/optimizer_pass.h"

namespace shardscope {
namespace {

using Port = Transfers::Port;
using TaskKind = StageTask::Kind;

// Layers whose pass reads weights, in the order the pass visits them.
std::vector<std::size_t> reading_layers(const LayerLowering& layers, const LayerRange& range,
                                        bool backward) {
    std::vector<std::size_t> list;
    for (std::size_t l = range.first; l < range.last; ++l)
        if (layers.reads_weights(l, backward)) list.push_back(l);
    if (backward) std::reverse(list.begin(), list.end());
    return list;
}

BackwardPart part_of(TaskKind kind) {
    if (kind == TaskKind::input_gradient) return BackwardPart::input;
    return kind == TaskKind::weight_gradient ? BackwardPart::weight : BackwardPart::both;
}

const char* name_of(BackwardPart part) {
    if (part == BackwardPart::input) return "input gradients";
    return part == BackwardPart::weight ? "weight gradients" : "backward";
}

const char* name_of(MicroBatchKind kind) {
    if (kind.first && kind.last) return "";
    return kind.first ? " (first)" : kind.last ? " (last)" : " (middle)";
}

}  // namespace

StageLowering::StageLowering(LoweringContext& context)
    : context_(context),
      parameters_(context),
      layers_(context, parameters_),
      gather_(context, parameters_),
      reduction_(context, parameters_),
      transfers_(context),
      input_(context.chunks.size()),
      received_(context.chunks.size()),
      handed_(context.chunks.size()) {
    const Model& model = context.model;
    if (context.rules.allocates_buckets && context.zero == 3)
        context.builder.buffer("reduce bucket",
                               bucket_size(context.strategy).value / size_of(context.gradient),
                               context.gradient, Category::communication, Residence::persistent);
    if (context.rules.keeps_stage_tensors && context.chunks.back().last == model.layers.size())
        context.builder.buffer(
            "outputs of other micro-batches",
            (context.layout.micro_batches - 1) * context.rows() * output_width(model.layers.back()),
            context.storage, Category::activations, Residence::persistent);
}

void StageLowering::run() {
    // Backward bodies refer to what the forward bodies left.
    const std::int64_t micro_batches = context_.layout.micro_batches;
    for (std::size_t c = 0; c < context_.chunks.size(); ++c) {
        const BodyId first = lower_forward(static_cast<int>(c), true);
        const bool differs =
            (gather_.overlaps_updates() || layers_.casts_weights_once()) && micro_batches > 1;
        first_forward_.push_back(first);
        forward_.push_back(differs ? lower_forward(static_cast<int>(c), false) : first);
    }
    const std::vector<StageTask> tasks =
        stage_schedule(context_.strategy, context_.stage, context_.layout.pp, micro_batches);
    std::vector<BodyId> bodies;
    bodies.reserve(tasks.size());
    for (const StageTask& task : tasks) {
        const auto& forward = task.micro_batch == 0 ? first_forward_ : forward_;
        bodies.push_back(task.kind == TaskKind::forward
                             ? forward[static_cast<std::size_t>(task.chunk)]
                             : backward_body(task));
    }
    if (context_.strategy.schedule == Schedule::zero_bubble_v) find_receives();
    for (std::size_t t = 0; t < tasks.size(); ++t) schedule(tasks[t], bodies[t]);
    const BodyId optimizer = lower_optimizer(context_, parameters_, layers_.loss());
    context_.builder.role.schedule.push_back(
        {optimizer, static_cast<std::int32_t>(micro_batches - 1)});
}

std::string StageLowering::body_name(const char* what, int chunk) const {
    return context_.chunks.size() == 1 ? what : fmt::format("{}, chunk {}", what, chunk);
}

BodyId StageLowering::lower_forward(int chunk, bool first_micro_batch) {
    const LayerRange& range = layers_of(chunk);
    auto& b = context_.builder;
    const bool gathers = first_micro_batch && gather_.overlaps_updates();
    const bool special = gathers || (first_micro_batch && layers_.casts_weights_once());
    const BodyId body =
        b.begin_body(body_name("forward", chunk) + (special ? " (first)" : ""), chunk);
    layers_.begin_forward(first_micro_batch);
    b.at(Phase::forward, -1);
    parameters_.begin_body({});
    if (gathers) gather_.begin_updated(range);
    gather_.begin_body(Gather::Direction::forward, reading_layers(layers_, range, false), 0);
    const bool first = range.first == 0, last = range.last == context_.model.layers.size();
    layers_.load_batch(first, last);
    if (!first && !continues(chunk)) {
        b.at(Phase::forward, static_cast<std::int32_t>(range.first));
        const Layer& before = context_.model.layers[range.first - 1];
        BufferId& input = input_[static_cast<std::size_t>(chunk)];
        if (!input.valid())
            input = b.buffer(context_.model.layers[range.first].name + ".input",
                             transfers_.elements(Port::activations_in, chunk), context_.storage,
                             Category::activations);
        transfers_.take(Port::activations_in, chunk, input);
        layers_.set_input(range.first, {input, output_width(before), Activation::none, {}});
    }
    for (std::size_t l = range.first; l < range.last; ++l) {
        b.at(Phase::forward, static_cast<std::int32_t>(l));
        gather_.before_layer(l);
        if (gathers) gather_.await_updated(l);
        layers_.forward(l);
        gather_.after_layer(l);
    }
    layers_.end_forward();
    if (transfers_.has(Port::activations_out, chunk))
        transfers_.fill(Port::activations_out, chunk, layers_.output(range.last - 1).buffer);
    return body;
}

BodyId StageLowering::lower_backward(int chunk, BackwardPart part, MicroBatchKind kind) {
    const LayerRange& range = layers_of(chunk);
    auto& b = context_.builder;
    const BodyId body = b.begin_body(body_name(name_of(part), chunk) + name_of(kind), chunk);
    b.at(Phase::backward, -1);
    const bool weights = part != BackwardPart::input, inputs = part != BackwardPart::weight;
    parameters_.begin_body(kind);
    if (weights) reduction_.begin_body(kind);
    add_to_written(chunk);
    // Alone, a stage's backward pass follows its forward pass: what that used last stays gathered.
    const auto backward =
        inputs ? reading_layers(layers_, range, true) : std::vector<std::size_t>();
    const std::size_t keep = context_.layout.pp == 1
                                 ? gather_.kept_layers(reading_layers(layers_, range, false),
                                                       backward, layers_.recomputed())
                                 : 0;
    gather_.begin_body(Gather::Direction::backward, backward, keep);
    BufferId dy;
    if (transfers_.has(Port::gradients_in, chunk)) {
        b.at(Phase::backward, static_cast<std::int32_t>(range.last - 1));
        BufferId& received = received_[static_cast<std::size_t>(chunk)];
        if (!received.valid())
            received = b.buffer(context_.model.layers[range.last - 1].name + ".d output received",
                                transfers_.elements(Port::gradients_in, chunk), context_.storage,
                                Category::workspace);
        dy = received;
        if (inputs) transfers_.take(Port::gradients_in, chunk, dy);
    }
    if (inputs && context_.rules.keeps_stage_tensors &&
        transfers_.has(Port::activations_out, chunk)) {
        if (!read_.valid())
            read_ = b.buffer("an element of the output", 1, context_.storage, Category::workspace);
        b.compute(Copy{1}, context_.storage, context_.gradient,
                  {{layers_.output(range.last - 1).buffer, 0, 0}, {read_, 0, 0}});
    }
    if (chunk + 1 < static_cast<int>(context_.chunks.size()) && continues(chunk + 1))
        layers_.continue_backward(range, handed_[static_cast<std::size_t>(chunk + 1)], part);
    else
        layers_.begin_backward(range, dy, part);
    for (std::size_t l = range.last; l-- > range.first;) {
        b.at(Phase::backward, static_cast<std::int32_t>(l));
        gather_.before_layer(l);
        layers_.recompute(l);
        if (inputs && layers_.recomputed()[l]) gather_.after_recompute(l);
        layers_.backward(l);
        gather_.after_layer(l);
        if (weights) reduction_.after_layer(l);
    }
    if (inputs && transfers_.has(Port::gradients_out, chunk))
        transfers_.fill(Port::gradients_out, chunk, layers_.input_gradient());
    if (inputs) handed_[static_cast<std::size_t>(chunk)] = layers_.input_gradient();
    if (weights) reduction_.end_body();
    gather_.end_backward();
    if (inputs) layers_.evaluate_metrics(range);
    return body;
}

void StageLowering::add_to_written(int chunk) {
    for (std::size_t later = static_cast<std::size_t>(chunk) + 1; later < context_.chunks.size();
         ++later)
        for (std::size_t l = context_.chunks[later].first; l < context_.chunks[later].last; ++l)
            for (const ParameterId p : context_.model.layers[l].borrowed)
                parameters_.set_written(p);
}

BodyId StageLowering::backward_body(const StageTask& task) {
    const BackwardPart part = part_of(task.kind);
    std::int64_t& done = done_[{task.chunk, part}];
    const MicroBatchKind kind{done == 0, done + 1 == context_.layout.micro_batches};
    ++done;
    BodyId& body = backward_[{task.chunk, part, kind.first, kind.last}];
    if (!body.valid()) body = lower_backward(task.chunk, part, kind);
    return body;
}

void StageLowering::schedule_transfer(Port port, const StageTask& task) {
    if (!transfers_.has(port, task.chunk)) return;
    BodyId& body = transfer_bodies_[{port, task.chunk}];
    if (!body.valid()) body = transfers_.lower_body(port, task.chunk);
    context_.builder.role.schedule.push_back({body, task.micro_batch});
}

void StageLowering::find_receives() {
    const Strategy& strategy = context_.strategy;
    const std::vector<int> mine = chunks_of_stage(strategy, context_.stage);
    for (const int peer : {context_.stage - 1, context_.stage + 1}) {
        if (peer < 0 || peer >= strategy.pp) continue;
        const std::vector<int> theirs = chunks_of_stage(strategy, peer);
        for (StageTask task :
             stage_schedule(strategy, peer, strategy.pp, context_.layout.micro_batches)) {
            if (task.kind == TaskKind::weight_gradient) continue;
            const bool forward = task.kind == TaskKind::forward;
            const int next = theirs[static_cast<std::size_t>(task.chunk)] + (forward ? 1 : -1);
            const auto found = std::ranges::find(mine, next);
            if (found == mine.end()) continue;
            task.chunk = static_cast<int>(found - mine.begin());
            receives_[peer].push_back({forward ? Port::activations_in : Port::gradients_in, task});
        }
    }
}

void StageLowering::schedule_receive(Port port, const StageTask& task) {
    if (!transfers_.has(port, task.chunk)) return;
    const auto queue = receives_.find(transfers_.peer(port, task.chunk));
    if (queue == receives_.end()) return schedule_transfer(port, task);
    const auto is_it = [&](const Receive& r) {
        return r.port == port && r.task.chunk == task.chunk &&
               r.task.micro_batch == task.micro_batch;
    };
    const auto last = std::ranges::find_if(queue->second, is_it);
    if (last == queue->second.end()) return;  // has come before what another task wanted
    for (auto r = queue->second.begin(); r <= last; ++r) schedule_transfer(r->port, r->task);
    queue->second.erase(queue->second.begin(), last + 1);
}

void StageLowering::schedule(const StageTask& task, BodyId body) {
    auto& list = context_.builder.role.schedule;
    const bool forward = task.kind == TaskKind::forward;
    const bool transfers = task.kind != TaskKind::weight_gradient;
    if (transfers) schedule_receive(forward ? Port::activations_in : Port::gradients_in, task);
    list.push_back({body, task.micro_batch});
    if (transfers) schedule_transfer(forward ? Port::activations_out : Port::gradients_out, task);
}

}  // namespace shardscope
