#include "core/lowering/transfers.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "core/lowering/layers.h"
#include "core/lowering/stages.h"

namespace shardscope {
namespace {

constexpr std::array<const char*, 4> kPortNames = {"activations received", "activations to send",
                                                   "gradients received", "gradients to send"};
constexpr std::array<const char*, 4> kBodies = {"receive activations", "send activations",
                                                "receive gradients", "send gradients"};

// Of the queues with the stage after this one if what moves forward through the stages is sent, or what moves back
// is received; else of those with the stage before.
Stream stream_of(bool forward, bool send) {
    if (forward) return send ? Stream::activations_out : Stream::activations_in;
    return send ? Stream::gradients_out : Stream::gradients_in;
}

}  // namespace

Transfers::Transfers(LoweringContext& context)
    : context_(context),
      divided_(context.rules.divides_transfers && context.tp.valid() &&
               !context.sequence_parallel() && context.rows() % context.layout.tp == 0) {
    using enum Port;
    const std::vector<int> numbers = chunks_of_stage(context.strategy, context.stage);
    const int all = context.strategy.pp * context.strategy.chunks_per_stage();
    for (const Port port : {activations_in, activations_out, gradients_in, gradients_out}) {
        const bool activations = port == activations_in || port == activations_out;
        const bool backwards = port == activations_in || port == gradients_out;  // the stage before
        End& e = ends_[static_cast<std::size_t>(port)];
        e.send = port == activations_out || port == gradients_out;
        e.phase = activations ? Phase::forward : Phase::backward;
        std::int64_t largest = 0;
        for (std::size_t c = 0; c < context.chunks.size(); ++c) {
            const LayerRange& chunk = context.chunks[c];
            e.stream.push_back(stream_of(activations != (in_v() && c == 1), e.send));
            const int neighbour = numbers[c] + (backwards ? -1 : 1);
            e.peer.push_back(neighbour < 0 || neighbour == all
                                 ? context.stage
                                 : stage_of_chunk(context.strategy, neighbour));
            const std::size_t boundary = backwards ? chunk.first : chunk.last;
            const bool none = e.peer.back() == context.stage;
            const std::int64_t width = none ? 0 : output_width(context.model.layers[boundary - 1]);
            e.elements.push_back(context.local_rows() * width);
            e.ready.emplace_back();
            e.done.push_back(none ? EventId() : context.builder.new_event());
            largest = std::max(largest, e.elements.back());
        }
        const auto buffer = [&](const std::string& name, std::int64_t elements) {
            return context.builder.buffer(name, elements, context.storage, Category::communication,
                                          Residence::persistent);
        };
        const char* name = kPortNames[static_cast<std::size_t>(port)];
        if (!in_v())
            e.buffer.assign(context.chunks.size(), buffer(name, part_of(largest)));
        else
            for (std::size_t c = 0; c < e.elements.size(); ++c)
                e.buffer.push_back(
                    buffer(fmt::format("{}, chunk {}", name, c), part_of(e.elements[c])));
        if (!e.send && context.rules.keeps_stage_tensors) {
            const std::int64_t all_chunks = std::reduce(e.elements.begin(), e.elements.end());
            buffer(fmt::format("{} by other micro-batches", name),
                   all_chunks * context.layout.micro_batches - largest);
        }
    }
}

void Transfers::copy(const Operand& from, BufferId to, std::int64_t elements) {
    context_.builder.compute(Copy{elements}, context_.storage, context_.gradient,
                             {from, {to, 0, 0}});
}

void Transfers::take(Port port, int chunk, BufferId to) {
    End& e = end(port);
    auto& b = context_.builder;
    b.wait(Stream::compute, e.done[index(chunk)], context_.rules.blocking_transfers);
    const std::int64_t elements = e.elements[index(chunk)];
    if (divided_) {
        Collective c;
        c.kind = CollectiveKind::all_gather;
        c.group = context_.tp;
        c.elements = elements;
        c.dtype = context_.storage;
        c.send = {e.buffer[index(chunk)], 0, 0};
        c.recv = {to, 0, 0};
        b.collective(Stream::compute, c);
    } else {
        copy({e.buffer[index(chunk)], 0, 0}, to, elements);
    }
    e.ready[index(chunk)].push_back(b.record(Stream::compute));
}

void Transfers::fill(Port port, int chunk, BufferId from) {
    End& e = end(port);
    auto& b = context_.builder;
    for (std::size_t c = 0; c < e.done.size(); ++c)
        if (e.done[c].valid() && (!in_v() || c == index(chunk))) b.wait(Stream::compute, e.done[c]);
    const std::int64_t part = part_of(e.elements[index(chunk)]);
    const std::int64_t stride = divided_ ? part * size_of(context_.storage) : 0;
    copy({from, 0, stride, divided_ ? context_.tp : GroupId()}, e.buffer[index(chunk)], part);
    e.ready[index(chunk)].push_back(b.record(Stream::compute));
}

BodyId Transfers::lower_body(Port port, int chunk) {
    const End& e = end(port);
    const Stream stream = e.stream[index(chunk)];
    auto& b = context_.builder;
    std::string name = kBodies[static_cast<std::size_t>(port)];
    if (context_.chunks.size() > 1) name += fmt::format(", chunk {}", chunk);
    const BodyId body = b.begin_body(std::move(name), chunk);
    b.at(e.phase, -1);
    // Whichever chunk's content came last must have been taken; only its own must have been filled.
    for (std::size_t c = 0; c < e.ready.size(); ++c)
        if (c == index(chunk) || (!e.send && !in_v()))
            for (const EventId ready : e.ready[c]) b.wait(stream, ready);
    Exchange::Transfer transfer;
    transfer.group = context_.pp;
    transfer.peer = e.peer[index(chunk)];
    transfer.send = e.send;
    transfer.elements = part_of(e.elements[index(chunk)]);
    transfer.dtype = context_.storage;
    transfer.operand = {e.buffer[index(chunk)], 0, 0};
    b.exchange(stream, {{transfer}});
    b.record(stream, e.done[index(chunk)]);
    // Where the host computes, it would wait for a receiver whose host waits for what is issued behind this.
    if (e.send && context_.rules.blocking_transfers && !context_.target.host_computes)
        b.wait(Stream::compute, e.done[index(chunk)]);
    return body;
}

}  // namespace shardscope
