#include "simulator/kernel_progress.h"

#include <algorithm>

namespace shardscope {

void KernelProgress::begin(std::span<const Kernel> kernels, double issue, double host_cost,
                           double at) {
    kernels_ = kernels;
    issue_ = issue;
    host_cost_ = host_cost;
    current_ = 0;
    left_ = kernels.front().seconds;
    at_ = at;
    busy_ = 0;
}

double KernelProgress::start_of(std::size_t kernel, double behind) const {
    return std::max(behind, issue_ + kernels_[kernel].offset * host_cost_);
}

void KernelProgress::advance(double now, double pace) {
    while (current_ < kernels_.size()) {
        const double start = start_of(current_, at_);
        if (start >= now) return;
        const double part = std::min(left_, (now - start) * pace);
        busy_ += part / pace;
        at_ = start + part / pace;
        left_ -= part;
        if (left_ > 0) return;
        if (++current_ < kernels_.size()) left_ = kernels_[current_].seconds;
    }
}

KernelProgress::End KernelProgress::end(double pace) const {
    End end{at_, busy_};
    double left = left_;
    for (std::size_t kernel = current_; kernel < kernels_.size(); ++kernel) {
        if (kernel > current_) left = kernels_[kernel].seconds;
        end.at = start_of(kernel, end.at) + left / pace;
        end.busy += left / pace;
    }
    return end;
}

}  // namespace shardscope
