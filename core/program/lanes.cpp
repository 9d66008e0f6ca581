#include "core/program/lanes.h"

#include <algorithm>
#include <tuple>

namespace shardscope {
namespace {

class Unroller {
public:
    Unroller(const Program& program, Host host, Lanes& lanes)
        : program_(program), host_(host), lanes_(lanes) {
        for (std::size_t g = 0; g < program.groups.size(); ++g)
            sets_.push_back(roles_that_meet(program, GroupId(g)));
    }

    void run() {
        for (std::size_t r = 0; r < program_.roles.size(); ++r)
            for (const Stream stream : kAllStreams) lanes_.lanes.push_back({r, stream, {}});
        for (std::size_t r = 0; r < program_.roles.size(); ++r) {
            lanes_.recordings.emplace_back(static_cast<std::size_t>(program_.roles[r].events));
            lanes_.host_waits.emplace_back();
            for (int step = 0; step < 2; ++step)
                for (const Task& task : program_.roles[r].schedule) add(r, task, step);
        }
    }

private:
    static constexpr Stream kAllStreams[] = {
        Stream::compute,        Stream::gather,          Stream::reduce,
        Stream::activations_in, Stream::activations_out, Stream::gradients_in,
        Stream::gradients_out,  Stream::context,         Stream::tensor,
        Stream::experts,        Stream::to_host,         Stream::to_device,
        Stream::host,           Stream::nvme_read,       Stream::nvme_write};
    static_assert(std::size(kAllStreams) == kStreams);

    void add(std::size_t role, const Task& task, int step) {
        for (const Instruction& i : program_.roles[role].bodies[task.body.index()].instructions) {
            LaneItem item;
            item.instruction = &i;
            item.task = task;
            item.step = step;
            item.issued_after = std::ssize(lanes_.host_waits[role]);
            const std::size_t lane = Lanes::index(role, i.stream);
            if (!link(item, role, {lane, lanes_.lanes[lane].items.size()})) continue;
            lanes_.lanes[lane].items.push_back(item);
        }
    }

    // Enters the item where others look for it; false if nobody can wait for it, nor it for others.
    bool link(LaneItem& item, std::size_t role, const LanePlace& place) {
        const Operation& operation = item.instruction->operation;
        const bool compute = item.instruction->stream == Stream::compute;
        item.host_waits = host_ == Host::runs_compute && compute;
        if (const auto* w = std::get_if<WaitEvent>(&operation)) {
            item.number = std::ssize(lanes_.recordings[role][w->event.index()]);
        } else if (const auto* r = std::get_if<RecordEvent>(&operation)) {
            lanes_.recordings[role][r->event.index()].push_back(place);
        } else if (const auto* c = std::get_if<Collective>(&operation)) {
            if (!link(*c, item, role, place)) return false;
        } else if (const auto* x = std::get_if<Exchange>(&operation)) {
            link(*x, item, role, place);
        } else if (std::holds_alternative<CopyToHost>(operation)) {
            item.host_waits = true;
        } else {
            return false;
        }
        if (item.host_waits) lanes_.host_waits[role].push_back(place);
        return true;
    }

    bool link(const Collective& c, LaneItem& item, std::size_t role, const LanePlace& place) {
        const auto& sets = sets_[c.group.index()];
        const auto mine = std::ranges::find_if(
            sets, [&](const auto& set) { return std::ranges::binary_search(set, role); });
        if (mine->size() == 1) return false;  // its ranks come to it together
        const auto key = std::tuple(c.group, item.instruction->stream, mine - sets.begin());
        const auto [known, is_new] =
            meetings_.try_emplace(key, static_cast<std::int32_t>(lanes_.meetings.size()));
        if (is_new) lanes_.meetings.push_back({*mine, {}});
        item.meeting = known->second;
        auto& calls = lanes_.meetings[static_cast<std::size_t>(item.meeting)].calls[role];
        item.number = std::ssize(calls);
        calls.push_back(place);
        return true;
    }

    void link(const Exchange& x, LaneItem& item, std::size_t role, const LanePlace& place) {
        item.first_end = lanes_.ends.size();
        for (const auto& transfer : x.transfers) {
            const Channel channel = channel_of(program_, role, item.instruction->stream, transfer);
            const auto [known, is_new] =
                channels_.try_emplace(channel, static_cast<std::int32_t>(lanes_.channels.size()));
            if (is_new) lanes_.channels.push_back({channel, {}, {}});
            auto& side =
                lanes_.channels[static_cast<std::size_t>(known->second)].side(transfer.send);
            lanes_.ends.push_back({known->second, transfer.send, side.size()});
            side.push_back(place);
        }
    }

    const Program& program_;
    Host host_;
    Lanes& lanes_;
    std::vector<std::vector<std::vector<std::size_t>>> sets_;  // per group: roles that meet
    std::map<std::tuple<GroupId, Stream, std::ptrdiff_t>, std::int32_t> meetings_;
    std::map<Channel, std::int32_t> channels_;
};

}  // namespace

Lanes::Lanes(const Program& program, Host host) { Unroller(program, host, *this).run(); }

}  // namespace shardscope
