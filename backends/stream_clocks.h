// Which instructions of which streams are known to be over, by stream order and events alone.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "core/program/instruction.h"

namespace shardscope {

// Vector clocks over the streams of one rank: position[s] counts the instructions issued on s; what a
// stream knows of another advances when it waits for an event that the other recorded, or that
// somebody recorded who knew.
class StreamClocks {
public:
    using Position = std::int64_t;

    explicit StreamClocks(int events) : recorded_(static_cast<std::size_t>(events)) {}

    // Counts an instruction on its stream and returns its position there.
    Position issue(const Instruction& instruction) {
        Clock& clock = known_[index(instruction.stream)];
        const Position position = ++clock[index(instruction.stream)];
        if (const auto* record = std::get_if<RecordEvent>(&instruction.operation))
            recorded_[record->event.index()] = clock;
        if (const auto* wait = std::get_if<WaitEvent>(&instruction.operation)) {
            const Clock& seen = recorded_[wait->event.index()];
            for (std::size_t s = 0; s < kStreams; ++s) clock[s] = std::max(clock[s], seen[s]);
        }
        return position;
    }

    // The last position of `stream` that is over before the next instruction of `by` starts.
    Position known(Stream by, Stream stream) const { return known_[index(by)][index(stream)]; }

    static std::size_t index(Stream stream) { return static_cast<std::size_t>(stream); }

private:
    using Clock = std::array<Position, kStreams>;
    std::array<Clock, kStreams> known_{};  // a stream's own entry is its position
    std::vector<Clock> recorded_;          // per event, as of its latest recording
};

}  // namespace shardscope
