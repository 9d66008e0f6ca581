#include "backends/cpu/kernels/team.h"

#include <chrono>
#include <utility>

#include "backends/cpu/kernels/gemm.h"

namespace shardscope::cpu {
namespace {

// How long a thread spins for what it waits for before it sleeps. Between two kernels of a training step
// lie a few microseconds, and a spinning thread is told in less than one; waking a sleeping one takes 5 to
// 50, on virtual machines more.
constexpr std::chrono::microseconds kSpin{100};

constexpr std::uint32_t kOpen = 1u << 31;

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Returns the value once it is no longer `old`.
std::uint32_t wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
    const auto changed = [&] { return value.load(std::memory_order_acquire) != old; };
    using Clock = std::chrono::steady_clock;
    for (const auto end = Clock::now() + kSpin; !changed() && Clock::now() < end;)
        for (int i = 0; i < 32 && !changed(); ++i) pause();
    value.wait(old, std::memory_order_acquire);
    return value.load(std::memory_order_acquire);
}

}  // namespace

Team::Team(int threads) {
    helpers_.reserve(static_cast<std::size_t>(threads > 1 ? threads - 1 : 0));
    for (int thread = 1; thread < threads; ++thread)
        helpers_.emplace_back([this, thread] { help(thread); });
}

Team::~Team() {
    stop_ = true;
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
}

void Team::run(const Job& job) {
    job_ = &job;
    next_.store(0, std::memory_order_relaxed);
    state_.store(kOpen, std::memory_order_release);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
    take_shares(0);
    std::uint32_t inside = state_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
    while (inside > 0) inside = wait_while(state_, inside);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Team::help(int thread) {
    use_one_thread();
    for (std::uint32_t round = 0;;) {
        round = wait_while(round_, round);
        if (stop_) return;
        if (!enter()) continue;
        take_shares(thread);
        leave();
    }
}

bool Team::enter() {
    std::uint32_t state = state_.load(std::memory_order_acquire);
    while ((state & kOpen) != 0)
        if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) return true;
    return false;
}

void Team::leave() {
    if (state_.fetch_sub(1, std::memory_order_acq_rel) == 1) state_.notify_one();
}

void Team::take_shares(int thread) noexcept {
    const Job job = *job_;
    while (true) {
        const std::int64_t first = next_.fetch_add(job.grain, std::memory_order_relaxed);
        if (first >= job.count) return;
        const std::int64_t last = first + job.grain < job.count ? first + job.grain : job.count;
        try {
            job.call(job.work, {first, last, thread});
        } catch (...) {
            const std::lock_guard lock(failure_mutex_);
            if (!failure_) failure_ = std::current_exception();
        }
    }
}

}  // namespace shardscope::cpu
