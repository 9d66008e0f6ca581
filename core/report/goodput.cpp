#include "core/report/goodput.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/model/initialize.h"
#include "core/percentile.h"

namespace shardscope {
namespace {

constexpr double kMostFailures = 1e7;  // of all simulated runs together: about a second

// The run's segments: all but the last one are `full` seconds long, its checkpoint included.
struct RunSegments {
    double full = 0, last = 0;  // seconds
    std::int64_t count = 1;

    RunSegments(Seconds work, const FailureModel& model) {
        const double parts = std::max(1.0, std::ceil(work / model.interval - 1e-9));
        count = static_cast<std::int64_t>(std::min(parts, 9e15));
        full = (model.interval + model.write).value;
        last = work.value - (parts - 1) * model.interval.value + model.write.value;
    }
};

class FailureDraws {
public:
    FailureDraws(std::uint64_t seed, int run)
        : philox_{stream_key(seed, "failures")}, run_(static_cast<std::uint64_t>(run)) {}

    // Exponential with mean 1.
    double next() {
        std::uint32_t words[4];
        philox_(draw_++, run_, words);
        const std::uint64_t bits = (std::uint64_t{words[0]} << 32 | words[1]) >> 11;
        return -std::log1p(-static_cast<double>(bits) * 0x1p-53);
    }

private:
    Philox philox_;
    std::uint64_t run_, draw_ = 0;
};

double simulated_run(const RunSegments& segments, const FailureModel& model, FailureDraws draws) {
    double time = 0, restart = 0;  // seconds; the first start is no restart
    std::int64_t done = 0;
    for (;;) {
        const double gap = draws.next() * model.mtbf.value;  // until the next failure
        const double full = static_cast<double>(segments.count - 1 - done) * segments.full;
        const double left = restart + full + segments.last;
        if (gap >= left) return time + left;
        time += gap;
        const double finished = std::floor(std::max(0.0, gap - restart) / segments.full);
        done += std::min(static_cast<std::int64_t>(finished), segments.count - 1 - done);
        restart = model.restart.value;
    }
}

}  // namespace

Seconds best_checkpoint_interval(Seconds write, Seconds mtbf) {
    const double part = write.value / (2 * mtbf.value);
    if (part >= 1) return mtbf;
    const double young = std::sqrt(2 * write.value * mtbf.value);
    return Seconds(young * (1 + std::sqrt(part) / 3 + part / 9)) - write;
}

Seconds expected_run_time(Seconds work, const FailureModel& model) {
    const RunSegments segments(work, model);
    const double mtbf = model.mtbf.value;
    const double attempts =
        static_cast<double>(segments.count - 1) * std::expm1(segments.full / mtbf) +
        std::expm1(segments.last / mtbf);
    const double time = mtbf * std::exp(model.restart.value / mtbf) * attempts;
    const double undisturbed =
        static_cast<double>(segments.count - 1) * segments.full + segments.last;
    const bool ends = time <= kMostSlowdown * undisturbed;  // else too where it is no number
    return Seconds(ends ? time : std::numeric_limits<double>::infinity());
}

void simulate_failures(Seconds work, const FailureModel& model, std::uint64_t seed, int runs,
                       Goodput& goodput) {
    const double failures = expected_run_time(work, model) / model.mtbf;
    if (!(failures * runs < kMostFailures) || runs < 2) return;
    const RunSegments segments(work, model);
    std::vector<double> times;
    for (int run = 0; run < runs; ++run)
        times.push_back(simulated_run(segments, model, FailureDraws(seed, run)));
    std::ranges::sort(times);
    const double count = runs;
    const double mean = std::accumulate(times.begin(), times.end(), 0.0) / count;
    double squares = 0;
    for (const double time : times) squares += (time - mean) * (time - mean);
    goodput.runs = runs;
    goodput.mean = Seconds(mean);
    goodput.standard_error = Seconds(std::sqrt(squares / (count - 1) / count));
    goodput.p5 = Seconds(percentile(times, 0.05));
    goodput.p50 = Seconds(percentile(times, 0.5));
    goodput.p95 = Seconds(percentile(times, 0.95));
}

}  // namespace shardscope
