#include "cli/measure_clock.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <time.h>

namespace shardscope {
namespace {

// Reading the thread's clock takes a system call of some 0.3 µs.
constexpr Seconds kShortestTiming{30e-6};

Seconds time_of_calls(const std::function<void()>& call, int times) {
    const Seconds start = thread_time();
    for (int i = 0; i < times; ++i) call();
    return thread_time() - start;
}

}  // namespace

Seconds thread_time() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return Seconds(static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec));
}

Seconds median_time(const std::function<void()>& call, const Repeats& repeats) {
    const auto deadline = std::chrono::steady_clock::now() +
                          std::chrono::duration<double>(kPatience * repeats.budget.value);
    call();
    const Seconds start = thread_time();
    int batch = 1;
    Seconds first = time_of_calls(call, batch);
    while (first < kShortestTiming && batch < (1 << 20)) first = time_of_calls(call, batch *= 2);
    std::vector<double> times{first.value / batch};
    const auto unfinished = [&] {
        if (std::chrono::steady_clock::now() > deadline) return false;
        return std::ssize(times) < repeats.least || thread_time() - start < repeats.budget;
    };
    while (unfinished()) times.push_back(time_of_calls(call, batch).value / batch);
    return Seconds(quantile(std::move(times), 0.5));
}

double quantile(std::vector<double> values, double q) {
    const auto at =
        static_cast<std::size_t>(std::floor(q * static_cast<double>(values.size() - 1) + 0.5));
    const auto nth = values.begin() + static_cast<std::ptrdiff_t>(at);
    std::nth_element(values.begin(), nth, values.end());
    return *nth;
}

}  // namespace shardscope
