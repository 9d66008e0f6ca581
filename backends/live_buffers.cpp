#include "backends/live_buffers.h"

#include <algorithm>

#include "core/error.h"

namespace shardscope {
namespace {

// The bytes a buffer keeps others from: up to the next place where one could start.
Bytes reserved(const Buffer& buffer) {
    const std::int64_t size = buffer.size().value;
    return Bytes((size + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment);
}

std::string describe(const Buffer& buffer, Bytes offset) {
    return "'" + buffer.name + "' (bytes " + std::to_string(offset.value) + " to " +
           std::to_string((offset + buffer.size()).value) + ")";
}

}  // namespace

LiveBuffers::LiveBuffers(const RoleProgram& role, const MemoryPlan& plan, OnChange on_change)
    : role_(role),
      plan_(plan),
      on_change_(std::move(on_change)),
      ends_(life_ends(role)),
      clocks_(role.events),
      last_access_(role.buffers.size()),
      live_(role.buffers.size(), false) {
    for (std::size_t b = 0; b < role.buffers.size(); ++b)
        if (role.buffers[b].residence == Residence::persistent) place(BufferId(b));
}

void LiveBuffers::close_dead_bytes() const {
    if (!on_change_) return;
    on_change_(Bytes(0), plan_.arena, false);
    for (const BufferId b : placed_)
        on_change_(plan_.offset[b.index()], role_.buffers[b.index()].size(), true);
}

void LiveBuffers::begin_step() {
    next_end_ = 0;
    task_ = -1;
}

void LiveBuffers::begin_task() {
    ++task_;
    instruction_ = 0;
}

void LiveBuffers::before_issue(const Instruction& instruction) {
    for_each_operand(instruction, [&](const Operand& operand, Access access) {
        if (!operand.valid() || access == Access::none) return;
        if (!live_[operand.buffer.index()]) place(operand.buffer);
        // Written again before its last life was known to be over: it never was free in between.
        std::erase(ended_, operand.buffer);
    });
    note_peak(instruction.phase);
}

void LiveBuffers::after_issue(const Instruction& instruction) {
    const StreamClocks::Position position = clocks_.issue(instruction);
    const std::size_t stream = StreamClocks::index(instruction.stream);
    for_each_operand(instruction, [&](const Operand& operand, Access access) {
        if (!operand.valid() || access == Access::none) return;
        last_access_[operand.buffer.index()][stream] = position;
    });
    for (; next_end_ < ends_.size(); ++next_end_) {
        const LifeEnd& end = ends_[next_end_];
        if (end.task != task_ || end.instruction != instruction_) break;
        ended_.push_back(end.buffer);
    }
    ++instruction_;
    release_ended();
}

void LiveBuffers::end_step() {
    while (!ended_.empty()) release(ended_.back());
}

void LiveBuffers::place(BufferId buffer) {
    check_free(buffer);
    const Buffer& b = role_.buffers[buffer.index()];
    const Bytes offset = plan_.offset[buffer.index()];
    live_[buffer.index()] = true;
    placed_.push_back(buffer);
    live_bytes_ += b.size();
    categories_[static_cast<std::size_t>(b.category)] += b.size();
    extent_ = std::max(extent_, offset + reserved(b));
    if (on_change_) on_change_(offset, b.size(), true);
}

void LiveBuffers::release(BufferId buffer) {
    const Buffer& b = role_.buffers[buffer.index()];
    live_[buffer.index()] = false;
    std::erase(placed_, buffer);
    std::erase(ended_, buffer);
    live_bytes_ -= b.size();
    categories_[static_cast<std::size_t>(b.category)] -= b.size();
    if (on_change_) on_change_(plan_.offset[buffer.index()], b.size(), false);
}

void LiveBuffers::check_free(BufferId buffer) const {
    const Buffer& b = role_.buffers[buffer.index()];
    const Bytes first = plan_.offset[buffer.index()], end = first + b.size();
    for (const BufferId other : placed_) {
        const Buffer& o = role_.buffers[other.index()];
        const Bytes other_first = plan_.offset[other.index()];
        if (first >= other_first + o.size() || other_first >= end) continue;
        throw Error(
            "arena-overlap",
            describe(b, first) + " is placed while " + describe(o, other_first) + " is live",
            "the memory plan and the program disagree; please report it", ErrorKind::run_failed);
    }
}

void LiveBuffers::note_peak(Phase phase) {
    if (live_bytes_ <= peak_bytes_) return;
    peak_bytes_ = live_bytes_;
    peak_categories_ = categories_;
    peak_phase_ = phase;
}

bool LiveBuffers::is_over(BufferId buffer) const {
    const auto& last = last_access_[buffer.index()];
    for (std::size_t s = 0; s < kStreams; ++s)
        if (clocks_.known(Stream::compute, static_cast<Stream>(s)) < last[s]) return false;
    return true;
}

void LiveBuffers::release_ended() {
    for (std::size_t i = ended_.size(); i-- > 0;)
        if (is_over(ended_[i])) release(ended_[i]);
}

MemoryUse LiveBuffers::use() const {
    MemoryUse use;
    use.categories = peak_categories_;
    use.categories[static_cast<std::size_t>(Category::workspace)] += extent_ - peak_bytes_;
    use.categories[static_cast<std::size_t>(Category::runtime)] = plan_.runtime;
    use.peak = extent_ + plan_.runtime;
    use.peak_phase = peak_phase_;
    return use;
}

}  // namespace shardscope
