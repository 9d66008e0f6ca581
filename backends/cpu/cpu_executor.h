// Executes one rank's instructions on this machine's cores.
//
// Compute-stream instructions run on the calling thread, kernels on its helpers as well; every other
// stream that the program uses is a thread of its own, so that communication overlaps computation.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "backends/batch_loader.h"
#include "backends/cpu/arena.h"
#include "backends/cpu/event_board.h"
#include "backends/cpu/kernels/team.h"
#include "backends/cpu/rank_communicators.h"
#include "backends/cpu/stream_worker.h"
#include "backends/executor.h"
#include "backends/span_log.h"
#include "core/program/program.h"

namespace shardscope {

struct CpuExecutorOptions {
    std::chrono::nanoseconds communication_delay{0};  // slept before every collective and exchange
    int threads = 1;  // that kernels of the compute stream are divided over
};

// Calls come from the thread that runs the rank, except abort(). A failure on a stream's thread aborts
// the rank's communicators, so that no other rank waits for it, and is thrown by the next call here.
class CpuExecutor final : public Executor {
public:
    // Starts a thread for each stream beside compute that `role` uses; instructions passed in later
    // must live until synchronize().
    CpuExecutor(const RoleProgram& role, RankCommunicators communicators, BatchLoader loader,
                const CpuExecutorOptions& options = {});
    // Ends the streams, aborting the communicators if work is pending.
    ~CpuExecutor() override;

    // One allocation, kept as long as this; zero-filled, aligned to kArenaAlignment.
    std::byte* allocate_arena(Bytes size);

    void compute(Stream stream, const Compute& instruction, const Addresses& operands,
                 const StepContext& context) override;
    void collective(Stream stream, const Collective& instruction, const std::byte* send,
                    std::byte* recv) override;
    // At most kMaxOperands transfers, of one group.
    void exchange(Stream stream, const Exchange& instruction,
                  std::span<std::byte* const> addresses) override;
    void record(Stream stream, EventId event) override;
    void wait(Stream stream, EventId event) override;
    void copy_scalar(Stream stream, const std::byte* value, double* destination) override;
    void synchronize() override;

    // Times go to `log` from the next instruction on; null: nowhere. Call while no stream runs.
    void log_spans(SpanLog* log) { log_ = log; }

    // Makes every pending and later call of this rank, and of the ranks it communicates with, fail.
    // Thread-safe.
    void abort() noexcept;

private:
    StreamWorker* worker(Stream stream) const {
        return workers_[static_cast<std::size_t>(stream)].get();
    }
    void submit(Stream stream, const StreamWork& work);
    void execute(Stream stream, const StreamWork& work);
    void execute_or_fail(Stream stream, const StreamWork& work) noexcept;
    void run_compute(Stream stream, const StreamWork& work);
    void run_collective(Stream stream, const StreamWork& work);
    void run_exchange(Stream stream, const StreamWork& work);
    void run_wait(const StreamWork& work);
    void throw_failure();

    RankCommunicators communicators_;
    BatchLoader loader_;
    CpuExecutorOptions options_;
    Arena arena_;
    cpu::Team team_;      // of the compute stream
    cpu::Team alone_{1};  // of the others, whose few kernels run beside it
    SpanLog* log_ = nullptr;

    EventBoard events_;
    std::vector<std::uint64_t> recorded_;  // per event, the ticket of its latest recording, from 1

    std::atomic<bool> failed_{false};
    std::mutex failure_mutex_;
    std::exception_ptr failure_;  // the first one

    std::array<std::unique_ptr<StreamWorker>, kStreams> workers_;  // last: they use the rest
};

}  // namespace shardscope
