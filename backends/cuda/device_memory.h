// What a process takes of a GPU's memory, by what the driver says is free.
#pragma once

#include <optional>

#include "core/units.h"

namespace shardscope::cuda {

// Of the current device, used by this process and all others together.
Bytes used_device_memory();

// Of device `device`, without making a context there, which would itself take memory; nothing without NVML.
std::optional<Bytes> free_device_memory(int device);

// What the driver (NVML, opened here) says this process has on the current device; nothing where the library
// is missing or does not see the process, as in some containers.
std::optional<Bytes> memory_of_this_process();

// Device memory that a rank has taken, stage by stage, as differences of what is in use on the whole device:
// they mean something where nobody else uses it.
class DeviceMemoryStages {
public:
    // Makes the device current, with a context. Throws Error{run_failed, "cuda"}.
    explicit DeviceMemoryStages(int device);

    // What came since the last stage, or since the context was made.
    Bytes since();

    // Of the driver's context, and of code that earlier runs of this process left there. Without NVML it is
    // not known, because nothing else looks at a device without having a context there; nor where this
    // process had one before and NVML does not tell processes apart.
    std::optional<Bytes> context() const { return context_; }

private:
    std::optional<Bytes> context_;
    Bytes used_;
};

}  // namespace shardscope::cuda
