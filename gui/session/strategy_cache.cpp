#include "gui/session/strategy_cache.h"

#include <algorithm>
#include <utility>

namespace shardscope::gui {
namespace {

// More than a scenario may have, and that undo soon comes back to.
constexpr std::size_t kMostEntries = 2000;

// What is simulated: neither names nor where something was read change it.
bool same_question(const Scenario& a, const Scenario& b) {
    return a.model == b.model && a.data == b.data && a.training == b.training &&
           a.cluster == b.cluster;
}

bool same_strategy(const Strategy& a, Strategy b) {
    b.name = a.name;
    return a == b;
}

}  // namespace

void StrategyCache::begin(const Scenario& scenario) {
    if (begun_ && same_question(question_, scenario)) return;
    if (!begun_ || question_.model != scenario.model) model_ = nullptr;
    question_ = scenario;
    question_.strategies.clear();
    begun_ = true;
    entries_.clear();
    detailed_.reset();
    detail_ = nullptr;
}

std::shared_ptr<const Model> StrategyCache::model() {
    if (!model_) model_ = std::make_shared<const Model>(build_model(question_.model));
    return model_;
}

const StrategyReport* StrategyCache::report(const Strategy& strategy) const {
    // An error names the strategy, or the place where it stands.
    const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
        const Strategy& known = entry.strategy;
        return same_strategy(known, strategy) &&
               (!entry.report.error ||
                (known.name == strategy.name && known.place == strategy.place));
    });
    return found == entries_.end() ? nullptr : &found->report;
}

void StrategyCache::add(const Strategy& strategy, StrategyReport report) {
    if (entries_.size() == kMostEntries) entries_.erase(entries_.begin());
    entries_.push_back({strategy, std::move(report)});
}

std::shared_ptr<const StepDetail> StrategyCache::detail(const Strategy& strategy) const {
    return detailed_ && same_strategy(*detailed_, strategy) ? detail_ : nullptr;
}

void StrategyCache::set_detail(const Strategy& strategy, std::shared_ptr<const StepDetail> detail) {
    detailed_ = strategy;
    detail_ = std::move(detail);
}

}  // namespace shardscope::gui
