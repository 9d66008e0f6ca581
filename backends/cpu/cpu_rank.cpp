#include "backends/cpu/cpu_rank.h"

#include <algorithm>

#include "backends/arena_poison.h"

namespace shardscope {
namespace {

const RoleProgram& role_of(const Plan& plan, Rank rank) {
    return plan.program.roles[plan.program.role_of(rank)];
}

// Applies the account's changes to the bytes they speak of.
LiveBuffers::OnChange poison_dead_bytes(std::byte* arena) {
    if (!kPoisonsArena) return {};
    return [arena](Bytes offset, Bytes size, bool live) {
        if (live)
            unpoison(arena + offset.value, size.value);
        else
            poison(arena + offset.value, size.value);
    };
}

// As many threads as the plan has given the kernels scratch memory for.
CpuExecutorOptions with_threads(CpuExecutorOptions options, const Plan& plan) {
    options.threads = plan.target.threads;
    return options;
}

}  // namespace

CpuRank::CpuRank(const Plan& plan, Rank rank, const DataSource& data,
                 RankCommunicators communicators, const CpuExecutorOptions& options)
    : plan_(plan),
      rank_(rank),
      role_(role_of(plan, rank)),
      executor_(role_, std::move(communicators),
                BatchLoader(data, plan.layout, plan.data_index(rank)), with_threads(options, plan)),
      arena_(executor_.allocate_arena(plan.memory_of(rank).arena)),
      interpreter_(plan.program, rank, plan.memory_of(rank), executor_, arena_),
      state_(plan, rank, arena_),
      log_(role_) {
    write_initial_weights(plan, state_);
    account_ =
        std::make_unique<LiveBuffers>(role_, plan.memory_of(rank), poison_dead_bytes(arena_));
    steps_.reserve(static_cast<std::size_t>(std::min(plan.training.steps, kReservedSteps)));
    executor_.log_spans(&log_);
}

void CpuRank::run_step(std::int64_t step) {
    if (account_ != nullptr) account_->close_dead_bytes();
    const auto start = SpanLog::Clock::now();
    log_.begin_step(start);
    scalars_ = interpreter_.run_step(step, account_.get());
    wall_ = Seconds(std::chrono::duration<double>(SpanLog::Clock::now() - start).count());
}

void CpuRank::finish_step() {
    steps_.push_back(cut(log_.finish_step(), wall_));
    if (account_ == nullptr) return;
    memory_ = account_->use();
    if (!kPoisonsArena) account_.reset();
}

RankState CpuRank::state() {
    unpoison(arena_, plan_.memory_of(rank_).arena.value);
    return state_;
}

RankTrace CpuRank::take_trace(bool with_spans) {
    RankTrace trace;
    trace.rank = rank_;
    trace.steps = std::move(steps_);
    if (trace.steps.size() > 1) trace.steps.erase(trace.steps.begin());
    if (with_spans) trace.spans = log_.finish_step();
    trace.memory = memory_;
    return trace;
}

}  // namespace shardscope
