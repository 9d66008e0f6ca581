// How much memory this process takes beside its arenas, seen from outside: by the C library's heap
// and by the kernel, neither of which knows the plan.
#pragma once

#include <string>

#include "core/units.h"

namespace shardscope {

// Three views of one process; growth is the largest of the three. Call from one thread, while the
// ranks are at rest:
//   start()        before the first step, arenas allocated and resident;
//   sample()       after every step: heap in use (mallinfo2) and writable private mappings (VmData).
//                  The first sample also starts the third view, peak resident memory (VmHWM), which
//                  sees what kernels take and give back within a step; it starts after the warm-up,
//                  because code pages become resident then.
// Under sanitizers, whose allocators these views do not show, growth is 0 and note() says so.
class MemoryProbe {
public:
    void start();
    void sample();

    Bytes growth() const { return growth_; }  // beyond start(); never negative
    static std::string note();                // empty when growth means something

private:
    Bytes heap_, mapped_, resident_;  // where each view started
    bool warm_ = false;
    Bytes growth_;
};

}  // namespace shardscope
