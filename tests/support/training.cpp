#include "tests/support/training.h"

#include <cmath>
#include <limits>
#include <mutex>

namespace shardscope::test {
namespace {

// Collects slices of ranks that report at the same time.
class Collector {
public:
    explicit Collector(const Plan& plan) : plan_(plan) {}

    void take(ShardSlice::Tensor tensor, const RankState& state, Tensors& into) {
        for (const ShardSlice& slice : state.slices()) {
            if (slice.tensor != tensor) continue;
            const std::vector<double> values = state.read(slice);
            const std::lock_guard lock(mutex_);
            merge(slice, values, into);
        }
    }

    bool agree() const { return agree_; }

private:
    void merge(const ShardSlice& slice, const std::vector<double>& values, Tensors& into) {
        const Parameter& parameter = plan_.model->parameters[slice.parameter.index()];
        auto& whole = into[parameter.name];
        if (whole.empty())
            whole.assign(static_cast<std::size_t>(parameter.elements()),
                         std::numeric_limits<double>::quiet_NaN());
        for (std::size_t i = 0; i < values.size(); ++i) {
            double& element = whole[static_cast<std::size_t>(slice.global_first) + i];
            if (!std::isnan(element) && element != values[i]) agree_ = false;
            element = values[i];
        }
    }

    const Plan& plan_;
    std::mutex mutex_;
    bool agree_ = true;
};

// Squared difference and reference, without the key third of an attention bias. Query, key and value
// parts are only equally long without grouped-query attention, which is how biased models are here.
void accumulate(const std::string& name, const std::vector<double>& a, const std::vector<double>& b,
                double& difference, double& reference) {
    const bool biased = name.find("qkv.bias") != std::string::npos;
    const std::size_t third = b.size() / 3;
    for (std::size_t i = 0; i < b.size(); ++i) {
        if (biased && i >= third && i < 2 * third) continue;
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        reference += b[i] * b[i];
    }
}

double relative(double difference, double reference) {
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    return difference == 0 ? 0 : std::sqrt(difference / reference);
}

}  // namespace

Trained train(const Scenario& scenario, const Tampering& tampering) {
    Plan plan = lower_tiny(scenario);
    if (tampering.plan) tampering.plan(plan);
    Trained result;
    // The maps exist before ranks write to them at the same time.
    for (std::int64_t step : {0, 1}) result.gradients[step];
    Collector collector(plan);
    CpuRunnerOptions options;
    options.inspect = [&](int rank, std::int64_t step, const RankState& state) {
        if (step <= 1)
            collector.take(ShardSlice::Tensor::gradient, state, result.gradients.at(step));
        if (tampering.state) tampering.state(rank, step, state);
        if (step + 1 == scenario.training.steps)
            collector.take(ShardSlice::Tensor::parameter, state, result.parameters);
    };
    result.trace = CpuRunner(options).run(scenario, plan, {});
    result.replicas_agree = collector.agree();
    return result;
}

Difference compare(const Tensors& a, const Tensors& b) {
    Difference result;
    double difference = 0, reference = 0;
    for (const auto& [name, expected] : b) {
        double d = 0, r = 0;
        accumulate(name, a.at(name), expected, d, r);
        difference += d;
        reference += r;
        if (relative(d, r) > result.worst) {
            result.worst = relative(d, r);
            result.worst_name = name;
        }
    }
    result.whole = relative(difference, reference);
    return result;
}

}  // namespace shardscope::test
