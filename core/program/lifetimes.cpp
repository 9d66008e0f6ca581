#include <algorithm>
#include <map>
#include <optional>
#include <set>

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

using Uses = std::vector<std::vector<std::optional<BodyUse>>>;  // per body and buffer

// In which order bodies follow each other for one micro-batch of a chunk: every distinct order.
std::set<std::vector<std::size_t>> body_sequences(const RoleProgram& role) {
    std::map<std::pair<int, std::int32_t>, std::vector<std::size_t>> of_micro_batch;
    for (const Task& task : role.schedule)
        if (const int chunk = role.bodies[task.body.index()].chunk; chunk >= 0)
            of_micro_batch[{chunk, task.micro_batch}].push_back(task.body.index());
    std::set<std::vector<std::size_t>> sequences;
    for (auto& [key, bodies] : of_micro_batch) sequences.insert(std::move(bodies));
    return sequences;
}

// Lifetimes of one buffer that is carried from body to body: from the first one that uses it through
// all that follow to the last access in the last one.
class CarriedLife {
public:
    CarriedLife(const Uses& uses, const std::vector<Interval>& extent, std::size_t buffer)
        : uses_(uses), extent_(extent), buffer_(buffer), lives_(extent.size()) {}

    void follow(const std::vector<std::size_t>& bodies) {
        const auto used = [&](std::size_t body) { return uses_[body][buffer_].has_value(); };
        const auto first = std::find_if(bodies.begin(), bodies.end(), used);
        if (first == bodies.end()) return;
        const auto last = std::find_if(bodies.rbegin(), bodies.rend(), used).base() - 1;
        for (auto body = first; body <= last; ++body) {
            Interval life = extent_[*body];
            if (body == first) life.first = uses_[*body][buffer_]->interval.first;
            if (body == last) life.last = uses_[*body][buffer_]->interval.last;
            widen(*body, life);
        }
    }

    std::vector<Interval> take() const {
        std::vector<Interval> result;
        for (const auto& life : lives_)
            if (life) result.push_back(*life);
        return result;
    }

private:
    void widen(std::size_t body, const Interval& life) {
        auto& to = lives_[body];
        if (!to) to = life;
        to->first = std::min(to->first, life.first);
        to->last = std::max(to->last, life.last);
    }

    const Uses& uses_;
    const std::vector<Interval>& extent_;
    std::size_t buffer_;
    std::vector<std::optional<Interval>> lives_;  // per body
};

}  // namespace

std::vector<Lifetime> lifetimes(const RoleProgram& role) {
    Uses uses(role.bodies.size());
    std::vector<Interval> extent(role.bodies.size());
    std::int32_t base = 0;
    for (std::size_t b = 0; b < role.bodies.size(); ++b) {
        uses[b].resize(role.buffers.size());
        const std::int32_t count = BodyWalk(role, base, uses[b]).run(role.bodies[b]);
        extent[b] = {base, base + std::max(count, 1) - 1};
        base += std::max(count, 1);
    }
    const auto sequences = body_sequences(role);
    std::vector<Lifetime> result(role.buffers.size());
    for (std::size_t i = 0; i < role.buffers.size(); ++i) {
        Lifetime& life = result[i];
        if (role.buffers[i].residence == Residence::persistent) {
            life.intervals.push_back({0, base - 1});
            continue;
        }
        life.carried = std::any_of(uses.begin(), uses.end(), [&](const auto& body) {
            return body[i] && body[i]->reads_first;
        });
        if (life.carried) {
            CarriedLife carried(uses, extent, i);
            for (const auto& bodies : sequences) carried.follow(bodies);
            life.intervals = carried.take();
        } else {
            for (const auto& body : uses)
                if (body[i]) life.intervals.push_back(body[i]->interval);
        }
    }
    return result;
}

}  // namespace shardscope
