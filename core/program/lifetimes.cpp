#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <optional>
#include <set>
#include <span>

#include "core/program/memory_plan.h"

namespace shardscope {
namespace {

constexpr std::int32_t kUnknownPosition = -1;
constexpr std::size_t kNoUse = std::numeric_limits<std::size_t>::max();

// What one body does to one buffer.
struct BodyUse {
    BufferId buffer;
    std::size_t body = 0;
    Interval interval;
    bool reads_first = false;
};

// Walks one body and widens accesses of other streams to compute-stream positions.
class BodyWalk {
public:
    // Adds the body's uses to `uses`, which has those of the bodies before. `latest`: per buffer, its
    // last use there, kNoUse before the first.
    BodyWalk(const RoleProgram& role, std::size_t body, std::int32_t base,
             std::vector<BodyUse>& uses, std::vector<std::size_t>& latest)
        : body_(body),
          base_(base),
          position_(base),
          first_use_(uses.size()),
          uses_(uses),
          latest_(latest),
          recorded_(static_cast<std::size_t>(role.events)) {
        known_.fill(kUnknownPosition);
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
        std::int32_t position = kUnknownPosition;  // compute position known to precede the event
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
        std::size_t& use = latest_[buffer.index()];
        if (use == kNoUse || use < first_use_) {
            use = uses_.size();
            uses_.push_back({buffer, body_, {from, from}, access != Access::write});
        } else {
            Interval& interval = uses_[use].interval;
            interval.first = std::min(interval.first, from);
            interval.last = std::max(interval.last, from);
        }
    }

    void extend(BufferId buffer, std::int32_t to) {
        Interval& interval = uses_[latest_[buffer.index()]].interval;
        interval.last = std::max(interval.last, to);
    }

    // The compute stream has waited for the event: what its stream did before is over.
    void retire(const Recorded& r) {
        auto& list = pending_[static_cast<std::size_t>(r.stream)];
        const auto open = std::find_if(list.begin(), list.end(),
                                       [&](const Pending& p) { return p.issue > r.issue; });
        for (auto it = list.begin(); it != open; ++it) extend(it->buffer, position_);
        list.erase(list.begin(), open);
    }

    std::size_t body_;
    std::int32_t base_, position_;
    std::size_t first_use_;  // of this body, in uses_
    std::vector<BodyUse>& uses_;
    std::vector<std::size_t>& latest_;
    std::vector<Recorded> recorded_;
    std::array<std::int32_t, kStreams> known_{};
    std::array<std::vector<Pending>, kStreams> pending_;  // in order of issue
    std::int64_t issue_ = 0;
};

using BufferUses = std::span<const BodyUse>;  // of one buffer, in order of bodies

// The uses of each buffer together, in order of bodies.
class Uses {
public:
    Uses(const std::vector<BodyUse>& in_order_of_bodies, std::size_t buffers)
        : begin_(buffers + 1, 0), list_(in_order_of_bodies.size()) {
        for (const BodyUse& use : in_order_of_bodies) ++begin_[use.buffer.index()];
        std::inclusive_scan(begin_.begin(), begin_.end(), begin_.begin());
        for (auto use = in_order_of_bodies.rbegin(); use != in_order_of_bodies.rend(); ++use)
            list_[--begin_[use->buffer.index()]] = *use;
    }
    BufferUses of(std::size_t buffer) const {
        return {list_.data() + begin_[buffer], begin_[buffer + 1] - begin_[buffer]};
    }

private:
    std::vector<std::size_t> begin_;  // by buffer, and one past the end, of list_
    std::vector<BodyUse> list_;
};

// In which order bodies follow each other for one micro-batch of a chunk: every distinct order.
std::set<std::vector<std::size_t>> body_sequences(const RoleProgram& role) {
    std::vector<std::vector<std::vector<std::size_t>>> of_micro_batch;  // [chunk][micro-batch]
    for (const Task& task : role.schedule) {
        const int chunk = role.bodies[task.body.index()].chunk;
        if (chunk < 0) continue;
        const auto c = static_cast<std::size_t>(chunk);
        const auto m = static_cast<std::size_t>(task.micro_batch);
        if (of_micro_batch.size() <= c) of_micro_batch.resize(c + 1);
        if (of_micro_batch[c].size() <= m) of_micro_batch[c].resize(m + 1);
        of_micro_batch[c][m].push_back(task.body.index());
    }
    std::set<std::vector<std::size_t>> sequences;
    for (auto& chunk : of_micro_batch)
        for (auto& bodies : chunk) sequences.insert(std::move(bodies));
    return sequences;
}

// Lifetimes of one buffer that is carried from body to body: from the first one that uses it through
// all that follow to the last access in the last one.
class CarriedLife {
public:
    // `extent`: positions of each body.
    explicit CarriedLife(const std::vector<Interval>& extent)
        : extent_(extent), use_(extent.size()), lives_(extent.size()) {}

    std::vector<Interval> run(BufferUses uses,
                              const std::set<std::vector<std::size_t>>& sequences) {
        std::fill(use_.begin(), use_.end(), nullptr);
        std::fill(lives_.begin(), lives_.end(), std::nullopt);
        for (const BodyUse& use : uses) use_[use.body] = &use;
        for (const auto& bodies : sequences) follow(bodies);
        std::vector<Interval> result;
        result.reserve(uses.size());
        for (const auto& life : lives_)
            if (life) result.push_back(*life);
        return result;
    }

private:
    void follow(const std::vector<std::size_t>& bodies) {
        const auto used = [&](std::size_t body) { return use_[body] != nullptr; };
        const auto first = std::find_if(bodies.begin(), bodies.end(), used);
        if (first == bodies.end()) return;
        const auto last = std::find_if(bodies.rbegin(), bodies.rend(), used).base() - 1;
        for (auto body = first; body <= last; ++body) {
            Interval life = extent_[*body];
            if (body == first) life.first = use_[*body]->interval.first;
            if (body == last) life.last = use_[*body]->interval.last;
            widen(*body, life);
        }
    }

    void widen(std::size_t body, const Interval& life) {
        auto& to = lives_[body];
        if (!to) to = life;
        to->first = std::min(to->first, life.first);
        to->last = std::max(to->last, life.last);
    }

    const std::vector<Interval>& extent_;
    std::vector<const BodyUse*> use_;             // per body
    std::vector<std::optional<Interval>> lives_;  // per body
};

}  // namespace

std::vector<Lifetime> lifetimes(const RoleProgram& role) {
    std::vector<BodyUse> in_order_of_bodies;
    std::vector<std::size_t> latest(role.buffers.size(), kNoUse);
    std::vector<Interval> extent(role.bodies.size());
    std::int32_t base = 0;
    for (std::size_t b = 0; b < role.bodies.size(); ++b) {
        BodyWalk walk(role, b, base, in_order_of_bodies, latest);
        const std::int32_t count = std::max(walk.run(role.bodies[b]), 1);
        extent[b] = {base, base + count - 1};
        base += count;
    }
    const Uses uses(in_order_of_bodies, role.buffers.size());
    const auto sequences = body_sequences(role);
    CarriedLife carried(extent);
    std::vector<Lifetime> result(role.buffers.size());
    for (std::size_t i = 0; i < role.buffers.size(); ++i) {
        Lifetime& life = result[i];
        if (role.buffers[i].residence == Residence::persistent) {
            life.intervals.push_back({0, base - 1});
            continue;
        }
        const BufferUses mine = uses.of(i);
        life.carried = std::any_of(mine.begin(), mine.end(),
                                   [](const BodyUse& use) { return use.reads_first; });
        if (life.carried) {
            life.intervals = carried.run(mine, sequences);
        } else {
            life.intervals.reserve(mine.size());
            for (const BodyUse& use : mine) life.intervals.push_back(use.interval);
        }
    }
    return result;
}

}  // namespace shardscope
