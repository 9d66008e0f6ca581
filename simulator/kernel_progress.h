// Kernels of one stream, one after the other, at a pace that changes while they run.
//
// Kernel k starts when the one before it has ended and the host has issued it, and takes its seconds
// over the pace of the moment. Whether they are one operation or several makes no difference.
#pragma once

#include <cstdint>
#include <span>

namespace shardscope {

class KernelProgress {
public:
    struct Kernel {
        double seconds = 0;       // at full pace
        std::int32_t offset = 0;  // launches behind the first
    };

    // The first is issued at `issue`, launches follow every `host_cost` seconds; the stream is
    // free from `at` on. `kernels` must outlive the use.
    void begin(std::span<const Kernel> kernels, double issue, double host_cost, double at);
    // What has been done until `now`, at this pace.
    void advance(double now, double pace);
    // When the last one ends at this pace from now on, and how long the device is busy with all.
    struct End {
        double at = 0, busy = 0;  // seconds
    };
    End end(double pace) const;

private:
    double start_of(std::size_t kernel, double behind) const;

    std::span<const Kernel> kernels_;
    double issue_ = 0, host_cost_ = 0;
    std::size_t current_ = 0;
    double left_ = 0;           // of the current one, at full pace
    double at_ = 0, busy_ = 0;  // when that held; seconds that the device was busy before
};

}  // namespace shardscope
