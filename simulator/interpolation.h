// Interpolation between measured times: curves over one quantity, and rates over matrix shapes.
#pragma once

#include <cstdint>
#include <vector>

namespace shardscope {

// Seconds over an amount of work (bytes or FLOPs), piecewise linear in log(work), log(time).
// Below the first point time shrinks in proportion to work, beyond the last it grows in proportion.
// Times are made non-decreasing, so that noise in the samples never makes less work take longer.
class TimeCurve {
public:
    struct Point {
        double work = 0, seconds = 0;
    };
    TimeCurve() = default;
    // Points in any order; several at the same work count as their mean.
    explicit TimeCurve(std::vector<Point> points);
    bool empty() const { return points_.empty(); }
    double seconds(double work) const;
    // As seconds(), but never below the first point: for work whose latency does not shrink.
    double seconds_at_least_first(double work) const;

private:
    std::vector<Point> points_;  // ascending in work, holding logarithms
};

// The FLOP rate of C[m,n] = A[m,k]·B[k,n] between measured shapes: Shepard's inverse-distance
// weighting, w = 1/d², of log(rate) over the kNearest samples in (log m, log n, log k). D. Shepard,
// "A two-dimensional interpolation function for irregularly-spaced data", 1968.
class MatmulRates {
public:
    static constexpr std::size_t kNearest = 6;
    void add(double m, double n, double k, double rate);
    bool empty() const { return samples_.empty(); }
    double rate(double m, double n, double k) const;

private:
    struct Sample {
        double log_m = 0, log_n = 0, log_k = 0, log_rate = 0;
    };
    std::vector<Sample> samples_;
};

}  // namespace shardscope
