#include "core/program/live_profile.h"

#include <algorithm>

namespace shardscope {
namespace {

bool lives_at(const Lifetime& life, std::size_t position) {
    const auto p = static_cast<std::int32_t>(position);
    return std::any_of(life.intervals.begin(), life.intervals.end(),
                       [&](const Interval& v) { return v.first <= p && p <= v.last; });
}

}  // namespace

LiveProfile::LiveProfile(const RoleProgram& role, const std::vector<Lifetime>& lives,
                         const FramePlan& frames)
    : role_(role), lives_(lives), frames_(frames) {
    for (const Body& body : role.bodies) {
        first_.push_back(phases_.size());
        for (const Instruction& i : body.instructions)
            if (i.stream == Stream::compute) phases_.push_back(i.phase);
        if (phases_.size() == first_.back()) phases_.push_back(Phase::optimizer);
    }
    first_.push_back(phases_.size());
    sums_ = position_sums(std::nullopt);
    others_ = task_sums(std::nullopt);
}

BodyId LiveProfile::body_at(std::size_t position) const {
    const auto next = std::upper_bound(first_.begin(), first_.end(), position);
    return BodyId(static_cast<std::size_t>(next - first_.begin()) - 1);
}

bool LiveProfile::whole_frame(std::size_t buffer, std::size_t position) const {
    if (frames_.frame[buffer] < 0) return false;
    return !frames_.used_by[static_cast<std::size_t>(frames_.frame[buffer])]
                           [body_at(position).index()];
}

std::vector<Bytes> LiveProfile::position_sums(std::optional<Category> only) const {
    std::vector<std::int64_t> change(phases_.size() + 1, 0);
    for (std::size_t i = 0; i < role_.buffers.size(); ++i) {
        if (role_.buffers[i].tier != Tier::device) continue;
        if (only && role_.buffers[i].category != *only) continue;
        for (const Interval& v : lives_[i].intervals) {
            if (whole_frame(i, static_cast<std::size_t>(v.first))) continue;
            change[static_cast<std::size_t>(v.first)] += role_.buffers[i].size().value;
            change[static_cast<std::size_t>(v.last) + 1] -= role_.buffers[i].size().value;
        }
    }
    std::vector<Bytes> sums;
    sums.reserve(phases_.size());
    std::int64_t sum = 0;
    for (std::size_t p = 0; p < phases_.size(); ++p) sums.push_back(Bytes(sum += change[p]));
    return sums;
}

std::vector<Bytes> LiveProfile::task_sums(std::optional<Category> only) const {
    std::vector<std::int64_t> size(frames_.frames.size(), 0);
    for (std::size_t i = 0; i < role_.buffers.size(); ++i)
        if (frames_.frame[i] >= 0 && (!only || role_.buffers[i].category == *only))
            size[static_cast<std::size_t>(frames_.frame[i])] += role_.buffers[i].size().value;
    std::vector<std::int64_t> change(role_.schedule.size() + 1, 0);
    for (std::size_t f = 0; f < size.size(); ++f)
        for (const Interval& life : frames_.lives[f]) {
            if (life.first > life.last) continue;
            change[static_cast<std::size_t>(life.first)] += size[f];
            change[static_cast<std::size_t>(life.last) + 1] -= size[f];
        }
    std::vector<Bytes> others;
    others.reserve(role_.schedule.size());
    std::int64_t alive = 0;
    for (std::size_t t = 0; t < role_.schedule.size(); ++t) {
        alive += change[t];
        std::int64_t own = 0;  // counted position by position
        for (std::size_t f = 0; f < size.size(); ++f)
            if (frames_.used_by[f][role_.schedule[t].body.index()]) own += size[f];
        others.push_back(Bytes(alive - own));
    }
    return others;
}

std::vector<std::int64_t> LiveProfile::frames_alive_beside(std::size_t task) const {
    const auto now = static_cast<std::int32_t>(task);
    const Task& own = role_.schedule[task];
    std::vector<std::int64_t> alive(frames_.frames.size(), 0);
    for (std::size_t f = 0; f < alive.size(); ++f)
        for (std::size_t m = 0; m < frames_.lives[f].size(); ++m) {
            const Interval& life = frames_.lives[f][m];
            const bool counted = static_cast<std::int32_t>(m) == own.micro_batch &&
                                 frames_.used_by[f][own.body.index()];
            if (!counted && life.first <= now && now <= life.last) ++alive[f];
        }
    return alive;
}

LiveProfile::Moment LiveProfile::peak() const {
    std::vector<std::size_t> busiest;  // position per body
    for (std::size_t b = 0; b + 1 < first_.size(); ++b) {
        const auto begin = sums_.begin() + static_cast<std::ptrdiff_t>(first_[b]);
        const auto end = sums_.begin() + static_cast<std::ptrdiff_t>(first_[b + 1]);
        busiest.push_back(static_cast<std::size_t>(std::max_element(begin, end) - sums_.begin()));
    }
    Moment peak;
    for (std::size_t t = 0; t < role_.schedule.size(); ++t) {
        const std::size_t position = busiest[role_.schedule[t].body.index()];
        if (t > 0 && live_at(t, position) <= peak.live) continue;
        peak.task = t;
        peak.position = position;
        peak.live = live_at(t, position);
    }
    peak.phase = phases_[peak.position];
    const std::vector<std::int64_t> others = frames_alive_beside(peak.task);
    for (std::size_t i = 0; i < role_.buffers.size(); ++i) {
        const Buffer& b = role_.buffers[i];
        if (b.tier != Tier::device) continue;
        Bytes& category = peak.categories[static_cast<std::size_t>(b.category)];
        if (lives_at(lives_[i], peak.position) && !whole_frame(i, peak.position))
            category += b.size();
        if (frames_.frame[i] < 0) continue;
        category += b.size() * others[static_cast<std::size_t>(frames_.frame[i])];
    }
    return peak;
}

}  // namespace shardscope
