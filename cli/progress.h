// How far long work has come, on standard error: redrawn in place on a terminal, else only the lines
// that mark the end of something.
#pragma once

#include <chrono>
#include <string>

#include "cli/environment.h"

namespace shardscope {

class Progress {
public:
    explicit Progress(const Environment& environment) : environment_(environment) {}
    ~Progress() { clear(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // The state of the work, drawn at most ten times a second and only on a terminal.
    void update(const std::string& text);
    // Something done: stays on the screen and in logs.
    void done(const std::string& text);

private:
    void clear();

    const Environment& environment_;
    std::chrono::steady_clock::time_point drawn_{};
    bool visible_ = false;
};

}  // namespace shardscope
