// How far each stream of a rank has come, for when one of them does not go on.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "backends/cuda/device/handles.h"
#include "backends/cuda/kernels/launch.h"
#include "core/program/program.h"

namespace shardscope::cuda {

// A word per stream in pinned memory, which the device writes and the host may read at any time. Marks are
// set before collectives and transfers, which can wait for other ranks, and before runs of kernels.
class ProgressMarks {
public:
    // `role` must outlive it.
    explicit ProgressMarks(const RoleProgram& role);

    // Queues the mark of an operation of the role; `operation` is a part of one of its instructions.
    void set(Stream stream, const void* operation, const LaunchContext& context);

    // All words; they change as long as anything goes on.
    std::array<std::int32_t, kStreams> words() const;

    // "backward, all_reduce of layer 3"; what the stream came to last.
    std::string where(Stream stream) const;

private:
    const RoleProgram& role_;
    std::unordered_map<const void*, std::int32_t> codes_;  // from 1, in program order
    PinnedMemory words_;
    std::int32_t* word(Stream stream) const;
};

}  // namespace shardscope::cuda
