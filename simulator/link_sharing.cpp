#include "simulator/link_sharing.h"

#include <algorithm>
#include <limits>

namespace shardscope {
namespace {

constexpr double kFull = 1 + 1e-9;  // sums of shares that are one but for rounding

double largest_share(const LinkLoad& load) {
    double largest = 0;
    for (const LinkUse& use : load.uses) largest = std::max(largest, use.share);
    return largest;
}

// What a flow's rate grows by when each of its transfers gets one more unit of bandwidth.
double rate_per_level(const LinkLoad& load) { return load.transfers / largest_share(load); }

}  // namespace

void LinkLoad::join(const LinkLoad& other) {
    for (const LinkUse& use : other.uses) {
        const auto same = std::find_if(uses.begin(), uses.end(),
                                       [&](const LinkUse& own) { return own.link == use.link; });
        if (same == uses.end())
            uses.push_back(use);
        else
            same->share = std::max(same->share, use.share);
    }
    transfers = std::max(transfers, other.transfers);
    channels = std::max(channels, other.channels);
}

// A link whose flows together ask for no more than it has slows none of them.
bool LinkSharing::fits(const LinkLoad& load) const {
    return std::all_of(load.uses.begin(), load.uses.end(), [&](const LinkUse& use) {
        return links_[static_cast<std::size_t>(use.link)].load + use.share <= kFull;
    });
}

void LinkSharing::touch(const LinkLoad& load) {
    for (const LinkUse& use : load.uses) {
        Link& link = links_[static_cast<std::size_t>(use.link)];
        if (!link.touched) touched_.push_back(use.link);
        link.touched = true;
    }
}

LinkSharing::FlowId LinkSharing::begin(const LinkLoad& load, double start, double end) {
    if (free_.empty()) {
        free_.push_back(static_cast<FlowId>(flows_.size()));
        flows_.emplace_back();
        rates_.push_back(1);
    }
    const FlowId id = free_.back();
    free_.pop_back();
    Flow& flow = flows_[static_cast<std::size_t>(id)];
    const std::uint32_t version = flow.version + 1;
    flow = {load, start, end - start, start, 1, end, version, true};
    for (const LinkUse& use : load.uses) {
        Link& link = links_[static_cast<std::size_t>(use.link)];
        link.load += use.share;
        link.flows.push_back(id);
    }
    touch(load);
    return id;
}

void LinkSharing::end(FlowId id) {
    Flow& flow = flows_[static_cast<std::size_t>(id)];
    touch(flow.load);
    for (const LinkUse& use : flow.load.uses) {
        Link& link = links_[static_cast<std::size_t>(use.link)];
        link.flows.erase(std::find(link.flows.begin(), link.flows.end(), id));
        // Nothing stays of sums of rounded shares.
        link.load = link.flows.empty() ? 0 : link.load - use.share;
    }
    flow.active = false;
    ++flow.version;
    free_.push_back(id);
}

// The flows that a change can reach: over a touched link, and over the other links of those.
void LinkSharing::collect() {
    connected_.clear();
    for (std::size_t next = 0; next < touched_.size(); ++next)
        for (const FlowId id : links_[static_cast<std::size_t>(touched_[next])].flows) {
            double& rate = rates_[static_cast<std::size_t>(id)];
            if (rate < 0) continue;  // is in already
            rate = -1;
            connected_.push_back(id);
            touch(flow(id).load);
        }
}

std::span<const LinkSharing::FlowId> LinkSharing::divide(double now) {
    changed_.clear();
    collect();
    const bool crowded = std::any_of(touched_.begin(), touched_.end(), [&](std::int32_t link) {
        return links_[static_cast<std::size_t>(link)].load > kFull;
    });
    for (const FlowId id : connected_) rates_[static_cast<std::size_t>(id)] = 1;
    if (crowded) fill();
    for (const std::int32_t link : touched_) links_[static_cast<std::size_t>(link)].touched = false;
    touched_.clear();
    for (const FlowId id : connected_) {
        Flow& flow = flows_[static_cast<std::size_t>(id)];
        const double rate = rates_[static_cast<std::size_t>(id)];
        if (rate == flow.rate) continue;
        const double from = std::max(now, flow.start);
        flow.left = std::max(0.0, flow.left - std::max(0.0, from - flow.at) * flow.rate);
        flow.at = from;
        flow.rate = rate;
        flow.end = from + flow.left / rate;
        ++flow.version;
        changed_.push_back(id);
    }
    return changed_;
}

// Progressive filling: the bandwidth of every transfer grows alike, until it has what it would have
// alone, or one of its links is full.
void LinkSharing::fill() {
    open_ = connected_;
    for (const std::int32_t number : touched_) {
        Link& link = links_[static_cast<std::size_t>(number)];
        link.taken = link.growing = 0;
    }
    for (const FlowId id : open_) {
        const LinkLoad& load = flow(id).load;
        for (const LinkUse& use : load.uses)
            links_[static_cast<std::size_t>(use.link)].growing += rate_per_level(load) * use.share;
    }
    while (!open_.empty()) {
        const double level = next_limit() * kFull;
        const auto stops = [&](FlowId id) {
            const LinkLoad& load = flow(id).load;
            const bool all = level * rate_per_level(load) >= 1;
            return all || std::any_of(load.uses.begin(), load.uses.end(), [&](const LinkUse& use) {
                       const Link& link = links_[static_cast<std::size_t>(use.link)];
                       return link.taken + level * link.growing >= 1;
                   });
        };
        const auto stopped = std::stable_partition(open_.begin(), open_.end(),
                                                   [&](FlowId id) { return !stops(id); });
        const std::vector<FlowId> done(stopped, open_.end());
        open_.erase(stopped, open_.end());
        for (const FlowId id : done) {
            const LinkLoad& load = flow(id).load;
            const double per_level = rate_per_level(load);
            const double rate = std::min(1.0, level / kFull * per_level);
            rates_[static_cast<std::size_t>(id)] = rate;
            for (const LinkUse& use : load.uses) {
                Link& link = links_[static_cast<std::size_t>(use.link)];
                link.taken += rate * use.share;
                link.growing -= per_level * use.share;
            }
        }
    }
}

// The lowest level at which some transfer cannot get more.
double LinkSharing::next_limit() const {
    double level = std::numeric_limits<double>::infinity();
    for (const FlowId id : open_) level = std::min(level, 1 / rate_per_level(flow(id).load));
    for (const FlowId id : open_)
        for (const LinkUse& use : flow(id).load.uses) {
            const Link& link = links_[static_cast<std::size_t>(use.link)];
            level = std::min(level, std::max(0.0, 1 - link.taken) / link.growing);
        }
    return level;
}

}  // namespace shardscope
