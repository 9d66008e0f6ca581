#include "simulator/event_engine.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/error.h"
#include "simulator/channels.h"
#include "simulator/core_sharing.h"
#include "simulator/kernel_progress.h"
#include "simulator/lane_program.h"
#include "simulator/link_sharing.h"
#include "simulator/log_normal.h"

namespace shardscope {
namespace {

// Most of the multiprocessors that collectives together take from kernels.
constexpr double kMostTaken = 0.5;

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
    double ready = 0;                    // clock: end of the operation, as known so far
    double own = 0;                      // clock: of `ready`, what no flow in `flows` decides
    double delay = 0;                    // seconds that sharing has added to the operation
    double stretch = 1;                  // of the operation's kernels by noise
    // Kernels of a separate host, and for how many seconds they keep the device busy.
    KernelProgress kernels;
    double busy = 0;
    std::uint32_t version = 0;               // of its entry in the heap
    std::vector<LinkSharing::FlowId> flows;  // under way, that the operation consists of
};

struct Channel {
    std::int32_t expected = 0;
    double start = 0, seconds = 0;  // clock of the latest arrival, longest duration
    std::vector<std::int32_t> waiting;
    LinkLoad load;
};

static_assert(kStreams <= 16, "RoleState::waiting has a bit for each");

// What the lanes of one role share.
struct RoleState {
    std::vector<std::int32_t> recorded;  // by event: executions of its body that have recorded it
    std::vector<std::uint16_t> waiting;  // by event: streams that sleep on it, one bit each
    double weight = 1;                   // ranks of a node that one lane stands for
    double host_late = 0;                // seconds that its host has stood still
    int channels = 0;                    // multiprocessors that collectives take at the moment
    StepTime time;
    std::vector<Span> spans;
};

class Engine {
public:
    Engine(const LaneProgram& program, CoreSharing sharing, int nodes, bool record_spans,
           const StepNoise* noise)
        : program_(program),
          sharing_(sharing),
          noise_(noise),
          record_spans_(record_spans),
          links_(program.links) {
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
            if (next.lane < 0) {
                end_flow(next);
                continue;
            }
            Lane& lane = lanes_[static_cast<std::size_t>(next.lane)];
            if (next.version != lane.version) continue;
            move_clock(next.at);
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
        std::int32_t lane;      // or −1 − flow, which thus ends before what waits for it
        std::uint32_t version;  // outdated where the lane or flow has a later one
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
        lane.stretch = noise_ != nullptr ? stretch_of(lane) : 1;
        double until = clock_ + lane.op->work * lane.stretch;
        lane.since = now_;
        if (!program_.inline_host) {
            const double issue = issue_time(lane);
            lane.since = std::max(now_, issue);
            until = std::max(until, issue + lane.op->issue_to_end);
        }
        lane.delay = 0;
        if (is_kernel(lane)) {
            begin_kernels(lane);
            if (state(lane).channels > 0 || noise_ != nullptr) until = end_of_kernels(lane);
        }
        active_ += threads_of(lane);
        // Nobody else can act before this ends: no need to sleep.
        if (woken_.empty() && (running_.empty() || until < running_.front().at) &&
            disturbs_nobody(lane)) {
            move_clock(until);
            finish(lane);
            return true;
        }
        lane.sleep = Sleep::running;
        lane.own = 0;
        push(lane, until);
        if (lane.op->load >= 0) {
            const std::int32_t self = number(lane);
            begin_flow(load_of(lane, lane.op->load), lane.since, until, {&self, 1});
        }
        return false;
    }

    // Collectives beside a kernel take multiprocessors from it.
    double kernel_rate(const Lane& lane) const {
        const double taken = state(lane).channels / static_cast<double>(program_.multiprocessors);
        return (1 - std::min(kMostTaken, taken)) / lane.stretch;
    }
    // Of the kernels of the operation that the lane begins.
    double stretch_of(const Lane& lane) const {
        const Op& op = *lane.op;
        if (op.communication) return 1;
        const auto role = static_cast<std::size_t>(lane.role);
        const double factor = noise_->factors.empty() ? 1 : noise_->factors[role];
        if (!(noise_->kernel_jitter > 0) || !(op.busy > 0)) return factor;
        const double deviation = noise_->kernel_jitter * std::sqrt(op.squares) / op.busy;
        const auto task = static_cast<std::uint64_t>(lane.task - prepared(lane).tasks.data());
        const auto number = static_cast<std::uint64_t>(lane.op - prepared(lane).ops.data());
        return factor * log_normal(noise_->seed, role, task << 32 | number, deviation);
    }
    static bool is_kernel(const Lane& lane) { return lane.op->kernels > 0; }
    void begin_kernels(Lane& lane) {
        const std::span<const KernelProgress::Kernel> all = prepared(lane).kernels;
        const Op& op = *lane.op;
        lane.kernels.begin(all.subspan(static_cast<std::size_t>(op.first_kernel),
                                       static_cast<std::size_t>(op.kernels)),
                           issue_time(lane), program_.host_cost, clock_);
        lane.busy = op.busy;
    }
    // At the pace of this moment.
    double end_of_kernels(Lane& lane) const {
        const KernelProgress::End end = lane.kernels.end(kernel_rate(lane));
        lane.busy = end.busy;
        return end.at;
    }
    bool disturbs_nobody(Lane& lane) {
        if (lane.op->load < 0) return true;
        const LinkLoad& load = load_of(lane, lane.op->load);
        const Lane& kernels = lane_of(lane, static_cast<std::size_t>(Stream::compute));
        const bool beside = &kernels != &lane && kernels.sleep == Sleep::running;
        return links_.fits(load) && !(beside && load.channels > 0);
    }

    void begin_flow(const LinkLoad& load, double start, double end,
                    std::span<const std::int32_t> lanes) {
        const bool fits = links_.fits(load);
        const LinkSharing::FlowId flow = links_.begin(load, start, end);
        if (static_cast<std::size_t>(flow) >= waiting_.size()) waiting_.emplace_back();
        waiting_[static_cast<std::size_t>(flow)].assign(lanes.begin(), lanes.end());
        for (const std::int32_t lane : lanes)
            lanes_[static_cast<std::size_t>(lane)].flows.push_back(flow);
        push(flow);
        take_channels(lanes, load.channels);
        if (!fits) divide();
    }

    void end_flow(const Entry& entry) {
        const LinkSharing::FlowId id = -1 - entry.lane;
        const LinkSharing::Flow& flow = links_.flow(id);
        if (!flow.active || flow.version != entry.version) return;
        move_clock(entry.at);
        const auto& lanes = waiting_[static_cast<std::size_t>(id)];
        for (const std::int32_t number : lanes) {
            Lane& lane = lanes_[static_cast<std::size_t>(number)];
            lane.own = std::max(lane.own, flow.end);
            std::erase(lane.flows, id);
        }
        const int channels = flow.load.channels;
        links_.end(id);
        take_channels(lanes, -channels);
        divide();
    }

    // The links anew among the flows; those and their lanes end at other times.
    void divide() {
        for (const LinkSharing::FlowId flow : links_.divide(now_)) {
            push(flow);
            for (const std::int32_t number : waiting_[static_cast<std::size_t>(flow)]) {
                Lane& lane = lanes_[static_cast<std::size_t>(number)];
                double end = lane.own;
                for (const LinkSharing::FlowId part : lane.flows)
                    end = std::max(end, links_.flow(part).end);
                put_off(lane, end);
            }
        }
    }

    void put_off(Lane& lane, double until) {
        lane.delay += until - lane.ready;
        lane.ready = until;
        if (lane.sleep == Sleep::running) push(lane, until);
    }

    // Kernels of the lanes' roles go on at another pace. On the compute stream none run beside.
    void take_channels(std::span<const std::int32_t> lanes, int channels) {
        if (channels == 0) return;
        for (const std::int32_t number : lanes) {
            const Lane& lane = lanes_[static_cast<std::size_t>(number)];
            if (lane.stream == Stream::compute) continue;
            Lane& kernels = lane_of(lane, static_cast<std::size_t>(Stream::compute));
            const bool busy = kernels.sleep == Sleep::running && is_kernel(kernels);
            if (busy) kernels.kernels.advance(now_, kernel_rate(kernels));
            state(lane).channels += channels;
            if (busy) put_off(kernels, end_of_kernels(kernels));
        }
    }

    const LinkLoad& load_of(const Lane& lane, std::int32_t load) const {
        return prepared(lane).loads[static_cast<std::size_t>(load)];
    }

    void meet(Lane& lane) {
        const LaneProgram::Role& role = prepared(lane);
        const double at = std::max(clock_, program_.inline_host ? 0.0 : issue_time(lane));
        lane.since = program_.inline_host ? now_ : at;
        lane.sleep = Sleep::meeting;
        lane.ready = lane.own = at + lane.op->work;
        lane.delay = 0;
        lane.open = lane.op->count;
        const Party* party = role.parties.data() + lane.op->target;
        for (std::int32_t i = 0; i < lane.op->count; ++i) arrive(lane, party[i], at);
    }

    void arrive(Lane& lane, const Party& party, double at) {
        Channel& channel = channels_[static_cast<std::size_t>(party.channel)];
        channel.start = std::max(channel.start, at);
        channel.seconds = std::max(channel.seconds, party.seconds);
        channel.waiting.push_back(number(lane));
        if (party.load >= 0) channel.load.join(load_of(lane, party.load));
        if (std::ssize(channel.waiting) < channel.expected) return;
        const double end = channel.start + channel.seconds;
        const bool shares = !channel.load.uses.empty();
        for (const std::int32_t waiting : channel.waiting) {
            Lane& other = lanes_[static_cast<std::size_t>(waiting)];
            other.ready = std::max(other.ready, end);
            if (!shares) other.own = std::max(other.own, end);
            if (--other.open > 0) continue;
            other.sleep = Sleep::running;
            active_ += threads_of(other);
            push(other, other.ready);
        }
        if (shares) begin_flow(channel.load, channel.start, end, channel.waiting);
        channel.start = channel.seconds = 0;
        channel.waiting.clear();
        channel.load.uses.clear();
        channel.load.channels = 0;
        channel.load.transfers = 1;
    }

    bool pass_wait(Lane& lane) {
        const auto event = static_cast<std::size_t>(lane.op->target);
        const std::int32_t body = prepared(lane).events[event].body;
        RoleState& role = state(lane);
        lane.awaited = lane.executed[static_cast<std::size_t>(body)] + lane.op->count;
        if (role.recorded[event] >= lane.awaited) {
            if (lane.op->host) hold_host(lane);
            done_with_op(lane);
            return true;
        }
        lane.since = program_.inline_host ? now_ : std::max(now_, issue_time(lane));
        lane.sleep = Sleep::event;
        role.waiting[event] |= static_cast<std::uint16_t>(1u << static_cast<unsigned>(lane.stream));
        return false;
    }

    // What comes behind the lane's operation is launched from now on.
    void hold_host(const Lane& lane) {
        const std::int64_t before = lane.task->first_launch + lane.op->launch;
        const double launched = static_cast<double>(before) * program_.host_cost;
        state(lane).host_late = std::max(state(lane).host_late, now_ - launched);
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
            role.waiting[event] &= static_cast<std::uint16_t>(~(1u << stream));
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
            double busy = is_kernel(lane) ? lane.busy : op.busy * lane.stretch + lane.delay;
            if (program_.inline_host && op.work > 0)
                busy *= (now_ - lane.since) / (op.work * lane.stretch);
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
        if (compute_stream) add_part(time, kind, lane.op->phase, Seconds(end - start));
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

    void push(Lane& lane, double until) {
        lane.ready = until;
        running_.push_back({until, number(lane), ++lane.version});
        std::push_heap(running_.begin(), running_.end());
    }
    void push(LinkSharing::FlowId flow) {
        running_.push_back({links_.flow(flow).end, -1 - flow, links_.flow(flow).version});
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
        const std::int64_t until = lane.task->first_launch + lane.op->launch;
        return state(lane).host_late + static_cast<double>(until) * program_.host_cost;
    }

    RoleTimeline timeline(std::size_t index) {
        RoleState& role = roles_[index];
        StepTime& time = role.time;
        if (!program_.inline_host) {
            const auto issued = program_.roles[index].tasks.back().first_launch;
            time.wall = std::max(time.wall, Seconds(role.host_late + static_cast<double>(issued) *
                                                                         program_.host_cost));
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
    const StepNoise* const noise_;
    const bool record_spans_;
    std::vector<Lane> lanes_;  // role·kStreams + stream
    std::vector<RoleState> roles_;
    std::vector<Channel> channels_;
    LinkSharing links_;
    std::vector<std::vector<std::int32_t>>
        waiting_;                 // by flow: the lanes that it is an operation of
    std::vector<Entry> running_;  // a heap
    std::vector<std::int32_t> woken_;
    double clock_ = 0;   // seconds of work done by a lane that is always active
    double now_ = 0;     // seconds
    double active_ = 0;  // threads per node that work
};

}  // namespace

std::vector<RoleTimeline> simulate_step(const Program& program, const Cluster& cluster,
                                        bool record_spans, RuntimeProfile profile) {
    const bool separate = lie_unevenly(program, cluster);
    const LaneProgram prepared = prepare(program, cluster, record_spans, profile, separate);
    std::vector<RoleTimeline> timelines = simulate_step(prepared, cluster, record_spans);
    if (!separate) return timelines;
    // Of every role the rank that takes longest; a role's ranks are one behind the other.
    std::vector<RoleTimeline> slowest;
    auto next = timelines.begin();
    for (const RoleProgram& role : program.roles) {
        const auto end = next + std::ssize(role.ranks);
        slowest.push_back(std::move(*std::max_element(
            next, end, [](const auto& a, const auto& b) { return a.time.wall < b.time.wall; })));
        next = end;
    }
    return slowest;
}

std::vector<RoleTimeline> simulate_step(const LaneProgram& program, const Cluster& cluster,
                                        bool record_spans, const StepNoise* noise) {
    return Engine(program, CoreSharing::of(cluster), cluster.nodes, record_spans, noise).run();
}

}  // namespace shardscope
