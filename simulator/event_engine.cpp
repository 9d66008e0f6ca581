#include "simulator/event_engine.h"

#include <algorithm>

#include "core/error.h"
#include "simulator/core_sharing.h"
#include "simulator/lane_program.h"

namespace shardscope {
namespace {

// What a lane sleeps on; `running` lanes have an entry in the heap.
enum class Sleep : std::uint8_t { none, running, event, post, meeting, done };

struct Lane {
    std::int32_t role = 0;
    Stream stream = Stream::compute;
    Sleep sleep = Sleep::none;
    std::int32_t next_task = 0;
    std::int32_t open = 0;    // meetings that have not begun
    const Op* op = nullptr;   // the next operation
    const Op* end = nullptr;  // of those of this task
    const LaneProgram::Task* task = nullptr;
    std::vector<std::int32_t> executed;  // by body: how often among the tasks before this one
    std::int32_t awaited = 0;            // recordings of the event that it sleeps on
    std::int64_t posted = 0;             // inline host: operations handed over and not done
    double since = 0;                    // seconds: when the operation or the wait began
    double ready = 0;                    // clock: latest end of the operation's meetings so far
};

struct Channel {
    std::int32_t expected = 0;
    double start = 0, seconds = 0;  // clock of the latest arrival, longest duration
    std::vector<std::int32_t> waiting;
};

// What the lanes of one role share.
struct RoleState {
    std::vector<std::int32_t> recorded;  // by event: executions of its body that have recorded it
    std::vector<std::uint8_t> waiting;   // by event: streams that sleep on it, one bit each
    double weight = 1;                   // ranks of a node that one lane stands for
    StepTime time;
    std::vector<Span> spans;
};

class Engine {
public:
    Engine(const LaneProgram& program, CoreSharing sharing, int nodes, bool record_spans)
        : program_(program), sharing_(sharing), record_spans_(record_spans) {
        for (const LaneProgram::Role& role : program.roles) {
            RoleState& state = roles_.emplace_back();
            state.recorded.resize(role.events.size());
            state.waiting.resize(role.events.size());
            state.weight = role.multiplicity / static_cast<double>(std::max(1, nodes));
            for (std::size_t stream = 0; stream < kStreams; ++stream) {
                Lane& lane = lanes_.emplace_back();
                lane.role = static_cast<std::int32_t>(roles_.size() - 1);
                lane.stream = static_cast<Stream>(stream);
                lane.executed.resize(role.bodies.size() + 1);
            }
        }
        for (const std::int32_t expected : program.channels) {
            channels_.emplace_back().expected = expected;
            channels_.back().waiting.reserve(static_cast<std::size_t>(expected));
        }
        running_.reserve(lanes_.size());
        woken_.reserve(lanes_.size());
    }

    std::vector<RoleTimeline> run() {
        for (std::size_t lane = lanes_.size(); lane-- > 0;) wake(lanes_[lane]);
        advance_woken();
        while (!running_.empty()) {
            std::pop_heap(running_.begin(), running_.end());
            const Entry next = running_.back();
            running_.pop_back();
            move_clock(next.at);
            Lane& lane = lanes_[static_cast<std::size_t>(next.lane)];
            finish(lane);
            advance(lane);
            advance_woken();
        }
        for (const Lane& lane : lanes_)
            if (lane.sleep != Sleep::done) deadlock();
        std::vector<RoleTimeline> result;
        for (std::size_t role = 0; role < roles_.size(); ++role) result.push_back(timeline(role));
        return result;
    }

private:
    struct Entry {
        double at;
        std::int32_t lane;
        // std's heaps keep the largest on top: the soonest, then the lowest lane.
        bool operator<(const Entry& o) const { return at != o.at ? at > o.at : lane > o.lane; }
    };

    // Runs the lane until it has to sleep.
    void advance(Lane& lane) {
        lane.sleep = Sleep::none;
        for (;;) {
            if (lane.op == lane.end && !next_task(lane)) {
                lane.sleep = Sleep::done;
                state(lane).time.wall = std::max(state(lane).time.wall, Seconds(now_));
                return;
            }
            if (!issued(lane)) return;
            if (!perform(lane)) return;
        }
    }

    void advance_woken() {
        while (!woken_.empty()) {
            const std::int32_t lane = woken_.back();
            woken_.pop_back();
            advance(lanes_[static_cast<std::size_t>(lane)]);
        }
    }

    bool next_task(Lane& lane) {
        const LaneProgram::Role& role = prepared(lane);
        const auto tasks = static_cast<std::int32_t>(role.tasks.size()) - 1;
        while (lane.next_task < tasks) {
            if (lane.task != nullptr) ++lane.executed[static_cast<std::size_t>(lane.task->body)];
            lane.task = &role.tasks[static_cast<std::size_t>(lane.next_task++)];
            const auto& body = role.bodies[static_cast<std::size_t>(lane.task->body)];
            const auto& slice = body.lanes[static_cast<std::size_t>(lane.stream)];
            if (slice.count == 0) continue;
            lane.op = role.ops.data() + slice.first;
            lane.end = lane.op + slice.count;
            return true;
        }
        return false;
    }

    // Whether the host has come by the next operation; a separate one tells when (issue_time).
    bool issued(Lane& lane) {
        if (!program_.inline_host || lane.stream == Stream::compute || lane.posted > 0) return true;
        lane.sleep = Sleep::post;
        return false;
    }

    // Performs the next operation; false when the lane now sleeps.
    bool perform(Lane& lane) {
        switch (lane.op->kind) {
            case OpKind::run:
                return start_run(lane);
            case OpKind::meet:
                meet(lane);
                return false;
            case OpKind::wait:
                return pass_wait(lane);
            case OpKind::record:
                record(lane);
                break;
            case OpKind::post:
                post(lane);
                break;
        }
        done_with_op(lane);
        return true;
    }

    bool start_run(Lane& lane) {
        double until = clock_ + lane.op->work;
        lane.since = now_;
        if (!program_.inline_host) {
            const double issue = issue_time(lane);
            lane.since = std::max(now_, issue);
            until = std::max(until, issue + lane.op->issue_to_end);
        }
        lane.sleep = Sleep::running;
        active_ += threads_of(lane);
        // Nobody else can act before this ends: no need to sleep.
        if (woken_.empty() && (running_.empty() || until < running_.front().at)) {
            move_clock(until);
            finish(lane);
            lane.sleep = Sleep::none;
            return true;
        }
        push(lane, until);
        return false;
    }

    void meet(Lane& lane) {
        const LaneProgram::Role& role = prepared(lane);
        const double at = std::max(clock_, program_.inline_host ? 0.0 : issue_time(lane));
        lane.since = program_.inline_host ? now_ : at;
        lane.sleep = Sleep::meeting;
        lane.ready = at + lane.op->work;
        lane.open = lane.op->count;
        const Party* party = role.parties.data() + lane.op->target;
        for (std::int32_t i = 0; i < lane.op->count; ++i) arrive(lane, party[i], at);
    }

    void arrive(Lane& lane, const Party& party, double at) {
        Channel& channel = channels_[static_cast<std::size_t>(party.channel)];
        channel.start = std::max(channel.start, at);
        channel.seconds = std::max(channel.seconds, party.seconds);
        channel.waiting.push_back(number(lane));
        if (std::ssize(channel.waiting) < channel.expected) return;
        const double end = channel.start + channel.seconds;
        for (const std::int32_t waiting : channel.waiting) {
            Lane& other = lanes_[static_cast<std::size_t>(waiting)];
            other.ready = std::max(other.ready, end);
            if (--other.open > 0) continue;
            other.sleep = Sleep::running;
            active_ += threads_of(other);
            push(other, other.ready);
        }
        channel.start = channel.seconds = 0;
        channel.waiting.clear();
    }

    bool pass_wait(Lane& lane) {
        const auto event = static_cast<std::size_t>(lane.op->target);
        const std::int32_t body = prepared(lane).events[event].body;
        RoleState& role = state(lane);
        lane.awaited = lane.executed[static_cast<std::size_t>(body)] + lane.op->count;
        if (role.recorded[event] >= lane.awaited) {
            done_with_op(lane);
            return true;
        }
        lane.since = program_.inline_host ? now_ : std::max(now_, issue_time(lane));
        lane.sleep = Sleep::event;
        role.waiting[event] |= static_cast<std::uint8_t>(1u << static_cast<unsigned>(lane.stream));
        return false;
    }

    void record(Lane& lane) {
        const auto event = static_cast<std::size_t>(lane.op->target);
        RoleState& role = state(lane);
        role.recorded[event] = lane.task->execution;
        unsigned waiting = role.waiting[event];
        for (std::size_t stream = 0; waiting != 0; ++stream, waiting >>= 1) {
            if ((waiting & 1u) == 0) continue;
            Lane& sleeper = lane_of(lane, stream);
            if (sleeper.awaited > role.recorded[event]) continue;
            role.waiting[event] &= static_cast<std::uint8_t>(~(1u << stream));
            count(sleeper, prepared(lane).events[event].wait, sleeper.since, now_);
            wake(sleeper);
        }
    }

    void post(Lane& lane) {
        Lane& to = lane_of(lane, static_cast<std::size_t>(lane.op->stream));
        to.posted += lane.op->count;
        if (to.sleep == Sleep::post) wake(to);
    }

    // Books what the lane has just done and moves on to the next operation.
    void finish(Lane& lane) {
        const Op& op = *lane.op;
        active_ -= threads_of(lane);
        if (op.kind == OpKind::meet) {
            count(lane, Span::Kind::communication, lane.since, now_);
        } else {
            // An inline host spends the first part of the operation on itself.
            double busy = op.busy;
            if (program_.inline_host && op.work > 0) busy *= (now_ - lane.since) / op.work;
            const auto kind = op.communication ? Span::Kind::communication : Span::Kind::compute;
            count(lane, kind, now_ - busy, now_);
        }
        done_with_op(lane);
    }

    void done_with_op(Lane& lane) {
        ++lane.op;
        --lane.posted;
    }

    void count(const Lane& lane, Span::Kind kind, double start, double end) {
        if (end <= start) return;
        const bool compute_stream = lane.stream == Stream::compute;
        StepTime& time = state(lane).time;
        if (compute_stream) {
            if (Seconds* part = part_of(time, kind, lane.op->phase)) *part += Seconds(end - start);
        }
        if (!record_spans_ || (is_wait(kind) && !compute_stream)) return;
        const LaneProgram::Role& role = prepared(lane);
        const Body& body = role.program->bodies[static_cast<std::size_t>(lane.task->body)];
        const auto task = static_cast<std::size_t>(lane.task - role.tasks.data());
        Span& span = state(lane).spans.emplace_back();
        span.start = Seconds(start);
        span.end = Seconds(end);
        span.kind = kind;
        span.stream = lane.stream;
        span.phase = lane.op->phase;
        span.layer = body.instructions[static_cast<std::size_t>(lane.op->instruction)].layer;
        span.micro_batch = role.program->schedule[task].micro_batch;
        span.instruction = lane.op->instruction;
        span.body = BodyId(lane.task->body);
    }

    // Threads of a node that work while the lane performs its operation.
    double threads_of(const Lane& lane) const {
        const bool divided = lane.stream == Stream::compute && !lane.op->communication;
        return state(lane).weight * (divided ? program_.threads : 1);
    }

    void push(const Lane& lane, double until) {
        running_.push_back({until, number(lane)});
        std::push_heap(running_.begin(), running_.end());
    }

    void move_clock(double to) {
        now_ = sharing_.cores > 0 ? now_ + (to - clock_) / sharing_.rate(active_) : to;
        clock_ = to;
    }

    void wake(Lane& lane) {
        lane.sleep = Sleep::none;
        woken_.push_back(number(lane));
    }

    double issue_time(const Lane& lane) const {
        const std::int64_t before = lane.task->first_launch + lane.op->launch;
        return static_cast<double>(before + 1) * program_.host_cost;
    }

    RoleTimeline timeline(std::size_t index) {
        RoleState& role = roles_[index];
        StepTime& time = role.time;
        if (!program_.inline_host) {
            const auto issued = program_.roles[index].tasks.back().first_launch;
            time.wall =
                std::max(time.wall, Seconds(static_cast<double>(issued) * program_.host_cost));
        }
        time.bubble = time.wall - time.compute - time.exposed_communication - time.optimizer;
        std::stable_sort(role.spans.begin(), role.spans.end(),
                         [](const Span& a, const Span& b) { return a.start < b.start; });
        return {time, std::move(role.spans)};
    }

    [[noreturn]] void deadlock() const {
        std::string text;
        for (const Lane& lane : lanes_) {
            if (lane.sleep == Sleep::done) continue;
            const RoleProgram& role = *prepared(lane).program;
            const Body& body = role.bodies[static_cast<std::size_t>(lane.task->body)];
            text += text.empty() ? "" : "; ";
            text += role.name + ", " + std::string(stream_name(lane.stream)) + " stream, body \"" +
                    body.name + "\", instruction " + std::to_string(lane.op->instruction) +
                    " waits for " + reason(lane);
        }
        throw Error("deadlock", "the ranks wait for each other: " + text,
                    "issue the communication of all ranks in one order", ErrorKind::run_failed);
    }

    static std::string reason(const Lane& lane) {
        switch (lane.sleep) {
            case Sleep::event:
                return "event " + std::to_string(lane.op->target);
            case Sleep::meeting:
                return "other ranks to join its communication";
            default:
                return "its host";
        }
    }

    const LaneProgram::Role& prepared(const Lane& lane) const {
        return program_.roles[static_cast<std::size_t>(lane.role)];
    }
    RoleState& state(const Lane& lane) { return roles_[static_cast<std::size_t>(lane.role)]; }
    const RoleState& state(const Lane& lane) const {
        return roles_[static_cast<std::size_t>(lane.role)];
    }
    Lane& lane_of(const Lane& lane, std::size_t stream) {
        return lanes_[static_cast<std::size_t>(lane.role) * kStreams + stream];
    }
    std::int32_t number(const Lane& lane) const {
        return static_cast<std::int32_t>(&lane - lanes_.data());
    }

    const LaneProgram& program_;
    const CoreSharing sharing_;
    const bool record_spans_;
    std::vector<Lane> lanes_;  // role·kStreams + stream
    std::vector<RoleState> roles_;
    std::vector<Channel> channels_;
    std::vector<Entry> running_;  // a heap
    std::vector<std::int32_t> woken_;
    double clock_ = 0;   // seconds of work done by a lane that is always active
    double now_ = 0;     // seconds
    double active_ = 0;  // threads per node that work
};

}  // namespace

std::vector<RoleTimeline> simulate_step(const Program& program, const Cluster& cluster,
                                        bool record_spans, RuntimeProfile profile) {
    const LaneProgram prepared = prepare(program, cluster, record_spans, profile);
    return simulate_step(prepared, cluster, record_spans);
}

std::vector<RoleTimeline> simulate_step(const LaneProgram& program, const Cluster& cluster,
                                        bool record_spans) {
    return Engine(program, CoreSharing::of(cluster), cluster.nodes, record_spans).run();
}

}  // namespace shardscope
