#include "backends/cpu/cpu_runner.h"

#include <memory>
#include <thread>

#include "backends/cpu/cpu_rank.h"
#include "backends/cpu/kernels/gemm.h"
#include "backends/cpu/thread_communicator.h"
#include "backends/executable.h"
#include "backends/memory_probe.h"
#include "backends/rank_failures.h"
#include "backends/run_record.h"
#include "core/error.h"
#include "core/program/check.h"
#include "core/program/check_progress.h"

namespace shardscope {
namespace {

void expect_precision(const TrainingSpec& training) {
    const DType gradient = training.gradient_dtype.value_or(training.precision);
    if (training.precision != DType::int32 &&
        (gradient == training.precision ||
         (training.precision == DType::bf16 && gradient == DType::fp32)))
        return;
    throw Error("unsupported",
                "the cpu backend does not train in " + std::string(name_of(training.precision)) +
                    " with gradients in " + std::string(name_of(gradient)),
                "use precision fp32, fp64 or bf16, with gradients in the same or bf16's in fp32");
}

// One run: a thread per rank, and the calling thread, which meets them around every step and talks to
// the outside while they rest.
class ThreadedRun {
public:
    ThreadedRun(const Plan& plan, const DataSource& data, const CpuRunnerOptions& diagnosis,
                const RunOptions& options)
        : plan_(plan),
          data_(data),
          diagnosis_(diagnosis),
          options_(options),
          world_(plan.layout.world),
          gate_(make_thread_communicators(world_ + 1)),
          communicators_(make_rank_communicators(plan.program, world_)),
          ranks_(static_cast<std::size_t>(world_)),
          scalars_(ranks_.size()),
          memory_(ranks_.size()),
          record_(plan, options) {}

    Trace run();

private:
    void run_rank(int rank) noexcept;
    void run_rank_steps(int rank);
    void coordinate();
    void collect(std::int64_t step);
    void pass(int member) { gate_[static_cast<std::size_t>(member)]->barrier(); }

    const Plan& plan_;
    const DataSource& data_;
    const CpuRunnerOptions& diagnosis_;
    const RunOptions& options_;
    const int world_;
    std::vector<std::unique_ptr<Communicator>> gate_;  // all ranks, then the calling thread
    std::vector<RankCommunicators> communicators_;
    std::vector<std::unique_ptr<CpuRank>> ranks_;  // each made by its own thread
    bool stop_ = false;  // written by the calling thread while the ranks wait at the gate
    RankFailures failures_;
    MemoryProbe probe_;
    std::vector<StepScalars> scalars_;  // of every rank
    std::vector<Bytes> memory_;         // the same
    RunRecord record_;
};

Trace ThreadedRun::run() {
    std::exception_ptr own_failure;
    {
        std::vector<std::jthread> threads;
        try {
            for (int r = 0; r < world_; ++r) threads.emplace_back([this, r] { run_rank(r); });
            coordinate();
        } catch (const Error& e) {
            if (e.rule != kCommunicationAborted) own_failure = std::current_exception();
            gate_.back()->abort();
        } catch (...) {
            own_failure = std::current_exception();
            gate_.back()->abort();
        }
    }
    if (own_failure) std::rethrow_exception(own_failure);
    failures_.rethrow();
    Trace trace;
    for (const auto& rank : ranks_) trace.ranks.push_back(rank->take_trace(options_.record_spans));
    trace.ranks.front().memory.outside_plan = probe_.growth();
    record_.finish(trace, world_, static_cast<int>(std::thread::hardware_concurrency()));
    if (const std::string note = MemoryProbe::note(); !note.empty()) trace.notes.push_back(note);
    return trace;
}

void ThreadedRun::run_rank(int rank) noexcept {
    try {
        run_rank_steps(rank);
    } catch (...) {
        failures_.add_current(Rank(rank));
        if (const auto& mine = ranks_[static_cast<std::size_t>(rank)]) mine->abort();
        gate_.back()->abort();
    }
}

void ThreadedRun::run_rank_steps(int rank) {
    const auto r = static_cast<std::size_t>(rank);
    cpu::use_one_thread();
    ranks_[r] = std::make_unique<CpuRank>(plan_, Rank(rank), data_, std::move(communicators_[r]),
                                          CpuExecutorOptions{diagnosis_.communication_delay});
    CpuRank& mine = *ranks_[r];
    pass(rank);  // everybody is ready
    for (std::int64_t step = 0; step < plan_.training.steps; ++step) {
        pass(rank);
        if (stop_) return;
        mine.run_step(step);
        pass(rank);  // everybody has finished the step
        mine.finish_step();
        if (diagnosis_.inspect) {
            diagnosis_.inspect(rank, step, mine.state());
        }
        pass(rank);
    }
}

// Passes the gate as often as run_rank_steps.
void ThreadedRun::coordinate() {
    const std::int64_t steps = plan_.training.steps;
    pass(world_);
    probe_.start();
    record_.start();
    for (std::int64_t step = 0; step < steps; ++step) {
        stop_ = step > 0 && options_.stop.stop_requested();
        pass(world_);
        if (stop_) return;
        pass(world_);
        pass(world_);
        probe_.sample();
        collect(step);
    }
}

void ThreadedRun::collect(std::int64_t step) {
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
        scalars_[r] = ranks_[r]->scalars();
        memory_[r] = ranks_[r]->memory();
    }
    memory_.front() += probe_.growth();  // as in the trace
    record_.add_step(step, scalars_, memory_);
}

}  // namespace

void check_runnable(const Plan& plan, const CpuRunnerOptions& options) {
    expect_executable(plan);
    expect_precision(plan.training);
    if (!options.check_program) return;
    check_program(plan.program, plan.memory);
    check_progress(plan.program, Host::runs_compute);
}

Trace CpuRunner::run(const Scenario& scenario, const Plan& plan, const RunOptions& options) {
    check_runnable(plan, options_);
    const auto data = open_data(scenario.data, *plan.model, plan.training.seed);
    return ThreadedRun(plan, *data, options_, options).run();
}

}  // namespace shardscope
