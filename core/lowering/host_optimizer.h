// Pass "optimizer" where the host steps: ZeRO-Offload (Ren et al. 2021, section 4), and ZeRO-Infinity's reading
// and writing of states on NVMe around it (Rajbhandari et al. 2021, 5.1.2 and 6.2).
#pragma once

#include <array>

#include "core/lowering/context.h"
#include "core/lowering/parameters.h"

namespace shardscope {

// Steps unit after unit on the host's processors, with gradients that are there already. What lies on NVMe is
// read before and written back after, and updated 16-bit parameters go to the device, through two sets of
// buffers in the host's memory, each as large as the largest unit's share: while one unit is stepped, the
// next one's states come and the last one's leave.
class HostOptimizer {
public:
    // Begins in the optimizer's body: the host waits for what the compute stream has waited for.
    HostOptimizer(LoweringContext& context, ParameterBuffers& parameters);

    // The host waits for the sum of squares that the device holds.
    void take_norm(BufferId on_device);
    // Returns when the rank's own part of the parameters is on the device; invalid where they lie elsewhere.
    EventId step(UnitId unit);
    // The compute stream waits for everything.
    void finish();

private:
    // What the two sets hold.
    enum What { updated, master, state1, state2 };
    static constexpr std::size_t kWhats = 4, kSets = 2;
    struct Set {
        std::array<BufferId, kWhats> buffers;  // made at first use
        EventId written, sent;  // what it held last is on NVMe, and on the device; invalid: nothing
    };

    bool on_nvme(BufferId buffer) const;
    Operand staging(Set& set, What what, DType type);
    Operand at_hand(Set& set, What what, BufferId buffer, DType type, std::int64_t elements);
    void write_back(Set& set, What what, BufferId buffer, DType type, std::int64_t elements,
                    EventId stepped);

    LoweringContext& context_;
    ParameterBuffers& parameters_;
    BufferId norm_;  // invalid: not clipped
    EventId start_;
    std::int64_t largest_ = 0;  // elements of a unit's share
    std::array<Set, kSets> sets_;
    EventId written_, sent_;  // the last ones
};

}  // namespace shardscope
