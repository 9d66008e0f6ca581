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

}  // namespace

LiveBuffers::LiveBuffers(const RoleProgram& role, const MemoryPlan& plan, OnChange on_change)
    : role_(role),
      plan_(plan),
      on_change_(std::move(on_change)),
      copies_(role, plan),
      ends_(life_ends(role, copies_)),
      clocks_(role.events),
      last_access_(copies_.size()),
      live_(copies_.size(), false) {
    for (std::size_t b = 0; b < role.buffers.size(); ++b)
        if (role.buffers[b].residence == Residence::persistent) place(copies_.of(BufferId(b), 0));
}

void LiveBuffers::close_dead_bytes() const {
    if (!on_change_) return;
    on_change_(Bytes(0), plan_.arena, false);
    for (const CopyId c : placed_) on_change_(copies_[c].place, buffer_of(c).size(), true);
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
        const CopyId copy = copy_of(operand);
        if (!live_[copy.index()]) place(copy);
        // Written again before its last life was known to be over: it never was free in between.
        std::erase(ended_, copy);
    });
    note_peak(instruction.phase);
}

void LiveBuffers::after_issue(const Instruction& instruction) {
    const StreamClocks::Position position = clocks_.issue(instruction);
    const std::size_t stream = StreamClocks::index(instruction.stream);
    for_each_operand(instruction, [&](const Operand& operand, Access access) {
        if (!operand.valid() || access == Access::none) return;
        last_access_[copy_of(operand).index()][stream] = position;
    });
    for (; next_end_ < ends_.size(); ++next_end_) {
        const LifeEnd& end = ends_[next_end_];
        if (end.task != task_ || end.instruction != instruction_) break;
        ended_.push_back(end.copy);
    }
    ++instruction_;
    release_ended();
}

void LiveBuffers::end_step() {
    while (!ended_.empty()) release(ended_.back());
}

CopyId LiveBuffers::copy_of(const Operand& operand) const {
    const Task& task = role_.schedule[static_cast<std::size_t>(task_)];
    return copies_.of(operand.buffer, task.micro_batch);
}

const Buffer& LiveBuffers::buffer_of(CopyId copy) const {
    return role_.buffers[copies_[copy].buffer.index()];
}

void LiveBuffers::place(CopyId copy) {
    check_free(copy);
    const Buffer& b = buffer_of(copy);
    const Bytes offset = copies_[copy].place;
    live_[copy.index()] = true;
    placed_.push_back(copy);
    live_bytes_ += b.size();
    categories_[static_cast<std::size_t>(b.category)] += b.size();
    extent_ = std::max(extent_, offset + reserved(b));
    if (on_change_) on_change_(offset, b.size(), true);
}

void LiveBuffers::release(CopyId copy) {
    const Buffer& b = buffer_of(copy);
    live_[copy.index()] = false;
    std::erase(placed_, copy);
    std::erase(ended_, copy);
    live_bytes_ -= b.size();
    categories_[static_cast<std::size_t>(b.category)] -= b.size();
    if (on_change_) on_change_(copies_[copy].place, b.size(), false);
}

void LiveBuffers::check_free(CopyId copy) const {
    const Bytes first = copies_[copy].place, end = first + buffer_of(copy).size();
    for (const CopyId other : placed_) {
        const Bytes other_first = copies_[other].place;
        if (first >= other_first + buffer_of(other).size() || other_first >= end) continue;
        throw Error(
            "arena-overlap", describe(copy) + " is placed while " + describe(other) + " is live",
            "the memory plan and the program disagree; please report it", ErrorKind::run_failed);
    }
}

std::string LiveBuffers::describe(CopyId copy) const {
    const BufferCopies::Copy& c = copies_[copy];
    const Buffer& buffer = buffer_of(copy);
    std::string text = "'" + buffer.name + "'";
    if (c.micro_batch >= 0) text += " of micro-batch " + std::to_string(c.micro_batch);
    return text + " (bytes " + std::to_string(c.place.value) + " to " +
           std::to_string((c.place + buffer.size()).value) + ")";
}

void LiveBuffers::note_peak(Phase phase) {
    if (live_bytes_ <= peak_bytes_) return;
    peak_bytes_ = live_bytes_;
    peak_categories_ = categories_;
    peak_phase_ = phase;
}

bool LiveBuffers::is_over(CopyId copy) const {
    const auto& last = last_access_[copy.index()];
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
