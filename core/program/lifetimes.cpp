#include <algorithm>
#include <optional>

#include "core/program/memory_plan.h"

namespace shardscope {
namespace {

constexpr std::int32_t kUnknown = -1;

// What one body does to one buffer.
struct BodyUse {
    Interval interval;
    bool reads_first = false;
};

// Walks one body and widens accesses of other streams to compute-stream positions.
class BodyWalk {
public:
    BodyWalk(const RoleProgram& role, std::int32_t base, std::vector<std::optional<BodyUse>>& uses)
        : role_(role),
          base_(base),
          position_(base),
          uses_(uses),
          recorded_(static_cast<std::size_t>(role.events)) {
        known_.fill(kUnknown);
    }

    // Returns the number of compute-stream positions of the body.
    std::int32_t run(const Body& body) {
        for (const Instruction& i : body.instructions) step(i);
        const std::int32_t end = position_ - 1;
        for (auto& stream : pending_)
            for (const Pending& p : stream) extend(p.buffer, end);  // never waited for in this body
        return position_ - base_;
    }

private:
    struct Pending {
        BufferId buffer;
        std::int64_t issue = 0;
    };
    struct Recorded {
        Stream stream = Stream::compute;
        std::int32_t position = kUnknown;  // compute position known to precede the event
        std::int64_t issue = 0;
    };

    void step(const Instruction& i) {
        ++issue_;
        const auto s = static_cast<std::size_t>(i.stream);
        const bool compute = i.stream == Stream::compute;
        if (const auto* r = std::get_if<RecordEvent>(&i.operation)) {
            recorded_[r->event.index()] = {i.stream, compute ? position_ : known_[s], issue_};
        } else if (const auto* w = std::get_if<WaitEvent>(&i.operation)) {
            const Recorded& event = recorded_[w->event.index()];
            if (compute)
                retire(event);
            else
                known_[s] = std::max(known_[s], event.position);
        } else {
            for_each_operand(i, [&](const Operand& o, Access access) {
                // A stream that has waited for nothing may run since the body before.
                const std::int32_t from = compute ? position_ : std::max(known_[s], base_);
                touch(o.buffer, from, access);
                if (compute)
                    extend(o.buffer, position_);
                else
                    pending_[s].push_back({o.buffer, issue_});
            });
        }
        if (compute) ++position_;
    }

    void touch(BufferId buffer, std::int32_t from, Access access) {
        auto& use = uses_[buffer.index()];
        if (!use) {
            use = BodyUse{{from, from}, access != Access::write};
        } else {
            use->interval.first = std::min(use->interval.first, from);
            use->interval.last = std::max(use->interval.last, from);
        }
    }

    void extend(BufferId buffer, std::int32_t to) {
        auto& use = uses_[buffer.index()];
        use->interval.last = std::max(use->interval.last, to);
    }

    // The compute stream has waited for the event: what its stream did before is over.
    void retire(const Recorded& r) {
        auto& list = pending_[static_cast<std::size_t>(r.stream)];
        const auto done = std::stable_partition(
            list.begin(), list.end(), [&](const Pending& p) { return p.issue > r.issue; });
        for (auto it = done; it != list.end(); ++it) extend(it->buffer, position_);
        list.erase(done, list.end());
    }

    const RoleProgram& role_;
    std::int32_t base_, position_;
    std::vector<std::optional<BodyUse>>& uses_;
    std::vector<Recorded> recorded_;
    std::array<std::int32_t, kStreams> known_{};
    std::array<std::vector<Pending>, kStreams> pending_;
    std::int64_t issue_ = 0;
};

}  // namespace

std::vector<Lifetime> lifetimes(const RoleProgram& role) {
    std::vector<std::vector<std::optional<BodyUse>>> uses(role.bodies.size());
    std::vector<Interval> extent(role.bodies.size());
    std::int32_t base = 0;
    for (std::size_t b = 0; b < role.bodies.size(); ++b) {
        uses[b].resize(role.buffers.size());
        const std::int32_t count = BodyWalk(role, base, uses[b]).run(role.bodies[b]);
        extent[b] = {base, base + std::max(count, 1) - 1};
        base += std::max(count, 1);
    }
    std::vector<Lifetime> result(role.buffers.size());
    for (std::size_t i = 0; i < role.buffers.size(); ++i) {
        if (role.buffers[i].residence == Residence::persistent) {
            result[i].intervals.push_back({0, base - 1});
            continue;
        }
        const bool carried = std::any_of(uses.begin(), uses.end(), [&](const auto& body) {
            return body[i] && body[i]->reads_first;
        });
        for (std::size_t b = 0; b < role.bodies.size(); ++b) {
            if (!uses[b][i]) continue;
            Interval interval = uses[b][i]->interval;
            if (uses[b][i]->reads_first)
                interval.first = extent[b].first;
            else if (carried)
                interval.last = extent[b].last;
            result[i].intervals.push_back(interval);
        }
    }
    return result;
}

}  // namespace shardscope
