// The options of `simulate` for steps in which ranks do not all run alike.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "core/report/step_variation.h"
#include "core/scenario.h"

namespace shardscope {

struct VariationArguments {
    Disturbance disturbance;
    std::optional<int> steps;  // empty: usual_disturbed_steps

    // What the options say of them goes to `disturbance`; its seed is the caller's.
    void add_to(CLI::App& app);
    bool asked() const { return disturbance.any(); }
    // Throws Error "straggler" for a rank that no strategy of the scenario has, before any of them is simulated.
    // Strategies that are refused anyway do not count.
    void check_ranks(const Scenario& scenario) const;

private:
    void add_straggler(const std::string& word);
    void refuse_without_effect(const CLI::App& app) const;
};

}  // namespace shardscope
