// An account of the arena's bytes in use, kept while a step really runs.
//
// It shares no code with plan_memory: it sees the instructions one by one as they are issued, places
// a buffer at its first access and releases it when its last access is known to be over. So it checks
// the plan (no two live buffers share bytes), measures what the plan predicts (bytes per category at
// the peak), and says which bytes may be touched at all (poisoning under AddressSanitizer).
// Where the plan gives every micro-batch a copy of a buffer, each copy has a life of its own.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "backends/buffer_lives.h"
#include "backends/stream_clocks.h"
#include "core/program/buffer_copies.h"
#include "core/program/memory_plan.h"
#include "core/report/trace.h"

namespace shardscope {

// One rank's account; not thread-safe. Per step: begin_step(); for every task of the schedule
// begin_task() and for each of its instructions before_issue(), then after_issue(); end_step() once
// all streams are idle. Persistent buffers are live from the start.
class LiveBuffers {
public:
    // Told when a range of the arena becomes usable or ceases to be; bytes that no buffer was ever
    // placed on are not reported.
    using OnChange = std::function<void(Bytes offset, Bytes size, bool live)>;

    // `role` and `plan` must outlive the account.
    LiveBuffers(const RoleProgram& role, const MemoryPlan& plan, OnChange on_change = {});

    // Reports every byte that is not live now as dead; call before a step where dead bytes may have
    // been opened in between.
    void close_dead_bytes() const;

    void begin_step();
    void begin_task();

    // Places the buffers that the instruction touches for the first time. Throws Error{run_failed,
    // "arena-overlap"} naming both buffers if one lands on another's bytes.
    void before_issue(const Instruction& instruction);

    // Releases the buffers whose last access is over: on the compute stream when issued, on another
    // stream once the compute stream has waited for an event recorded there after the access.
    void after_issue(const Instruction& instruction);

    // All streams are idle: releases what no event had released.
    void end_step();

    bool live(BufferId buffer, std::int32_t micro_batch = 0) const {
        return live_[copies_.of(buffer, micro_batch).index()];
    }
    Bytes live_bytes() const { return live_bytes_; }

    // What was measured so far: live bytes per category (sizes, not rounded) when their sum was
    // largest; the rest of the arena that had been touched by then or later counts as workspace,
    // because it is packing slack. `runtime` is the plan's.
    MemoryUse use() const;

private:
    CopyId copy_of(const Operand& operand) const;
    const Buffer& buffer_of(CopyId copy) const;
    void place(CopyId copy);
    void release(CopyId copy);
    void check_free(CopyId copy) const;
    void note_peak(Phase phase);
    bool is_over(CopyId copy) const;
    void release_ended();
    std::string describe(CopyId copy) const;

    const RoleProgram& role_;
    const MemoryPlan& plan_;
    OnChange on_change_;

    const BufferCopies copies_;
    const std::vector<LifeEnd> ends_;
    std::size_t next_end_ = 0;
    std::int32_t task_ = -1, instruction_ = 0;  // the one being issued

    StreamClocks clocks_;
    std::vector<std::array<StreamClocks::Position, kStreams>> last_access_;  // per copy
    std::vector<bool> live_;
    std::vector<CopyId> placed_;  // the live ones
    std::vector<CopyId> ended_;   // all accesses issued, not all known to be over; still live

    std::array<Bytes, kCategories> categories_{}, peak_categories_{};
    Bytes live_bytes_, peak_bytes_, extent_;
    Phase peak_phase_ = Phase::load;
};

}  // namespace shardscope
