#include "gui/models/timeline.h"

#include <algorithm>
#include <compare>
#include <map>
#include <tuple>

#include "core/report/span_description.h"

namespace shardscope::gui {
namespace {

constexpr std::size_t index_of(SpanKind kind) { return static_cast<std::size_t>(kind); }

// By name: which groups there are, and so their indices, is the strategy's.
SpanKind kind_of_group(const Program& program, GroupId group) {
    const std::string_view name = program.groups[group.index()].name;
    if (name == "tp" || name == "kv" || name == kExpertTensorGroup)
        return SpanKind::tensor_collective;
    if (name == "pp") return SpanKind::transfer;
    if (name == kExpertGroup || name == kTokenGroup) return SpanKind::expert_exchange;
    if (name == kContextGroup) return SpanKind::context_exchange;
    return SpanKind::data_collective;
}

SpanKind kind_of_phase(Phase phase) {
    switch (phase) {
        case Phase::load:
        case Phase::forward:
            return SpanKind::forward;
        case Phase::recompute:
            return SpanKind::recompute;
        case Phase::backward:
            return SpanKind::backward;
        case Phase::optimizer:
            break;
    }
    return SpanKind::optimizer;
}

// By body and instruction.
std::vector<std::vector<SpanKind>> kinds_of(const Program& program, const RoleProgram& role) {
    std::vector<std::vector<SpanKind>> kinds;
    for (const Body& body : role.bodies) {
        auto& of_body = kinds.emplace_back();
        for (const Instruction& instruction : body.instructions) {
            SpanKind kind = kind_of_phase(instruction.phase);
            if (const auto* c = std::get_if<Collective>(&instruction.operation))
                kind = kind_of_group(program, c->group);
            else if (const auto* x = std::get_if<Exchange>(&instruction.operation))
                kind = kind_of_group(program, x->transfers.front().group);
            else if (std::holds_alternative<Move>(instruction.operation))
                kind = SpanKind::offload_copy;
            else if (std::holds_alternative<WaitEvent>(instruction.operation))
                kind = SpanKind::wait;
            of_body.push_back(kind);
        }
    }
    return kinds;
}

// Whether a span is one of the lanes'.
bool counts(const Span& span) { return span.kind != Span::Kind::pipeline_wait; }

}  // namespace

std::string_view span_kind_name(SpanKind kind) {
    switch (kind) {
        case SpanKind::forward:
            return "forward";
        case SpanKind::recompute:
            return "recompute";
        case SpanKind::backward:
            return "backward";
        case SpanKind::optimizer:
            return "optimizer";
        case SpanKind::tensor_collective:
            return "TP collective";
        case SpanKind::transfer:
            return "PP send/recv";
        case SpanKind::data_collective:
            return "DP/ZeRO collective";
        case SpanKind::expert_exchange:
            return "expert exchange";
        case SpanKind::context_exchange:
            return "context exchange";
        case SpanKind::offload_copy:
            return "offload copy";
        case SpanKind::wait:
            break;
    }
    return "wait for communication";
}

double RangeTotals::share(SpanKind kind) const {
    const auto all = static_cast<double>(duration) * static_cast<double>(lanes);
    return all > 0 ? static_cast<double>(kinds[index_of(kind)].total) / all : 0;
}

double RangeTotals::idle_share() const {
    const auto all = static_cast<double>(duration) * static_cast<double>(lanes);
    return all > 0 ? static_cast<double>(idle) / all : 0;
}

// The span of something that several ranks of the trace do together, and when the last had come to it.
struct Timeline::Meeting {
    std::size_t rank = 0, span = 0;  // indices in Trace::ranks and in its spans
    std::int64_t start = 0;
};

namespace {

// What ranks meet at, again and again in one order: a transfer's two ends on a lane, or all stages of a
// collective over the pipeline.
struct Place {
    std::int32_t from = 0, to = -1;  // ranks; −1: a collective
    std::int32_t queue = 0;          // lane, or stream
    auto operator<=>(const Place&) const = default;
};
struct Party {
    Place place;
    std::size_t index = 0, parties = 0;  // which of how many
};

std::optional<Party> party_of(const Plan& plan, Rank rank, const Operation& operation,
                              Stream stream) {
    if (const auto* x = std::get_if<Exchange>(&operation); x && x->transfers.size() == 1) {
        const Exchange::Transfer& t = x->transfers.front();
        const Rank peer = plan.program.groups[t.group.index()].peer(rank, t);
        const Rank from = t.send ? rank : peer, to = t.send ? peer : rank;
        const auto lane = static_cast<std::int32_t>(transfer_lane(stream));
        return Party{{from.value, to.value, lane}, t.send ? 0u : 1u, 2};
    }
    if (const auto* c = std::get_if<Collective>(&operation);
        c && c->group.index() == kPipelineGroup) {
        const Group& group = plan.program.groups[kPipelineGroup];
        const auto index = static_cast<std::size_t>(group.index_of(rank));
        return Party{{group.member(rank, 0).value, -1, static_cast<std::int32_t>(stream)},
                     index,
                     static_cast<std::size_t>(group.size)};
    }
    return std::nullopt;
}

}  // namespace

// By rank and span. The n-th comings of all parties to a place meet (Exchange, Collective).
std::vector<Timeline::Meeting> Timeline::meetings(const Plan& plan, const Trace& trace) {
    std::map<Place, std::vector<std::vector<Meeting>>> comings;  // per party
    for (std::size_t r = 0; r < trace.ranks.size(); ++r) {
        const Rank rank = trace.ranks[r].rank;
        const RoleProgram& role = plan.program.roles[plan.program.role_of(rank)];
        const auto& spans = trace.ranks[r].spans;
        for (std::size_t i = 0; i < spans.size(); ++i) {
            const auto& instructions = role.bodies[spans[i].body.index()].instructions;
            const auto& of = instructions[static_cast<std::size_t>(spans[i].instruction)];
            const auto party = party_of(plan, rank, of.operation, spans[i].stream);
            if (!party) continue;
            auto& parties = comings[party->place];
            parties.resize(party->parties);
            parties[party->index].push_back({r, i, nanoseconds(spans[i].start)});
        }
    }
    std::vector<Meeting> met;
    for (const auto& [place, parties] : comings) {
        std::size_t complete = parties.front().size();
        for (const auto& party : parties) complete = std::min(complete, party.size());
        for (std::size_t n = 0; n < complete; ++n) {
            std::int64_t start = 0;
            for (const auto& party : parties) start = std::max(start, party[n].start);
            for (const auto& party : parties) met.push_back({party[n].rank, party[n].span, start});
        }
    }
    std::sort(met.begin(), met.end(), [](const Meeting& a, const Meeting& b) {
        return std::tie(a.rank, a.span) < std::tie(b.rank, b.span);
    });
    return met;
}

Timeline::Timeline(const Plan& plan, const Trace& trace) {
    const std::vector<Meeting> met = meetings(plan, trace);
    for (std::size_t r = 0; r < trace.ranks.size(); ++r) {
        const RankTrace& rank = trace.ranks[r];
        for (const StepTime& step : rank.steps) end_ = std::max(end_, nanoseconds(step.wall));
        const std::size_t role = plan.program.role_of(rank.rank);
        const auto [first, last] =
            std::equal_range(met.begin(), met.end(), Meeting{r, 0, 0},
                             [](const Meeting& a, const Meeting& b) { return a.rank < b.rank; });
        add_rank(r, role, rank, kinds_of(plan.program, plan.program.roles[role]), {first, last});
    }
}

void Timeline::add_rank(std::size_t number, std::size_t role, const RankTrace& rank,
                        const std::vector<std::vector<SpanKind>>& kinds,
                        std::span<const Meeting> met) {
    std::array<std::size_t, kStreams> size{}, lane_of{};
    for (const Span& span : rank.spans)
        if (counts(span)) ++size[static_cast<std::size_t>(span.stream)];
    for (std::size_t s = 0; s < kStreams; ++s) {
        // The compute lane is there even if nothing ran, so that every rank has one.
        if (size[s] == 0 && static_cast<Stream>(s) != Stream::compute) continue;
        lane_of[s] = lanes_.size();
        lanes_.push_back({number, role, static_cast<Stream>(s)});
        Spans& spans = spans_.emplace_back();
        spans.start.reserve(size[s]);
        spans.end.reserve(size[s]);
        spans.source.reserve(size[s]);
        spans.kind.reserve(size[s]);
    }
    for (std::size_t i = 0; i < rank.spans.size(); ++i) {
        const Span& span = rank.spans[i];
        if (!counts(span)) continue;
        Spans& spans = spans_[lane_of[static_cast<std::size_t>(span.stream)]];
        // A stream is a queue: what a clock shows as an overlap begins when the one before ends.
        const std::int64_t after = spans.end.empty() ? 0 : spans.end.back();
        std::int64_t start = std::max(after, nanoseconds(span.start));
        const std::int64_t end = std::max(start, nanoseconds(span.end));
        while (!met.empty() && met.front().span < i) met = met.subspan(1);
        if (!met.empty() && met.front().span == i)
            start = std::clamp(met.front().start, start, end);
        spans.start.push_back(start);
        spans.end.push_back(end);
        spans.source.push_back(static_cast<std::uint32_t>(i));
        spans.kind.push_back(
            is_wait(span.kind)
                ? SpanKind::wait
                : kinds[span.body.index()][static_cast<std::size_t>(span.instruction)]);
        end_ = std::max(end_, spans.end.back());
    }
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
        if (lanes_[lane].rank != number) continue;
        events_ += spans_[lane].start.size();
        sum_blocks(spans_[lane]);
        if (lanes_[lane].compute()) find_tasks(rank.spans, spans_[lane]);
    }
}

void Timeline::sum_blocks(Spans& spans) {
    Block block;
    for (std::size_t i = 0; i < spans.start.size(); ++i) {
        if (i % kBlock == 0) {
            spans.blocks.push_back(block);
            block.longest.fill(0);
        }
        const std::size_t kind = index_of(spans.kind[i]);
        const std::int64_t duration = spans.end[i] - spans.start[i];
        block.total[kind] += duration;
        ++block.count[kind];
        std::int64_t& longest = spans.blocks.back().longest[kind];
        longest = std::max(longest, duration);
    }
    spans.blocks.push_back(block);
    spans.blocks.shrink_to_fit();
}

void Timeline::find_tasks(const std::vector<Span>& trace, Spans& spans) {
    for (std::size_t i = 0; i < spans.start.size(); ++i) {
        if (spans.kind[i] == SpanKind::wait) continue;
        const Span& span = trace[spans.source[i]];
        if (spans.tasks.empty() || spans.tasks.back().body != span.body ||
            spans.tasks.back().micro_batch != span.micro_batch)
            spans.tasks.push_back(
                {spans.start[i], spans.start[i], span.micro_batch, span.body, SpanKind::forward});
        TimelineTask& task = spans.tasks.back();
        // The last stage fetches its targets long before there is something to do for them.
        if (spans.start[i] - task.end > task.end - task.start) task.start = spans.start[i];
        task.end = spans.end[i];
        if (span.phase == Phase::optimizer)
            task.kind = SpanKind::optimizer;
        else if (span.phase == Phase::backward)
            task.kind = SpanKind::backward;
    }
    spans.tasks.shrink_to_fit();
}

Timeline::Sums Timeline::before(const Spans& spans, std::size_t first, std::int64_t time) {
    const std::size_t block = first / kBlock;
    Sums sums = spans.blocks[block].total;
    for (std::size_t i = block * kBlock; i < first; ++i)
        sums[index_of(spans.kind[i])] += spans.end[i] - spans.start[i];
    // All but the last one have ended.
    if (first > 0 && spans.end[first - 1] > time)
        sums[index_of(spans.kind[first - 1])] -= spans.end[first - 1] - time;
    return sums;
}

void Timeline::columns(std::size_t lane, std::int64_t start, std::int64_t end,
                       std::span<TimelineColumn> columns) const {
    const Spans& spans = spans_[lane];
    const auto count = static_cast<std::int64_t>(columns.size());
    const auto begins_before = [&](auto from, auto to, std::int64_t time) {
        return std::lower_bound(from, to, time);
    };
    const auto begin = spans.start.begin();
    const auto limit = begins_before(begin, spans.start.end(), end);
    auto at = begins_before(begin, limit, start);
    Sums last = before(spans, static_cast<std::size_t>(at - begin), start);
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t bound = start + (i + 1) * (end - start) / count;
        at = begins_before(at, limit, bound);
        const Sums now = before(spans, static_cast<std::size_t>(at - begin), bound);
        TimelineColumn& column = columns[static_cast<std::size_t>(i)];
        column = {};
        std::int64_t most = 0;
        for (std::size_t k = 0; k < index_of(SpanKind::wait); ++k) {
            const std::int64_t busy = now[k] - last[k];
            column.busy += busy;
            if (busy <= most) continue;
            most = busy;
            column.kind = static_cast<SpanKind>(k);
        }
        last = now;
    }
}

Timeline::Range Timeline::spans(std::size_t lane, std::int64_t start, std::int64_t end) const {
    const Spans& spans = spans_[lane];
    const auto first = std::upper_bound(spans.end.begin(), spans.end.end(), start);
    const auto last = std::lower_bound(spans.start.begin(), spans.start.end(), end);
    Range range{static_cast<std::size_t>(first - spans.end.begin()),
                static_cast<std::size_t>(last - spans.start.begin())};
    range.last = std::max(range.first, range.last);
    return range;
}

Timeline::Item Timeline::item(std::size_t lane, std::size_t index) const {
    const Spans& spans = spans_[lane];
    return {spans.start[index], spans.end[index], spans.kind[index], spans.source[index]};
}

const std::vector<TimelineTask>& Timeline::tasks(std::size_t lane) const {
    return spans_[lane].tasks;
}

std::optional<std::size_t> Timeline::hit(std::size_t lane, std::int64_t time,
                                         std::int64_t reach) const {
    const Range near = spans(lane, time - reach, time + reach + 1);
    std::optional<std::size_t> best;
    std::int64_t least = 0;
    // Those at hand, from the middle on: there may be many in reach.
    const auto after = spans(lane, time, time + 1).first;
    const auto offer = [&](std::size_t i) {
        const Item candidate = item(lane, i);
        if (candidate.kind == SpanKind::wait) return false;
        const std::int64_t distance =
            std::max<std::int64_t>({0, candidate.start - time, time - candidate.end + 1});
        if (best && distance >= least) return true;
        best = i;
        least = distance;
        return true;
    };
    for (std::size_t i = std::max(after, near.first); i < near.last && !offer(i);) ++i;
    for (std::size_t i = std::min(after, near.last); i > near.first && !offer(i - 1);) --i;
    return best;
}

RangeTotals Timeline::totals(std::span<const std::size_t> lanes, std::int64_t start,
                             std::int64_t end) const {
    RangeTotals totals;
    totals.duration = std::max<std::int64_t>(0, end - start);
    if (totals.duration == 0) return totals;
    for (const std::size_t lane : lanes) add(spans_[lane], start, end, totals);
    totals.lanes = static_cast<std::int64_t>(lanes.size());
    totals.idle = totals.duration * totals.lanes;
    for (const RangeTotals::Kind& kind : totals.kinds) totals.idle -= kind.total;
    return totals;
}

void Timeline::add(const Spans& spans, std::int64_t start, std::int64_t end, RangeTotals& totals) {
    const auto one = [&](std::size_t i) {
        auto& kind = totals.kinds[index_of(spans.kind[i])];
        const std::int64_t inside = std::min(end, spans.end[i]) - std::max(start, spans.start[i]);
        kind.total += inside;
        kind.longest = std::max(kind.longest, inside);
        ++kind.count;
    };
    std::size_t i = static_cast<std::size_t>(
        std::upper_bound(spans.end.begin(), spans.end.end(), start) - spans.end.begin());
    const auto last = static_cast<std::size_t>(
        std::lower_bound(spans.start.begin(), spans.start.end(), end) - spans.start.begin());
    // The first and the last span may be cut; whole blocks between them are not looked at one by one.
    while (i < last && (i % kBlock != 0 || spans.start[i] < start)) one(i++);
    for (; i + kBlock < last; i += kBlock) {
        const Block &from = spans.blocks[i / kBlock], &to = spans.blocks[i / kBlock + 1];
        for (std::size_t k = 0; k < kSpanKinds; ++k) {
            auto& kind = totals.kinds[k];
            kind.total += to.total[k] - from.total[k];
            kind.count += to.count[k] - from.count[k];
            kind.longest = std::max(kind.longest, from.longest[k]);
        }
    }
    while (i < last) one(i++);
}

}  // namespace shardscope::gui
