// The threads that one rank computes with: the thread that calls, and helpers that sleep in between.
//
// A kernel is divided over rows, columns, heads or elements, never over a summed dimension, and always at
// the same boundaries: which thread takes which share is left to chance, so results have the same bits
// with any number of threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace shardscope::cpu {

// One piece of a kernel's work: [first, last) of what is divided, done by thread 0 … threads() − 1,
// where 0 is the caller. `thread` may choose scratch memory, but must not change results.
struct Share {
    std::int64_t first = 0, last = 0;
    int thread = 0;
    std::int64_t count() const { return last - first; }
};

// divide() is for one thread, the one that made the object. With one thread nothing is started.
class Team {
public:
    // Throws std::system_error where the system gives no more threads.
    explicit Team(int threads = 1);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int threads() const { return static_cast<int>(helpers_.size()) + 1; }

    // Calls work(Share) for [0, grain), [grain, 2·grain), … up to `count`, on all threads at once, and
    // returns when all is done. Rethrows the first exception of a share, the others still being run.
    // `grain` must not depend on threads() where boundaries can change a result.
    template <class Work>
    void divide(std::int64_t count, std::int64_t grain, const Work& work) {
        if (helpers_.empty() || count <= grain) {
            for (std::int64_t first = 0; first < count; first += grain)
                work(Share{first, first + grain < count ? first + grain : count, 0});
            return;
        }
        const Job job{count, grain, &work, [](const void* object, const Share& share) {
                          (*static_cast<const Work*>(object))(share);
                      }};
        run(job);
    }

private:
    struct Job {
        std::int64_t count, grain;
        const void* work;
        void (*call)(const void* work, const Share& share);
    };

    void run(const Job& job);
    void help(int thread);
    bool enter();
    void leave();
    void take_shares(int thread) noexcept;

    // A job is told by a new number in `round_`. While it is open, helpers enter and leave it, counted in
    // `state_`; one that wakes too late finds it closed, so nobody waits for a thread that sleeps.
    const Job* job_ = nullptr;
    std::atomic<std::int64_t> next_{0};  // the first row, column, … that nobody has taken
    alignas(64) std::atomic<std::uint32_t> round_{0};
    alignas(64) std::atomic<std::uint32_t> state_{0};  // kOpen + helpers inside
    std::atomic<bool> stop_{false};
    std::mutex failure_mutex_;
    std::exception_ptr failure_;
    std::vector<std::thread> helpers_;  // last: they use the rest
};

// Shares of element-wise and row-wise kernels: some ten microseconds of work each, a few times what it
// takes to tell a helper.
inline constexpr std::int64_t kShareElements = 1 << 14;

inline constexpr std::int64_t kRowShare = 16;  // of a loss, whose rows are summed

template <class Work>
void divide_elements(Team& team, std::int64_t elements, const Work& work) {
    team.divide(elements, kShareElements, work);
}
template <class Work>
void divide_rows(Team& team, std::int64_t rows, std::int64_t width, const Work& work) {
    const std::int64_t grain =
        width < kShareElements ? kShareElements / (width > 0 ? width : 1) : 1;
    team.divide(rows, grain, work);
}

// Σ part(share) over shares of at least `grain`, few enough for their sums to be kept, added in order.
template <class Part>
double sum_of_shares(Team& team, std::int64_t count, std::int64_t grain, const Part& part) {
    constexpr std::int64_t kMostShares = 512;
    const std::int64_t least = (count + kMostShares - 1) / kMostShares;
    const std::int64_t width = least > grain ? least : grain;
    double sums[kMostShares];
    team.divide(count, width, [&](const Share& share) { sums[share.first / width] = part(share); });
    double sum = 0;
    for (std::int64_t i = 0; i * width < count; ++i) sum += sums[i];
    return sum;
}

}  // namespace shardscope::cpu
