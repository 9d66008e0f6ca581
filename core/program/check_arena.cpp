#include "core/program/check_arena.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/program/buffer_copies.h"
#include "core/program/check_error.h"
#include "core/program/operand_sizes.h"

namespace shardscope {
namespace {

// Happens-before as one counter per stream: clock[s] = how many instructions of stream s are known to
// be complete.
using Clock = std::array<std::int64_t, kStreams>;

void join(Clock& a, const Clock& b) {
    for (std::size_t s = 0; s < kStreams; ++s) a[s] = std::max(a[s], b[s]);
}

// Elements that the instruction touches through one of its operands; 0: as many as there are.
std::int64_t elements_of(const Instruction& instruction, const Operand& operand) {
    if (const auto* c = std::get_if<Compute>(&instruction.operation)) {
        const auto sizes = operand_sizes(c->kernel);
        for (std::size_t k = 0; k < sizes.size(); ++k)
            if (&c->operands[k] == &operand) return sizes[k].elements;
    } else if (const auto* x = std::get_if<Exchange>(&instruction.operation)) {
        for (const auto& t : x->transfers)
            if (&t.operand == &operand) return t.elements;
    } else if (const auto* l = std::get_if<Collective>(&instruction.operation)) {
        if (&l->send == &operand && l->kind == CollectiveKind::reduce_scatter) return l->elements;
    }
    return 0;
}

// Compares every access with the latest ones to the same bytes.
class ArenaCheck {
public:
    ArenaCheck(const RoleProgram& role, const MemoryPlan& plan);
    void run();

private:
    static constexpr std::int32_t kNever = -1;

    struct Touch {
        std::size_t stream = 0;
        std::int64_t count = 0;  // the instruction's number on its stream; 0: none
        CopyId copy;
    };
    struct Segment {      // a range of bytes that no buffer's edge divides
        CopyId contents;  // what they hold
        Touch writer;
        std::array<Touch, kStreams> readers{};  // last reader per stream
    };

    void check_places() const;
    void step(const Instruction& i);
    void touch(std::size_t stream, const Operand& o, Access access, std::int64_t elements);
    void require_value(CopyId copy) const;
    void visit(Segment& segment, const Touch& now, Access access);
    void read(const Segment& segment, CopyId copy) const;
    void write(Segment& segment, CopyId copy) const;
    void require_order(const Touch& before, const Touch& now) const;

    struct Range {
        std::int64_t begin = 0, end = 0;  // bytes from the copy's start
    };
    Range all_of(CopyId copy) const { return {0, buffer_of(copy).size().value}; }

    // Calls visit(segment) for bytes of the copy.
    template <class Visitor>
    void for_each_segment(CopyId copy, const Range& range, Visitor&& visit) {
        const std::int64_t begin = address(copy) + range.begin;
        const std::int64_t end = address(copy) + range.end;
        auto e = static_cast<std::size_t>(std::lower_bound(edges_.begin(), edges_.end(), begin) -
                                          edges_.begin());
        for (; e < edges_.size() && edges_[e] < end; ++e) visit(segments_[e]);
    }

    Bytes arena_of(Tier tier) const {
        return tier == Tier::device ? plan_.arena : plan_.beside.of(tier);
    }
    // As if the arenas of the tiers lay one behind the other.
    std::int64_t address(CopyId copy) const {
        Bytes start;
        for (Tier tier = Tier::device; tier != buffer_of(copy).tier;
             tier = static_cast<Tier>(static_cast<int>(tier) + 1))
            start += arena_of(tier);
        return (start + copies_[copy].place).value;
    }

    const Buffer& buffer_of(CopyId copy) const {
        return role_.buffers[copies_[copy].buffer.index()];
    }
    bool is_persistent(CopyId copy) const {
        return buffer_of(copy).residence == Residence::persistent;
    }
    std::string name(CopyId copy) const;
    [[noreturn]] void fail(const std::string& rule, const std::string& what) const;

    const RoleProgram& role_;
    const MemoryPlan& plan_;
    const BufferCopies copies_;
    std::vector<Clock> recorded_;  // per event, as of its latest recording
    std::array<Clock, kStreams> clock_{};
    std::vector<std::int64_t> edges_;
    std::vector<Segment> segments_;  // from each edge to the next
    std::vector<std::int32_t>
        written_;  // per copy: the micro-batch it was last written for, or kNever
    Task task_;    // the instruction looked at
    std::size_t index_ = 0;
};

ArenaCheck::ArenaCheck(const RoleProgram& role, const MemoryPlan& plan)
    : role_(role),
      plan_(plan),
      copies_(role, plan),
      recorded_(static_cast<std::size_t>(role.events)),
      written_(copies_.size(), kNever) {
    check_places();
    for (std::size_t c = 0; c < copies_.size(); ++c) {
        const std::int64_t begin = address(CopyId(c));
        const Buffer& buffer = buffer_of(CopyId(c));
        for (int piece = 0; piece <= buffer.pieces; ++piece)
            edges_.push_back(begin + buffer.size().value / buffer.pieces * piece);
    }
    std::sort(edges_.begin(), edges_.end());
    edges_.erase(std::unique(edges_.begin(), edges_.end()), edges_.end());
    segments_.resize(edges_.size());
    for (std::size_t c = 0; c < copies_.size(); ++c)
        if (is_persistent(CopyId(c)))
            for_each_segment(CopyId(c), all_of(CopyId(c)),
                             [&](Segment& s) { write(s, CopyId(c)); });
}

void ArenaCheck::check_places() const {
    for (std::size_t c = 0; c < copies_.size(); ++c) {
        const auto& copy = copies_[CopyId(c)];
        const Bytes size = buffer_of(CopyId(c)).size();
        const std::int32_t frame = plan_.frame[copy.buffer.index()];
        const bool in_arena =
            copy.place >= Bytes(0) && copy.place + size <= arena_of(buffer_of(CopyId(c)).tier);
        const bool in_frame = frame < 0 || plan_.offset[copy.buffer.index()] + size <=
                                               plan_.frames[static_cast<std::size_t>(frame)].size;
        if (!in_arena || !in_frame)
            throw_program_error("program-bounds",
                                fmt::format("{} lies outside the {}", name(CopyId(c)),
                                            in_arena ? "frame" : "arena"));
    }
}

void ArenaCheck::run() {
    for (int pass = 0; pass < 2; ++pass)
        for (const Task& task : role_.schedule) {
            task_ = task;
            const Body& body = role_.bodies[task.body.index()];
            for (index_ = 0; index_ < body.instructions.size(); ++index_)
                step(body.instructions[index_]);
        }
}

void ArenaCheck::step(const Instruction& i) {
    const auto s = static_cast<std::size_t>(i.stream);
    if (const auto* w = std::get_if<WaitEvent>(&i.operation))
        join(clock_[s], recorded_[w->event.index()]);
    clock_[s][s] += 1;  // a stream is in order: its own past is complete
    if (const auto* r = std::get_if<RecordEvent>(&i.operation))
        recorded_[r->event.index()] = clock_[s];
    for_each_operand(i, [&](const Operand& o, Access access) {
        if (access != Access::none) touch(s, o, access, elements_of(i, o));
    });
}

void ArenaCheck::touch(std::size_t stream, const Operand& o, Access access, std::int64_t elements) {
    const std::int32_t frame = plan_.frame[o.buffer.index()];
    if (frame >= 0 &&
        task_.micro_batch >= std::ssize(plan_.frames[static_cast<std::size_t>(frame)].base))
        fail("program-bounds",
             fmt::format("\"{}\" has no place for micro-batch {}",
                         role_.buffers[o.buffer.index()].name, task_.micro_batch));
    const CopyId copy = copies_.of(o.buffer, task_.micro_batch);
    if (access != Access::write && !is_persistent(copy)) require_value(copy);
    if (access != Access::read) written_[copy.index()] = task_.micro_batch;
    const Touch now{stream, clock_[stream][stream], copy};
    const Buffer& buffer = buffer_of(copy);
    Range range = all_of(copy);
    // Kernels count elements; in fewer bits, with scales, a piece has fewer or more bytes than that.
    if (buffer.dtype == DType::int8) elements = std::min(elements, buffer.elements / buffer.pieces);
    if (buffer.pieces > 1 && elements > 0 && elements <= buffer.elements / buffer.pieces)
        range = {o.offset, o.offset + elements * size_of(buffer.dtype)};
    for_each_segment(copy, range, [&](Segment& s) { visit(s, now, access); });
}

// A transient buffer holds what the same micro-batch wrote.
void ArenaCheck::require_value(CopyId copy) const {
    const std::int32_t written = written_[copy.index()];
    if (written == kNever)
        fail("program-uninitialised", name(copy) + " is read before anything wrote it");
    if (written != task_.micro_batch)
        fail("program-overlap",
             fmt::format("{} is read for micro-batch {} after micro-batch {} was written over it",
                         name(copy), task_.micro_batch, written));
}

void ArenaCheck::visit(Segment& segment, const Touch& now, Access access) {
    if (segment.writer.count > 0) require_order(segment.writer, now);
    if (access == Access::read) {
        read(segment, now.copy);
        segment.readers[now.stream] = now;
        return;
    }
    for (const Touch& reader : segment.readers)
        if (reader.count > 0) require_order(reader, now);
    if (access == Access::read_write) read(segment, now.copy);
    write(segment, now.copy);
    segment.writer = now;
    segment.readers.fill({});
}

void ArenaCheck::read(const Segment& segment, CopyId copy) const {
    if (segment.contents == copy) return;
    fail("program-overlap", fmt::format("{} is read after {} was written over it", name(copy),
                                        name(segment.contents)));
}

void ArenaCheck::write(Segment& segment, CopyId copy) const {
    const CopyId before = segment.contents;
    if (before.valid() && before != copy && is_persistent(before))
        fail("program-overlap",
             fmt::format("{} shares bytes with {}, which is kept", name(copy), name(before)));
    segment.contents = copy;
}

void ArenaCheck::require_order(const Touch& before, const Touch& now) const {
    if (before.stream == now.stream || clock_[now.stream][before.stream] >= before.count) return;
    fail("program-race",
         fmt::format("{} on stream {} may run together with {} on stream {}, in the "
                     "same bytes",
                     name(now.copy), stream_name(static_cast<Stream>(now.stream)),
                     name(before.copy), stream_name(static_cast<Stream>(before.stream))));
}

std::string ArenaCheck::name(CopyId copy) const {
    const std::int32_t m = copies_[copy].micro_batch;
    return fmt::format("\"{}\"", buffer_of(copy).name) +
           (m < 0 ? "" : fmt::format(" of micro-batch {}", m));
}

void ArenaCheck::fail(const std::string& rule, const std::string& what) const {
    if (!task_.body.valid()) throw_program_error(rule, what);  // found before anything ran
    throw_program_error(rule, fmt::format("body \"{}\", instruction {}: {}",
                                          role_.bodies[task_.body.index()].name, index_, what));
}

}  // namespace

void check_arena(const RoleProgram& role, const MemoryPlan& plan) { ArenaCheck(role, plan).run(); }

}  // namespace shardscope
