// How far long work has come, on standard error of a terminal, redrawn in place. Where it is no
// terminal, only notes are printed.
#pragma once

#include <chrono>
#include <string>

#include "cli/environment.h"
#include "core/units.h"

namespace shardscope {

// "12 s", "3 min 20 s", "2 h 5 min".
std::string duration_text(Seconds time);

// What is left of a work of which `fraction` (0 … 1) took `elapsed`: "12 s left"; empty while too
// little is done to tell.
std::string remaining_text(Seconds elapsed, double fraction);

class Progress {
public:
    explicit Progress(const Environment& environment) : environment_(environment) {}
    ~Progress() { clear(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // The state of the work, drawn at most ten times a second and only on a terminal.
    void update(const std::string& text);
    // Something done: stays on the screen.
    void done(const std::string& text);
    // What must be known wherever standard error goes.
    void note(const std::string& text);

private:
    void clear();

    const Environment& environment_;
    std::chrono::steady_clock::time_point drawn_{};
    bool visible_ = false;
};

}  // namespace shardscope
