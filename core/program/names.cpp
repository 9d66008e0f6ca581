// The words that reports, traces and printed programs use.
#include "core/program/program.h"

namespace shardscope {

std::string_view stream_name(Stream stream) {
    switch (stream) {
        case Stream::compute:
            return "compute";
        case Stream::gather:
            return "gather";
        case Stream::reduce:
            return "reduce";
        case Stream::activations_in:
            return "fwd-in";
        case Stream::activations_out:
            return "fwd-out";
        case Stream::gradients_in:
            return "bwd-in";
        case Stream::gradients_out:
            return "bwd-out";
        case Stream::context:
            return "context";
        case Stream::tensor:
            return "tensor";
        case Stream::experts:
            return "experts";
        case Stream::to_host:
            return "to-host";
        case Stream::to_device:
            return "to-device";
        case Stream::host:
            return "host";
        case Stream::nvme_read:
            return "nvme-read";
        case Stream::nvme_write:
            return "nvme-write";
    }
    return "unknown";
}

std::string_view tier_name(Tier tier) {
    switch (tier) {
        case Tier::device:
            return "device";
        case Tier::host:
            return "host";
        case Tier::nvme:
            return "nvme";
    }
    return "unknown";
}

std::string_view phase_name(Phase phase) {
    switch (phase) {
        case Phase::load:
            return "load";
        case Phase::forward:
            return "forward";
        case Phase::recompute:
            return "recompute";
        case Phase::backward:
            return "backward";
        case Phase::optimizer:
            return "optimizer";
    }
    return "unknown";
}

std::string_view collective_name(CollectiveKind kind) {
    switch (kind) {
        case CollectiveKind::all_reduce:
            return "all_reduce";
        case CollectiveKind::reduce_scatter:
            return "reduce_scatter";
        case CollectiveKind::all_gather:
            return "all_gather";
        case CollectiveKind::all_to_all:
            return "all_to_all";
        case CollectiveKind::dispatch:
            return "dispatch";
        case CollectiveKind::combine:
            return "combine";
    }
    return "unknown";
}

std::string_view category_name(Category category) {
    switch (category) {
        case Category::parameters:
            return "parameters";
        case Category::gradients:
            return "gradients";
        case Category::optimizer_states:
            return "optimizer_states";
        case Category::activations:
            return "activations";
        case Category::communication:
            return "communication";
        case Category::workspace:
            return "workspace";
        case Category::runtime:
            return "runtime";
    }
    return "unknown";
}

}  // namespace shardscope
