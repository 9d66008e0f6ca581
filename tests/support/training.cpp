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

// See Trained; a norm of the heads behind the bias makes it count again.
void clear_undetermined(const Model& model, Tensors& tensors) {
    for (const Layer& layer : model.layers) {
        const auto* b = std::get_if<BlockLayer>(&layer.kind);
        if (b == nullptr || !b->qkv.bias.valid() || b->head_norm.key.valid()) continue;
        auto& bias = tensors[model.parameters[b->qkv.bias.index()].name];
        for (std::int64_t h = b->heads; h < b->heads + b->kv_heads && !bias.empty(); ++h)
            for (std::int64_t i = b->rotary_dim; i < b->head_dim; ++i)
                bias[static_cast<std::size_t>(h * b->head_dim + i)] = 0;
    }
}

// Squared difference and reference.
void accumulate(const std::vector<double>& a, const std::vector<double>& b, double& difference,
                double& reference) {
    for (std::size_t i = 0; i < b.size(); ++i) {
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
    const auto run = [&](const Plan& plan, const Inspect& inspect) {
        CpuRunnerOptions options;
        options.inspect = inspect;
        return CpuRunner(options).run(scenario, plan, {});
    };
    return train_with(run, scenario, tampering);
}

MemoryUse memory_of_second_run(const Scenario& scenario) {
    const Plan plan = lower_tiny(scenario);
    CpuRunner().run(scenario, plan, {});
    return CpuRunner().run(scenario, plan, {}).ranks.front().memory;
}

Trained train_with(const RunPlan& run, const Scenario& scenario, const Tampering& tampering) {
    Plan plan = lower_tiny(scenario);
    if (tampering.plan) tampering.plan(plan);
    Trained result;
    // The maps exist before ranks write to them at the same time.
    for (std::int64_t step : {0, 1}) result.gradients[step];
    Collector collector(plan);
    const auto inspect = [&](int rank, std::int64_t step, const RankState& state) {
        if (step <= 1)
            collector.take(ShardSlice::Tensor::gradient, state, result.gradients.at(step));
        if (tampering.state) tampering.state(rank, step, state);
        if (step + 1 == scenario.training.steps)
            collector.take(ShardSlice::Tensor::parameter, state, result.parameters);
    };
    result.trace = run(plan, inspect);
    for (auto& [step, gradients] : result.gradients) clear_undetermined(*plan.model, gradients);
    clear_undetermined(*plan.model, result.parameters);
    result.replicas_agree = collector.agree();
    return result;
}

Difference compare(const Tensors& a, const Tensors& b) {
    Difference result;
    double difference = 0, reference = 0;
    for (const auto& [name, expected] : b) {
        double d = 0, r = 0;
        accumulate(a.at(name), expected, d, r);
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
