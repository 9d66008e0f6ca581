// What has been simulated for one model, training and cluster, by the strategies' values. For one thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "gui/models/evaluation.h"

namespace shardscope::gui {

class StrategyCache {
public:
    // Forgets all if the scenario asks another question than the last, whatever its strategies.
    void begin(const Scenario& scenario);
    // The scenario's, built once. Throws what build_model throws.
    std::shared_ptr<const Model> model();

    // Null: not known. The name in it may be another one's. Valid until the next `add` or `begin`.
    const StrategyReport* report(const Strategy& strategy) const;
    void add(const Strategy& strategy, StrategyReport report);

    // Of one strategy, the last that was set.
    std::shared_ptr<const StepDetail> detail(const Strategy& strategy) const;
    void set_detail(const Strategy& strategy, std::shared_ptr<const StepDetail> detail);

private:
    struct Entry {
        Strategy strategy;
        StrategyReport report;
    };

    Scenario question_;  // without strategies
    bool begun_ = false;
    std::shared_ptr<const Model> model_;
    std::vector<Entry> entries_;
    std::optional<Strategy> detailed_;
    std::shared_ptr<const StepDetail> detail_;
};

}  // namespace shardscope::gui
