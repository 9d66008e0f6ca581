#include "core/program/check_progress.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "core/program/check_error.h"
#include "core/program/lanes.h"

namespace shardscope {
namespace {

// How far every lane has come.
class Progress {
public:
    Progress(const Program& program, Host host);

    // Goes on until every lane has ended or nothing can. Returns whether all have ended.
    bool run();

    // Why the rest stands still.
    std::string explain() const;

private:
    // What the head of a lane waits for; nothing if that will never be issued.
    struct Cause {
        std::optional<LanePlace> place;
        std::string_view verb = "waits for";
        std::string missing;  // where there is no place
    };

    const LaneItem& head(std::size_t lane) const { return lanes_.lanes[lane].items[next_[lane]]; }
    bool ended(std::size_t lane) const { return next_[lane] == lanes_.lanes[lane].items.size(); }
    bool is_past(const LanePlace& place) const { return next_[place.lane] > place.item; }
    // The lane has come to the item, and may be over it.
    bool has_come_to(const LanePlace& place) const {
        return is_past(place) || (next_[place.lane] == place.item && arrived_[place.lane]);
    }

    void advance(std::size_t lane);
    void arrive(std::size_t lane);
    void finish(std::size_t lane);
    void wake(std::size_t lane);
    void wake_role(std::size_t role);

    std::optional<Cause> cause_of(std::size_t lane) const;
    std::optional<Cause> collective_cause(const Lane& lane, const LaneItem& item) const;
    std::optional<Cause> exchange_cause(const LaneItem& item) const;
    const LanePlace* counterpart(const LaneEnd& end) const;
    std::string describe(std::size_t lane) const;
    std::string describe(const Lane& lane, const LaneItem& item) const;
    std::string hop(std::size_t lane, const Cause& cause) const;

    const Program& program_;
    const Lanes lanes_;
    std::vector<std::size_t> next_;  // per lane, index of its head
    std::vector<bool> arrived_;  // per lane: the head was issued, and those who wait for it know
    std::vector<std::int64_t> host_;  // per role, how many of its host_waits are over
    std::vector<std::size_t> woken_;  // lanes to look at again
    std::vector<bool> is_woken_;
};

Progress::Progress(const Program& program, Host host)
    : program_(program),
      lanes_(program, host),
      next_(lanes_.lanes.size(), 0),
      arrived_(lanes_.lanes.size(), false),
      host_(program.roles.size(), 0),
      is_woken_(lanes_.lanes.size(), false) {}

bool Progress::run() {
    for (std::size_t lane = 0; lane < lanes_.lanes.size(); ++lane) wake(lane);
    while (!woken_.empty()) {
        const std::size_t lane = woken_.back();
        woken_.pop_back();
        is_woken_[lane] = false;
        advance(lane);
    }
    for (std::size_t lane = 0; lane < lanes_.lanes.size(); ++lane)
        if (!ended(lane)) return false;
    return true;
}

void Progress::advance(std::size_t lane) {
    for (; !ended(lane); ++next_[lane], arrived_[lane] = false) {
        if (host_[lanes_.lanes[lane].role] < head(lane).issued_after) return;
        if (!arrived_[lane]) arrive(lane);
        if (cause_of(lane)) return;
        finish(lane);
    }
}

void Progress::arrive(std::size_t lane) {
    arrived_[lane] = true;
    const LaneItem& item = head(lane);
    if (item.meeting >= 0)
        for (const std::size_t role : lanes_.meetings[static_cast<std::size_t>(item.meeting)].roles)
            wake(Lanes::index(role, item.instruction->stream));
    if (const auto* x = std::get_if<Exchange>(&item.instruction->operation))
        for (std::size_t i = 0; i < x->transfers.size(); ++i)
            if (const LanePlace* other = counterpart(lanes_.ends[item.first_end + i]))
                wake(other->lane);
}

void Progress::finish(std::size_t lane) {
    const LaneItem& item = head(lane);
    const std::size_t role = lanes_.lanes[lane].role;
    if (item.host_waits) ++host_[role];
    if (item.host_waits || std::holds_alternative<RecordEvent>(item.instruction->operation))
        wake_role(role);
}

void Progress::wake(std::size_t lane) {
    if (is_woken_[lane]) return;
    is_woken_[lane] = true;
    woken_.push_back(lane);
}

void Progress::wake_role(std::size_t role) {
    for (std::size_t s = 0; s < kStreams; ++s) wake(Lanes::index(role, static_cast<Stream>(s)));
}

std::optional<Progress::Cause> Progress::cause_of(std::size_t lane) const {
    const Lane& l = lanes_.lanes[lane];
    const LaneItem& item = head(lane);
    if (host_[l.role] < item.issued_after) {
        const auto turn = static_cast<std::size_t>(host_[l.role]);
        return Cause{lanes_.host_waits[l.role][turn], "is issued after", {}};
    }
    if (const auto* w = std::get_if<WaitEvent>(&item.instruction->operation)) {
        if (item.number == 0) return std::nullopt;
        const auto latest = static_cast<std::size_t>(item.number) - 1;
        const LanePlace& place = lanes_.recordings[l.role][w->event.index()][latest];
        if (is_past(place)) return std::nullopt;
        return Cause{place, "waits for", {}};
    }
    if (item.meeting >= 0) return collective_cause(l, item);
    return exchange_cause(item);
}

std::optional<Progress::Cause> Progress::collective_cause(const Lane& lane,
                                                          const LaneItem& item) const {
    const Meeting& meeting = lanes_.meetings[static_cast<std::size_t>(item.meeting)];
    for (const std::size_t role : meeting.roles) {
        if (role == lane.role) continue;
        const auto calls = meeting.calls.find(role);
        if (calls == meeting.calls.end() || item.number >= std::ssize(calls->second))
            return Cause{std::nullopt, "waits for",
                         program_.roles[role].name + ", which never comes to it"};
        const LanePlace& place = calls->second[static_cast<std::size_t>(item.number)];
        if (!has_come_to(place)) return Cause{place, "waits for", {}};
    }
    return std::nullopt;
}

const LanePlace* Progress::counterpart(const LaneEnd& end) const {
    const auto& side = lanes_.channels[static_cast<std::size_t>(end.channel)].side(!end.send);
    return end.number < side.size() ? &side[end.number] : nullptr;
}

std::optional<Progress::Cause> Progress::exchange_cause(const LaneItem& item) const {
    const auto* x = std::get_if<Exchange>(&item.instruction->operation);
    if (x == nullptr) return std::nullopt;
    for (std::size_t i = 0; i < x->transfers.size(); ++i) {
        const LaneEnd& end = lanes_.ends[item.first_end + i];
        const LanePlace* other = counterpart(end);
        if (other == nullptr) {
            const Channel& c = lanes_.channels[static_cast<std::size_t>(end.channel)].channel;
            return Cause{std::nullopt, "waits for",
                         program_.roles[end.send ? c.to : c.from].name +
                             (end.send ? ", which never receives it" : ", which never sends it")};
        }
        if (!has_come_to(*other)) return Cause{*other, "waits for", {}};
    }
    return std::nullopt;
}

// Follows one unmet condition of each lane. Every lane that stands has one, and what it points to
// stands too, so the way ends in a circle or at something that is not there.
std::string Progress::explain() const {
    std::size_t lane = 0;
    while (ended(lane)) ++lane;
    std::vector<std::size_t> way;
    std::vector<std::string> hops;
    auto first = way.end();  // of the circle
    while (first == way.end()) {
        const std::optional<Cause> cause = cause_of(lane);
        way.push_back(lane);
        hops.push_back(hop(lane, *cause));
        if (!cause->place) {
            first = way.begin();
        } else {
            lane = cause->place->lane;
            first = std::ranges::find(way, lane);
        }
    }
    std::string text = "the ranks would wait forever:";
    for (auto i = static_cast<std::size_t>(first - way.begin()); i < hops.size(); ++i)
        text += "\n  " + hops[i];
    return text;
}

std::string Progress::describe(std::size_t lane) const {
    const Lane& l = lanes_.lanes[lane];
    return fmt::format("{} · {}", program_.roles[l.role].name, stream_name(l.stream));
}

std::string Progress::describe(const Lane& lane, const LaneItem& item) const {
    const Operation& operation = item.instruction->operation;
    const Body& body = program_.roles[lane.role].bodies[item.task.body.index()];
    std::string what;
    if (const auto* c = std::get_if<Collective>(&operation))
        what = fmt::format("{} over \"{}\" in {}", collective_name(c->kind),
                           program_.groups[c->group.index()].name, body.name);
    else if (const auto* x = std::get_if<Exchange>(&operation))
        what = x->transfers.size() != 1 ? "exchange" : x->transfers[0].send ? "send" : "receive";
    else if (std::holds_alternative<WaitEvent>(operation))
        what = "wait in " + body.name;
    else if (std::holds_alternative<RecordEvent>(operation))
        what = "event in " + body.name;
    else
        what = "copy to the host in " + body.name;
    return fmt::format("{} of micro-batch {}{}", what, item.task.micro_batch,
                       item.step == 0 ? "" : " of the next step");
}

std::string Progress::hop(std::size_t lane, const Cause& cause) const {
    const std::string who = describe(lane) + ": " + describe(lanes_.lanes[lane], head(lane));
    if (!cause.place) return fmt::format("{} {} {}", who, cause.verb, cause.missing);
    const Lane& other = lanes_.lanes[cause.place->lane];
    return fmt::format("{} {} {}: {}", who, cause.verb, describe(cause.place->lane),
                       describe(other, other.items[cause.place->item]));
}

}  // namespace

void check_progress(const Program& program, Host host) {
    Progress progress(program, host);
    if (!progress.run()) throw_program_error("deadlock", progress.explain());
}

}  // namespace shardscope
