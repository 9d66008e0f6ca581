// Linear layers and their gradients, with the tensor-parallel collectives around them. Those that go on beside
// multiplies (Strategy::tp_overlap) are on a stream of their own, awaited by the first kernel that touches what
// they bring.
#include "core/lowering/layers.h"

namespace shardscope {

Operand LayerLowering::behind(Operand operand, std::int64_t elements, DType type) const {
    if (!operand.valid()) return operand;
    operand.offset += type_of(operand.buffer) == DType::int8 && casts_operands()
                          ? cast_bytes(elements)
                          : elements * size_of(type);
    return operand;
}

std::vector<LayerLowering::Part> LayerLowering::parts_of(const LinearParameters& p) const {
    const auto found = parts_.find(p.weight);
    return found == parts_.end() ? std::vector<Part>{{0, p.out}} : found->second;
}

void LayerLowering::find_parts() {
    if (!context_.rules.separate_projections) return;
    for (const Layer& layer : context_.model.layers) {
        const auto* b = std::get_if<BlockLayer>(&layer.kind);
        if (b == nullptr || !is_gated(b->mlp)) continue;
        const std::int64_t q = b->heads * b->head_dim, kv = b->kv_heads * b->head_dim;
        if (b->qkv.weight.valid()) parts_[b->qkv.weight] = {{0, q}, {q, kv}, {q + kv, kv}};
        if (b->up.weight.valid()) parts_[b->up.weight] = {{0, b->ffn}, {b->ffn, b->ffn}};
    }
}

void LayerLowering::linear(const LinearParameters& p, BufferId x, BufferId y, Activation activation,
                           BufferId pre) {
    const BufferId from = multiplied(x);
    const Operand w = weight(p, Along::rows);
    for_pieces(from, [&](std::int64_t rows, std::int64_t piece) {
        std::uint8_t cast = 0;
        for (const Part& part : parts_of(p)) {
            emit(Linear{rows, p.in, part.out, p.bias.valid(), false, activation},
                 {piece_of(from, piece, p.in),
                  behind(w, part.first * p.in, context_.storage),
                  behind(parameters_.value(p.bias), part.first, context_.storage),
                  {},
                  behind(piece_of(y, piece, p.out), rows * part.first, context_.storage),
                  piece_of(pre, piece, p.out)},
                 cast);
            if (context_.rules.shares_casts) cast = 1;  // x
        }
    });
}

void LayerLowering::summed_linear(std::size_t l, const LinearParameters& p, BufferId x, BufferId y,
                                  BufferId residual) {
    const std::int64_t rows = context_.rows(), local = context_.local_rows();
    const BufferId from = multiplied(x);
    const Operand w = weight(p, Along::rows);
    if (p.parallel != TensorParallel::row) {
        emit(Linear{rows, p.in, p.out, p.bias.valid(), residual.valid(), Activation::none},
             {start_of(from), w, parameters_.value(p.bias), start_of(residual), start_of(y)});
        return;
    }
    const bool scatter = context_.sequence_parallel();
    const BufferId partial = scatter ? temporary(l, "partial sum", rows * p.out) : y;
    const PieceKernel multiply = [&](std::int64_t count, std::int64_t piece) {
        emit(Linear{count, p.in, p.out},
             {piece_of(from, piece, p.in), w, {}, {}, piece_of(partial, piece, p.out)});
    };
    if (scatter && in_pieces()) {
        sum_in_pieces(partial, y, p.out, multiply);
    } else {
        multiply(rows, 0);
        if (scatter)
            reduce_scatter(l, "partial sum", partial, y, rows * p.out);
        else
            all_reduce(y, rows * p.out, context_.storage);
    }
    if (p.bias.valid() || residual.valid())
        emit(BiasResidual{local, p.out, p.bias.valid(), residual.valid()},
             {start_of(y), parameters_.value(p.bias), start_of(residual)});
}

void LayerLowering::linear(const LinearParameters& p, BufferId x, BufferId y, Rows rows) {
    const BufferId from = rows.wide ? x : multiplied(x);
    emit(Linear{rows.count, p.in, p.out, p.bias.valid(), false, Activation::none, rows.experts},
         {start_of(from),
          rows.wide ? parameters_.value(p.weight) : weight(p, Along::rows, rows.experts),
          parameters_.value(p.bias),
          {},
          start_of(y)},
         0, rows.wide);
}

void LayerLowering::linear_weight_grad(const LinearParameters& p, BufferId x, BufferId dy,
                                       Rows rows) {
    if (part_ == BackwardPart::input) return;
    const auto dw = parameters_.gradient(p.weight);
    const auto db = parameters_.gradient(p.bias);
    const BufferId left = rows.wide ? x : multiplied_along_columns(x);
    const BufferId right = rows.wide ? dy : gradient_along_columns(dy);
    for (const Part& part : parts_of(p))
        emit(LinearWeightGrad{rows.count, p.in, part.out, p.bias.valid(), dw.accumulate,
                              rows.experts},
             {start_of(left), behind(start_of(right), rows.count * part.first, context_.storage),
              behind(dw.operand, part.first * p.in, context_.written()),
              behind(db.operand, part.first, context_.written())},
             0, rows.wide);
}

void LayerLowering::linear_input_grad(const LinearParameters& p, BufferId dy, BufferId dx,
                                      Rows rows) {
    const BufferId from = rows.wide ? dy : multiplied(dy);
    emit(LinearInputGrad{rows.count, p.in, p.out, Activation::none, rows.experts},
         {start_of(from),
          rows.wide ? parameters_.value(p.weight) : weight(p, Along::columns, rows.experts),
          {},
          start_of(dx)},
         0, rows.wide);
}

void LayerLowering::add(BufferId to, BufferId x, std::int64_t elements) {
    emit(Add{elements}, {start_of(to), start_of(x)});
}

void LayerLowering::linear_input_grad(const LinearParameters& p, BufferId dy, BufferId dx,
                                      Activation activation, BufferId aux) {
    const BufferId from = multiplied(dy);
    const Operand w = weight(p, Along::columns);
    for_pieces(from, [&](std::int64_t rows, std::int64_t piece) {
        emit(LinearInputGrad{rows, p.in, p.out, activation},
             {piece_of(from, piece, p.out), w, piece_of(aux, piece, p.in),
              piece_of(dx, piece, p.in)});
    });
}

void LayerLowering::column_gradients(std::size_t l, const char* what, const char* partial,
                                     const LinearParameters& p, BufferId x, BufferId dy,
                                     BufferId dx) {
    const bool kept = context_.rules.keeps_gathered_rows && context_.sequence_parallel();
    const BufferId all =
        kept ? gathered(l, what, p.in) : all_rows(l, what, x, p.in, For::weight_gradient);
    if (!overlaps_gradients()) linear_weight_grad(p, all, dy);
    summed_input_grad(l, partial, p, dy, dx);
    if (overlaps_gradients()) linear_weight_grad(p, all, dy);
}

void LayerLowering::input_grad_of_parts(std::size_t l, const LinearParameters& p, BufferId dy,
                                        BufferId dx) {
    const std::vector<Part> parts = parts_of(p);
    if (parts.size() == 1) return linear_input_grad(p, dy, dx);
    const std::int64_t rows = context_.rows();
    const BufferId from = multiplied(dy);
    const Operand w = weight(p, Along::columns);
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const BufferId own = i == 0
                                 ? dx
                                 : block_buffer(l, "input gradient of a part", static_cast<int>(i),
                                                rows * p.in, context_.storage, Category::workspace);
        emit(LinearInputGrad{rows, p.in, parts[i].out},
             {behind(start_of(from), rows * parts[i].first, context_.storage),
              behind(w, parts[i].first * p.in, context_.storage),
              {},
              start_of(own)});
        if (i > 0) add(dx, own, rows * p.in);
    }
}

void LayerLowering::summed_input_grad(std::size_t l, const char* partial, const LinearParameters& p,
                                      BufferId dy, BufferId dx) {
    const std::int64_t elements = context_.rows() * p.in;
    if (p.parallel == TensorParallel::column && context_.sequence_parallel()) {
        const BufferId sum = temporary(l, partial, elements);
        input_grad_of_parts(l, p, dy, sum);
        if (overlaps_gradients())
            collective_beside(CollectiveKind::reduce_scatter, sum, dx, elements);
        else
            reduce_scatter(l, partial, sum, dx, elements,
                           context_.rules.sums_in_order && parts_of(p).size() > 1);
        return;
    }
    input_grad_of_parts(l, p, dy, dx);
    if (p.parallel != TensorParallel::column) return;
    if (overlaps_gradients())
        collective_beside(CollectiveKind::all_reduce, {}, dx, elements);
    else
        all_reduce(dx, elements, context_.storage);
}

void LayerLowering::await(BufferId buffer) {
    const auto found = on_the_way_.find(buffer);
    if (found == on_the_way_.end()) return;
    // A stream ends its work in order: the last event stands for all, and for what came with it.
    const EventId there = found->second.back();
    context_.builder.wait(Stream::compute, there);
    std::erase_if(on_the_way_, [&](const auto& other) { return other.second.back() == there; });
}

void LayerLowering::await_all() {
    while (!on_the_way_.empty()) await(on_the_way_.begin()->first);
}

Operand LayerLowering::piece_of(BufferId buffer, std::int64_t piece, std::int64_t width) const {
    if (!buffer.valid()) return {};
    const Buffer& all = context_.builder.role.buffers[buffer.index()];
    if (all.dtype == DType::int8) return {buffer, all.elements / context_.layout.tp * piece, 0};
    const std::int64_t rows = context_.rows() / context_.layout.tp;
    return {buffer, piece * rows * width * size_of(all.dtype), 0};
}

void LayerLowering::collective_beside(CollectiveKind kind, BufferId from, BufferId to,
                                      std::int64_t elements) {
    if (part_ == BackwardPart::weight && kind != CollectiveKind::all_gather) return;
    auto& b = context_.builder;
    await(from);
    await(to);
    b.wait(Stream::tensor, b.record(Stream::compute));
    b.collective(Stream::tensor, {.kind = kind,
                                  .group = context_.tp,
                                  .elements = elements,
                                  .dtype = type_of(to),
                                  .send = start_of(from),
                                  .recv = start_of(to)});
    on_the_way_[to] = {b.record(Stream::tensor)};
}

EventId LayerLowering::pass_around(int distance, Operand from, Operand to, std::int64_t elements,
                                   DType type) {
    Exchange::Transfer send;
    send.group = context_.tp;
    send.peer = distance;
    send.around = true;
    send.send = true;
    send.elements = elements;
    send.dtype = type;
    send.operand = from;
    Exchange::Transfer receive = send;
    receive.peer = -distance;
    receive.send = false;
    receive.operand = to;
    context_.builder.exchange(Stream::tensor, {{send, receive}});
    return context_.builder.record(Stream::tensor);
}

void LayerLowering::gather_in_pieces(BufferId local, BufferId whole, std::int64_t elements) {
    auto& b = context_.builder;
    const DType type = type_of(whole);
    const std::int64_t piece = elements / context_.layout.tp;
    b.divide(whole, context_.layout.tp);
    await(local);
    await(whole);
    b.compute(Copy{piece}, type, type, {start_of(local), start_of(whole)});
    b.wait(Stream::tensor, b.record(Stream::compute));
    std::vector<EventId> events(1);
    for (int i = 1; i < context_.layout.tp; ++i)
        events.push_back(
            pass_around(i, start_of(local), {whole, i * piece * size_of(type), 0}, piece, type));
    on_the_way_[whole] = std::move(events);
}

void LayerLowering::for_pieces(BufferId x, const PieceKernel& multiply) {
    const auto found = on_the_way_.find(x);
    if (found == on_the_way_.end() || found->second.size() == 1)
        return multiply(context_.rows(), 0);
    const std::vector<EventId> events = std::move(found->second);
    on_the_way_.erase(found);
    for (std::size_t i = 0; i < events.size(); ++i) {
        if (events[i].valid()) context_.builder.wait(Stream::compute, events[i]);
        multiply(context_.rows() / context_.layout.tp, static_cast<std::int64_t>(i));
    }
}

void LayerLowering::sum_in_pieces(BufferId partial, BufferId sum, std::int64_t width,
                                  const PieceKernel& multiply) {
    if (part_ == BackwardPart::weight) return;
    auto& b = context_.builder;
    const std::int64_t tp = context_.layout.tp, rows = context_.rows() / tp;
    b.divide(partial, context_.layout.tp);
    if (context_.rules.sums_received_parts) return sum_received(partial, sum, width, multiply);
    for (std::int64_t piece = 0; piece < tp; ++piece) {
        multiply(rows, piece);
        b.wait(Stream::tensor, b.record(Stream::compute));
        b.collective(Stream::tensor,
                     {.kind = CollectiveKind::reduce_scatter,
                      .group = context_.tp,
                      .elements = rows * width,
                      .dtype = context_.storage,
                      .send = piece_of(partial, piece, width),
                      .recv = {sum, piece * (rows / tp) * width * size_of(context_.storage), 0}});
    }
    on_the_way_[sum] = {b.record(Stream::tensor)};
}

void LayerLowering::sum_received(BufferId partial, BufferId sum, std::int64_t width,
                                 const PieceKernel& multiply) {
    auto& b = context_.builder;
    const int tp = context_.layout.tp;
    const std::int64_t rows = context_.rows() / tp;
    std::vector<EventId> sent;
    // The rank's own part comes last, so that something hides the transfer before it.
    for (int i = 1; i <= tp; ++i) {
        if (i > 2 && i < tp) b.wait(Stream::compute, sent[static_cast<std::size_t>(i) - 3]);
        const std::int64_t piece = i % tp;
        multiply(rows, piece);
        if (i == tp) break;
        b.wait(Stream::tensor, b.record(Stream::compute));
        // What a rank sends lies in memory of its own beside the plan's, the size of two pieces.
        const Operand part = piece_of(partial, piece, width);
        sent.push_back(pass_around(i, part, part, rows * width, context_.storage));
    }
    b.wait(Stream::compute, sent.back());
    await(sum);
    emit(SumParts{rows * width, tp}, {start_of(partial), start_of(sum)});
}

}  // namespace shardscope
