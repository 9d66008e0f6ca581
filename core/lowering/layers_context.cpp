// Attention over a context-parallel group: the queries of this rank's tokens and everybody's keys.
#include <fmt/format.h>

#include "core/lowering/layers.h"

namespace shardscope {
struct LayerLowering::ContextShape {
    std::int64_t samples = 0, queries = 0, rows = 0;
    std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
    std::int64_t value_dim = 0;  // 0: head_dim
    std::int64_t copies = 1;     // of each key and value head
    bool gathered = false;       // keys and values, by one collective for the layer
    int blocks = 1;              // that attention goes over one by one: 1 or cp
    std::int64_t keys = 0;       // per sample and block
    bool keeps_blocks = false;   // until the last has been merged
    std::int64_t kv_heads_used() const { return kv_heads * copies; }
    std::int64_t value() const { return value_dim > 0 ? value_dim : head_dim; }
    std::int64_t q() const { return rows * heads * head_dim; }
    std::int64_t y() const { return rows * heads * value(); }
    // Of one rank.
    std::int64_t kv() const { return rows * kv_heads_used() * (head_dim + value()); }
};

LayerLowering::ContextShape LayerLowering::context_shape(const BlockLayer& b) const {
    const int cp = context_.layout.cp;
    ContextShape c;
    c.samples = context_.layout.micro_batch;
    c.queries = b.seq;
    c.rows = context_.rows();
    c.heads = b.heads;
    c.kv_heads = b.kv_heads;
    c.head_dim = b.head_dim;
    if (b.is_latent()) c.value_dim = b.value_dim;
    c.gathered = context_kind(context_.strategy) == ContextKind::all_gather;
    if (context_.rules.repeats_key_values) c.copies = b.heads / b.kv_heads;
    c.blocks = c.gathered && !context_.rules.attends_by_blocks ? 1 : cp;
    c.keys = b.seq * (c.blocks == 1 ? cp : 1);
    c.keeps_blocks = context_.rules.keeps_ring_blocks && !c.gathered;
    return c;
}

BufferId LayerLowering::block_buffer(std::size_t l, const char* what, int i, std::int64_t elements,
                                     DType type, Category category) {
    const std::string& word = *block_words_.insert(fmt::format("{} {}", what, i)).first;
    return named(l, word.c_str(), Variant::plain, elements, type, category);
}

// Ours go round between two buffers.
BufferId LayerLowering::key_block(std::size_t l, const ContextShape& c, int i) {
    const bool kept = c.keeps_blocks && !backward_;
    return block_buffer(l, "keys and values", kept ? i : i % 2, c.kv(), context_.storage,
                        Category::communication);
}

// Where attention finds block `i`; of gathered ones the rank's own is there before the others.
Operand LayerLowering::keys_of(std::size_t l, const ContextShape& c, int i) {
    if (!c.gathered || (i == 0 && c.blocks > 1)) return start_of(key_block(l, c, i));
    const BufferId all =
        named(l, "all keys and values", Variant::plain, c.kv() * context_.layout.cp,
              context_.storage, Category::communication);
    return {all, i * c.kv() * size_of(context_.storage), 0};
}

EventId LayerLowering::pass_on(BufferId from, BufferId to, std::int64_t elements) {
    auto& b = context_.builder;
    b.wait(Stream::context, b.record(Stream::compute));
    Exchange::Transfer send;
    send.group = context_.cp;
    send.peer = 1;
    send.around = true;
    send.send = true;
    send.elements = elements;
    send.dtype = context_.storage;
    send.operand = start_of(from);
    Exchange::Transfer receive = send;
    receive.peer = -1;
    receive.send = false;
    receive.operand = start_of(to);
    b.exchange(Stream::context, {{send, receive}});
    return b.record(Stream::context);
}

EventId LayerLowering::gather_keys(std::size_t l, const ContextShape& c) {
    auto& b = context_.builder;
    b.wait(Stream::context, b.record(Stream::compute));
    Collective gather;
    gather.kind = CollectiveKind::all_gather;
    gather.group = context_.cp;
    gather.elements = c.kv() * context_.layout.cp;
    gather.dtype = context_.storage;
    gather.send = start_of(key_block(l, c, 0));
    gather.recv = {keys_of(l, c, c.blocks > 1 ? 1 : 0).buffer, 0, 0};
    b.collective(Stream::context, gather);
    return b.record(Stream::context);
}

// Sets out, before attention to block `i`, what the blocks behind it need; invalid: nothing.
EventId LayerLowering::fetch_keys(std::size_t l, const ContextShape& c, int i) {
    if (c.gathered) return i == 0 ? gather_keys(l, c) : EventId();
    if (i + 1 == c.blocks) return {};
    return pass_on(key_block(l, c, i), key_block(l, c, i + 1), c.kv());
}

BufferId LayerLowering::context_stats(std::size_t l, const ContextShape& c) {
    return saved(l, "attention.stats", c.rows * c.heads, context_.state);
}

void LayerLowering::merge_block(std::size_t l, const ContextShape& c, int i) {
    const int k = c.keeps_blocks ? i : 1;
    emit(MergeAttention{c.rows, c.heads, c.value()},
         {start_of(saved(l, "attention", c.y())), start_of(context_stats(l, c)),
          start_of(block_buffer(l, "attention of block", k, c.y(), context_.storage,
                                Category::workspace)),
          start_of(block_buffer(l, "stats of block", k, c.rows * c.heads, context_.state,
                                Category::workspace))});
}

void LayerLowering::context_attention(std::size_t l, const BlockLayer& layer) {
    if (context_kind(context_.strategy) == ContextKind::ulysses) return ulysses_attention(l, layer);
    const ContextShape c = context_shape(layer);
    auto& b = context_.builder;
    const BufferId qkv = saved(l, "qkv", c.rows * qkv_width(layer));
    emit(TakeKeyValues{c.rows, c.heads, c.kv_heads, c.head_dim, c.copies, c.value_dim},
         {start_of(qkv), start_of(key_block(l, c, 0))});
    const ContextAttention kernel{c.samples,         c.queries,  c.keys,     c.heads,
                                  c.kv_heads_used(), c.head_dim, c.value_dim};
    for (int i = 0; i < c.blocks; ++i) {
        const EventId fetched = fetch_keys(l, c, i);
        if (fetched.valid() && c.blocks == 1) b.wait(Stream::compute, fetched);
        const int k = c.keeps_blocks ? i : 1;
        const BufferId y = i == 0 ? saved(l, "attention", c.y())
                                  : block_buffer(l, "attention of block", k, c.y(),
                                                 context_.storage, Category::workspace);
        const BufferId stats = i == 0 ? context_stats(l, c)
                                      : block_buffer(l, "stats of block", k, c.rows * c.heads,
                                                     context_.state, Category::workspace);
        emit(kernel, {start_of(qkv), keys_of(l, c, i), start_of(y), start_of(stats)});
        if (i > 0 && !c.keeps_blocks) merge_block(l, c, i);
        if (fetched.valid() && c.blocks > 1) b.wait(Stream::compute, fetched);
    }
    for (int i = 1; c.keeps_blocks && i < c.blocks; ++i) merge_block(l, c, i);
}

// Of gradients of all keys and values, this rank's.
BufferId LayerLowering::scatter_key_gradients(std::size_t l, const ContextShape& c,
                                              BufferId whole) {
    auto& b = context_.builder;
    const BufferId own = temporary(l, "d keys and values", c.kv());
    b.wait(Stream::context, b.record(Stream::compute));
    Collective scatter;
    scatter.kind = CollectiveKind::reduce_scatter;
    scatter.group = context_.cp;
    scatter.elements = c.kv() * context_.layout.cp;
    scatter.dtype = context_.storage;
    scatter.send = start_of(whole);
    scatter.recv = start_of(own);
    b.collective(Stream::context, scatter);
    b.wait(Stream::compute, b.record(Stream::context));
    return own;
}

// Keys and values come as in the forward pass. The gradients of another rank's set out for the next rank,
// which adds its own, and so on until they are home.
BufferId LayerLowering::context_attention_backward(std::size_t l, const BlockLayer& layer,
                                                   BufferId d_o) {
    if (context_kind(context_.strategy) == ContextKind::ulysses)
        return ulysses_attention_backward(l, layer, d_o);
    const ContextShape c = context_shape(layer);
    auto& b = context_.builder;
    const BufferId qkv = saved(l, "qkv", c.rows * qkv_width(layer));
    const BufferId dqkv = temporary(l, "d qkv", c.rows * qkv_width(layer));
    if (part_ == BackwardPart::weight) return dqkv;
    const auto part = [&](const char* what, int i, std::int64_t elements, Category category) {
        return block_buffer(l, what, i, elements, context_.storage, category);
    };
    emit(TakeKeyValues{c.rows, c.heads, c.kv_heads, c.head_dim, c.copies, c.value_dim},
         {start_of(qkv), start_of(key_block(l, c, 0))});
    const BufferId dq = temporary(l, "d queries", c.q());
    BufferId dkv = c.blocks > 1
                       ? temporary(l, "d keys and values", c.kv())
                       : temporary(l, "d all keys and values", c.kv() * context_.layout.cp);
    const ContextAttentionGrad kernel{c.samples,         c.queries,  c.keys,     c.heads,
                                      c.kv_heads_used(), c.head_dim, c.value_dim};
    BufferId received;
    EventId returned;
    const auto add_received = [&](BufferId to) {
        b.wait(Stream::compute, returned);
        emit(Add{c.kv()}, {start_of(to), start_of(received)});
    };
    for (int i = 0; i < c.blocks; ++i) {
        const EventId fetched = fetch_keys(l, c, i);
        if (fetched.valid() && c.blocks == 1) b.wait(Stream::compute, fetched);
        const BufferId dq_part =
            i == 0 ? dq : part("d queries of block", 1, c.q(), Category::workspace);
        const BufferId dkv_part =
            i == 0 ? dkv
                   : part("d keys and values to send", i % 2, c.kv(), Category::communication);
        emit(kernel, {start_of(d_o), start_of(qkv), keys_of(l, c, i),
                      start_of(saved(l, "attention", c.y())), start_of(context_stats(l, c)),
                      start_of(dq_part), start_of(dkv_part)});
        if (i > 0) emit(Add{c.q()}, {start_of(dq), start_of(dq_part)});
        if (i > 1) add_received(dkv_part);
        if (i > 0) {
            received = part("d keys and values received", i % 2, c.kv(), Category::communication);
            returned = pass_on(dkv_part, received, c.kv());
        }
        if (fetched.valid() && c.blocks > 1) b.wait(Stream::compute, fetched);
    }
    if (c.blocks > 1)
        add_received(dkv);
    else
        dkv = scatter_key_gradients(l, c, dkv);
    emit(PutGradients{c.rows, c.heads, c.kv_heads, c.head_dim, c.copies, c.value_dim},
         {start_of(dq), start_of(dkv), start_of(dqkv)});
    return dqkv;
}

// Sends tensors of so many elements per row, which lie one behind the other in `from`, to the ranks of their heads or of
// their rows, each on its own.
void LayerLowering::all_to_all(BufferId from, BufferId to,
                               std::initializer_list<std::int64_t> widths) {
    std::int64_t offset = 0;
    for (const std::int64_t width : widths) {
        const std::int64_t elements = context_.rows() * width;
        context_.builder.collective(Stream::compute, {.kind = CollectiveKind::all_to_all,
                                                      .group = context_.cp,
                                                      .elements = elements,
                                                      .dtype = context_.storage,
                                                      .send = {from, offset, 0},
                                                      .recv = {to, offset, 0}});
        offset += elements * size_of(context_.storage);
    }
}

// What a rank attends to once it has all tokens of its part of the heads, and the widths of what it gets. With more ranks
// than key and value heads each head goes to several of them, and is copied before (DeepSpeed's
// runtime/sequence_parallel/ulysses_sp.py: kv_replication_factor).
struct LayerLowering::UlyssesShape {
    UlyssesShape(const BlockLayer& layer, std::int64_t samples, std::int64_t cp)
        : copies(std::max<std::int64_t>(1, cp / layer.kv_heads)),
          attention{samples,
                    layer.seq * cp,
                    layer.heads / cp,
                    layer.kv_heads * copies / cp,
                    layer.head_dim,
                    AttentionKind::flash,
                    1,
                    layer.is_latent() ? layer.value_dim : 0},
          q(layer.heads * layer.head_dim),
          k(layer.kv_heads * copies * layer.head_dim),
          v(layer.kv_heads * copies * layer.value_dim),
          y(layer.heads * layer.value_dim) {}
    std::int64_t qkv() const { return q + k + v; }

    std::int64_t copies;  // of each key and value head
    Attention attention;
    std::int64_t q, k, v, y;  // of a row
};

BufferId LayerLowering::piece(std::size_t l, const char* what, int i, std::int64_t elements) {
    return block_buffer(l, what, i, elements, context_.storage, Category::communication);
}

// What a rank sends to one other has to be laid out in one piece before, and what it receives behind one another after.
void LayerLowering::ulysses_attention(std::size_t l, const BlockLayer& layer) {
    const std::int64_t rows = context_.rows();
    const UlyssesShape s(layer, context_.layout.micro_batch, context_.layout.cp);
    constexpr const char* kSent = "queries, keys and values";
    const std::int64_t all = rows * s.qkv();
    const BufferId mine = saved(l, "qkv.of heads", all);
    const BufferId qkv = saved(l, "qkv", rows * qkv_width(layer));
    const BufferId sent = piece(l, kSent, 0, all), received = piece(l, kSent, 1, all);
    if (s.copies == 1) {
        emit(Copy{all}, {start_of(qkv), start_of(sent)});
    } else {
        emit(Copy{rows * s.q}, {start_of(qkv), start_of(sent)});
        emit(TakeKeyValues{rows, layer.heads, layer.kv_heads, layer.head_dim, s.copies,
                           s.attention.value_dim},
             {start_of(qkv), {sent, rows * s.q * size_of(context_.storage), 0}});
    }
    all_to_all(sent, received, {s.q, s.k, s.v});
    emit(Copy{all}, {start_of(received), start_of(mine)});
    const BufferId o = saved(l, "attention.of heads", rows * s.y);
    emit(s.attention, {start_of(mine), start_of(o), start_of(attention_stats(l, s.attention))});
    move_outputs(l, "outputs", o, saved(l, "attention", rows * s.y), s.y);
}

void LayerLowering::move_outputs(std::size_t l, const char* what, BufferId from, BufferId to,
                                 std::int64_t width) {
    const std::int64_t all = context_.rows() * width;
    const BufferId sent = piece(l, what, 0, all), received = piece(l, what, 1, all);
    emit(Copy{all}, {start_of(from), start_of(sent)});
    all_to_all(sent, received, {width});
    emit(Copy{all}, {start_of(received), start_of(to)});
}

BufferId LayerLowering::ulysses_attention_backward(std::size_t l, const BlockLayer& layer,
                                                   BufferId d_o) {
    const std::int64_t rows = context_.rows();
    const UlyssesShape s(layer, context_.layout.micro_batch, context_.layout.cp);
    const BufferId dqkv = temporary(l, "d qkv", rows * qkv_width(layer));
    if (part_ == BackwardPart::weight) return dqkv;
    const std::int64_t all = rows * s.qkv();
    const BufferId dy = temporary(l, "d attention.of heads", rows * s.y);
    move_outputs(l, "d outputs", d_o, dy, s.y);
    const Attention& a = s.attention;
    const AttentionGrad g{a.samples,  a.seq,  a.heads, a.kv_heads,
                          a.head_dim, a.kind, 1,       a.value_dim};
    const BufferId d_mine = temporary(l, "d qkv.of heads", all);
    emit(g, {start_of(dy), start_of(saved(l, "qkv.of heads", all)),
             start_of(saved(l, "attention.of heads", rows * s.y)), start_of(attention_stats(l, a)),
             start_of(d_mine)});
    constexpr const char* kSent = "d queries, keys and values";
    const BufferId sent = piece(l, kSent, 0, all), received = piece(l, kSent, 1, all);
    emit(Copy{all}, {start_of(d_mine), start_of(sent)});
    all_to_all(sent, received, {s.q, s.k, s.v});
    if (s.copies == 1)
        emit(Copy{all}, {start_of(received), start_of(dqkv)});
    else
        emit(PutGradients{rows, layer.heads, layer.kv_heads, layer.head_dim, s.copies,
                          s.attention.value_dim},
             {start_of(received),
              {received, rows * s.q * size_of(context_.storage), 0},
              start_of(dqkv)});
    return dqkv;
}

}  // namespace shardscope
