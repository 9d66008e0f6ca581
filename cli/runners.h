// The composition root: which backends this build has.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backends/process/message_link.h"
#include "core/runner.h"

namespace shardscope {

struct Backend {
    std::string_view name;
    std::string_view description;
    std::string_view missing;  // why it is not there; empty: it is
    // Null when missing: ranks in this process, and this process as one rank of the link's.
    std::unique_ptr<Runner> (*make)();
    std::unique_ptr<Runner> (*make_process)(MessageLink& link);
};

std::span<const Backend> backends();

// Throws Error "usage" (exit code 2) with the nearest name where there is no such backend at all.
const Backend& find_backend(const std::string& name);

// Throws Error "backend-missing" (run_failed) where this build or machine lacks it.
// `link`: of the processes that run the ranks; null: this one runs all.
std::unique_ptr<Runner> make_runner(const Backend& backend, MessageLink* link);

std::unique_ptr<Runner> make_simulator();

}  // namespace shardscope
