// The options of `simulate` for steps in which ranks do not all run alike.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "core/report/step_variation.h"

namespace shardscope {

struct VariationArguments {
    Disturbance disturbance;
    std::optional<int> steps;  // empty: usual_disturbed_steps

    // What the options say of them goes to `disturbance`; its seed is the caller's.
    void add_to(CLI::App& app);
    bool asked() const { return disturbance.any(); }

private:
    void add_straggler(const std::string& word);
};

}  // namespace shardscope
