// Transfers that share links: how fast each goes while others use the same ports.
//
// A flow is a collective or transfer of one role, of all its ranks at once. Alone it would take a
// known time, in which it uses known shares of its links (the rest of the time is latency). Where the
// shares of the flows on a link add up to more than one, the link is divided max–min fairly: no
// transfer gets more unless one that has less, or as much, would get less (Bertsekas, Gallager, Data
// Networks, section 6.5.2). A flow counts as as many transfers as run beside each other on a node.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace shardscope {

struct LinkUse {
    std::int32_t link = 0;
    double share = 0;  // of the link's bandwidth, alone; ≤ 1
    bool operator==(const LinkUse&) const = default;
};

// What an operation takes of what it shares.
struct LinkLoad {
    std::vector<LinkUse> uses;
    double transfers = 1;  // on one node, at the same time
    int channels = 0;      // multiprocessors that it takes from kernels beside it

    // Joins the loads of the two ends, or of several roles: of one link the larger share.
    void join(const LinkLoad& other);
    bool operator==(const LinkLoad&) const = default;
};

// Not thread safe. Times are seconds of one clock that does not go back.
class LinkSharing {
public:
    using FlowId = std::int32_t;
    struct Flow {
        LinkLoad load;
        double start = 0;           // not before this
        double left = 0;            // seconds that it would still take alone
        double at = 0;              // when `left` held
        double rate = 1;            // of what it would have alone
        double end = 0;             // as things are now
        std::uint32_t version = 0;  // of `end`
        bool active = false;
    };

    explicit LinkSharing(std::size_t links) : links_(links) {}

    // Whether a flow could start now without slowing anyone, itself included.
    bool fits(const LinkLoad& load) const;
    // Alone it would go from `start` to `end`.
    FlowId begin(const LinkLoad& load, double start, double end);
    void end(FlowId flow);
    // Divides the links anew; the flows whose end has changed. Valid until the next call.
    std::span<const FlowId> divide(double now);
    const Flow& flow(FlowId id) const { return flows_[static_cast<std::size_t>(id)]; }

private:
    struct Link {
        double load = 0;            // of its flows, alone
        std::vector<FlowId> flows;  // that use it
        double taken = 0,
               growing = 0;    // while dividing: of those that have all they get, of the rest
        bool touched = false;  // divide() has come to it, or has to
    };
    void touch(const LinkLoad& load);
    void collect();
    void fill();
    double next_limit() const;

    std::vector<Link> links_;
    std::vector<Flow> flows_;
    std::vector<FlowId> free_, changed_, open_;
    std::vector<std::int32_t> touched_;  // links whose flows may have other rates now
    std::vector<FlowId> connected_;      // those flows, and what shares a link with them, and so on
    std::vector<double> rates_;          // by flow, while dividing
};

}  // namespace shardscope
