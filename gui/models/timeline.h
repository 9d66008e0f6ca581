// The spans of one step for drawing: lanes, what every pixel of them shows, and exact totals of a range.
//
// A frame costs O(pixels · log spans) whatever the number of spans: running totals per kind are kept for
// every few spans of a lane, so that the time spent on anything up to any moment is a look-up. Times are
// whole nanoseconds from the step's start, so that totals are exact. Immutable; may be shared between
// threads. About 26 bytes per span beside the trace's own.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/lowering/plan.h"
#include "core/report/trace.h"
#include "gui/models/palette.h"

namespace shardscope::gui {

// In nanoseconds from the step's start.
struct TimeRange {
    std::int64_t start = 0, end = 0;
    std::int64_t duration() const { return end - start; }
    bool empty() const { return end <= start; }
    bool operator==(const TimeRange&) const = default;
};

// What a span of a lane is. Waits for other pipeline stages are no spans here: they are the bubble.
enum class SpanKind : std::uint8_t {
    forward,  // loading the batch included
    recompute,
    backward,
    optimizer,
    tensor_collective,  // over tensor-parallel groups
    transfer,           // between pipeline stages
    data_collective,    // over data-parallel groups: gradients, ZeRO
    expert_exchange,    // tokens to the ranks of their experts and back
    context_exchange,   // keys and values between context-parallel ranks
    offload_copy,       // between device, host and NVMe
    wait,  // the compute stream stands still for communication of another stream; not drawn
};
constexpr std::size_t kSpanKinds = 11;
std::string_view span_kind_name(SpanKind kind);  // "forward", "TP collective", …

// Memory categories' colours where the two belong together (forward makes activations, backward
// gradients, the optimizer works on its states), pinks and violets for communication, brown for copies that leave
// no device. `wait` is not drawn.
constexpr Rgb span_kind_colour(SpanKind kind) {
    constexpr std::array<Rgb, kSpanKinds> colours{0x009E73, 0x0072B2, 0x56B4E9, 0xE69F00,
                                                  0xCC79A7, 0xE6B8D2, 0x8F3A6C, 0x5B3A8F,
                                                  0xB39DDB, 0x8C6D46, 0x000000};
    return colours[static_cast<std::size_t>(kind)];
}

// One stream of one rank.
struct TimelineLane {
    std::size_t rank = 0;  // index in Trace::ranks
    std::size_t role = 0;  // index in Program::roles
    Stream stream = Stream::compute;
    bool compute() const { return stream == Stream::compute; }
};

// A body that a compute lane runs for one micro-batch, from its first kernel to its last; without
// kernels at its beginning that are followed by a pause longer than they take.
struct TimelineTask {
    std::int64_t start = 0, end = 0;
    std::int32_t micro_batch = 0;
    BodyId body;
    SpanKind kind = SpanKind::forward;  // forward, backward or optimizer
};

// What one pixel column of a lane shows.
struct TimelineColumn {
    SpanKind kind = SpanKind::forward;  // of which there is the most; the first of equals
    std::int64_t busy = 0;              // time of all kinds but `wait`; 0: nothing
};

// Of some lanes in [start, end): Σ kinds.total + idle = (end − start) · lanes, exactly.
struct RangeTotals {
    struct Kind {
        std::int64_t total = 0;    // within the range
        std::int64_t count = 0;    // spans that reach into it
        std::int64_t longest = 0;  // the longest of them, within the range
        double mean() const {
            return count > 0 ? static_cast<double>(total) / static_cast<double>(count) : 0;
        }
    };
    std::array<Kind, kSpanKinds> kinds{};
    std::int64_t idle = 0;  // compute lanes: the bubble
    std::int64_t duration = 0;
    std::int64_t lanes = 0;
    double share(SpanKind kind) const;  // of duration · lanes
    double idle_share() const;
};

class Timeline {
public:
    // Keeps no reference. `trace` is one of the plan's, with spans.
    // A transfer between stages begins when both ends have come to it, if both are in the trace: until
    // then its stream is idle.
    Timeline(const Plan& plan, const Trace& trace);

    std::int64_t end() const { return end_; }  // the step's wall time
    std::size_t events() const { return events_; }
    // By rank of the trace, its compute lane first; only streams that did something.
    const std::vector<TimelineLane>& lanes() const { return lanes_; }
    const std::vector<TimelineTask>& tasks(
        std::size_t lane) const;  // in order; communication: none

    // Fills `columns`: the i-th is [bound(i), bound(i + 1)), bound(i) = start + i·(end − start)/size.
    void columns(std::size_t lane, std::int64_t start, std::int64_t end,
                 std::span<TimelineColumn> columns) const;
    // The spans of a lane that reach into [start, end), as indices for the functions below.
    struct Range {
        std::size_t first = 0, last = 0;  // [first, last)
        std::size_t size() const { return last - first; }
    };
    Range spans(std::size_t lane, std::int64_t start, std::int64_t end) const;
    struct Item {
        std::int64_t start = 0, end = 0;
        SpanKind kind = SpanKind::forward;
        std::size_t span = 0;  // index in RankTrace::spans of the lane's rank
    };
    Item item(std::size_t lane, std::size_t index) const;
    // The index of the span at a moment or, where there is none, of the nearest one at most `reach` away.
    // Waits are not drawn and not hit.
    std::optional<std::size_t> hit(std::size_t lane, std::int64_t time, std::int64_t reach) const;

    RangeTotals totals(std::span<const std::size_t> lanes, std::int64_t start,
                       std::int64_t end) const;

private:
    static constexpr std::size_t kBlock = 32;  // spans between two running totals
    using Sums = std::array<std::int64_t, kSpanKinds>;
    struct Block {
        Sums total{};                                    // of all spans before the block
        std::array<std::uint32_t, kSpanKinds> count{};   // the same
        std::array<std::int64_t, kSpanKinds> longest{};  // among the block's own
    };
    struct Spans {
        std::vector<std::int64_t> start, end;
        std::vector<std::uint32_t> source;  // index in RankTrace::spans
        std::vector<SpanKind> kind;
        std::vector<Block> blocks;  // and one past the end
        std::vector<TimelineTask> tasks;
    };
    struct Meeting;
    static std::vector<Meeting> meetings(const Plan& plan, const Trace& trace);
    void add_rank(std::size_t number, std::size_t role, const RankTrace& rank,
                  const std::vector<std::vector<SpanKind>>& kinds, std::span<const Meeting> met);
    static void sum_blocks(Spans& spans);
    static void find_tasks(const std::vector<Span>& trace, Spans& spans);
    // Time of each kind before `time`, of which `first` spans begin before it.
    static Sums before(const Spans& spans, std::size_t first, std::int64_t time);
    static void add(const Spans& spans, std::int64_t start, std::int64_t end, RangeTotals& totals);

    std::int64_t end_ = 0;
    std::size_t events_ = 0;
    std::vector<TimelineLane> lanes_;
    std::vector<Spans> spans_;  // per lane
};

}  // namespace shardscope::gui
