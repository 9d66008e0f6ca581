#include "simulator/lane_program.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <variant>

#include "core/program/event_origins.h"
#include "simulator/channels.h"
#include "simulator/cost_model.h"
#include "simulator/host_cost.h"
#include "simulator/offload_cost.h"
#include "simulator/product_kernels.h"

namespace shardscope {
namespace {

// Seconds of kernels, each worked out once: layers are alike, and so are most stages.
class KernelTimes {
public:
    explicit KernelTimes(const CostModel& costs) : costs_(costs) {}

    double seconds(const Compute& compute, int threads) {
        auto& known = known_[compute.kernel.index()];
        const auto same = std::find_if(known.begin(), known.end(), [&](const Known& k) {
            return k.threads == threads && k.dtype == compute.dtype &&
                   k.gradient == compute.gradient && k.math == compute.math &&
                   k.cast == compute.cast && k.laid_out == compute.laid_out &&
                   k.kernel == compute.kernel;
        });
        if (same != known.end()) return same->seconds;
        const double seconds = costs_.kernel(compute, threads).value;
        known.push_back({compute.kernel, compute.dtype, compute.gradient, compute.math,
                         compute.cast, compute.laid_out, threads, seconds});
        return seconds;
    }

private:
    struct Known {
        Kernel kernel;
        DType dtype, gradient;
        std::optional<MathType> math;
        std::uint8_t cast = 0;
        bool laid_out = false;
        int threads = 1;
        double seconds = 0;
    };
    const CostModel& costs_;
    std::array<std::vector<Known>, std::variant_size_v<Kernel>> known_;  // by kind of kernel
};

// Prepares the bodies of one role, one after the other.
class RolePreparer {
public:
    RolePreparer(const LaneProgram& settings, KernelTimes& times, const OffloadCost& offload,
                 Channels& channels, bool separate_kernels, RuntimeProfile profile)
        : times_(times),
          offload_(offload),
          channels_(channels),
          profile_(profile),
          inline_host_(settings.inline_host),
          blocking_(settings.blocking),
          separate_(separate_kernels),
          host_cost_(settings.host_cost),
          threads_(settings.threads) {}

    // `number`: of the ranks' lock-step.
    LaneProgram::Role prepare(const Program& program, std::size_t number, const LockStep& step) {
        index_ = number;
        out_.program = &program.roles[step.role];
        out_.rank = step.ranks.front();
        origins_ = event_origins(*out_.program);
        const auto bodies = static_cast<std::int32_t>(out_.program->bodies.size());
        for (const EventOrigin& origin : origins_)
            out_.events.push_back(
                {origin.body.valid() ? origin.body.value : bodies, wait_kind(origin.stream)});
        out_.multiplicity = static_cast<int>(step.ranks.size());
        for (const Body& body : out_.program->bodies) prepare_body(body);
        number_tasks();
        return std::move(out_);
    }

private:
    void prepare_body(const Body& body) {
        for (auto& lane : lanes_) lane.clear();
        host_pending_ = 0;
        launch_ = 0;
        for (instruction_ = 0; instruction_ < std::ssize(body.instructions); ++instruction_)
            prepare_instruction(body.instructions[static_cast<std::size_t>(instruction_)]);
        // Host time behind the last kernel of the body.
        if (host_pending_ > 0) add_run(Stream::compute, 0, false);

        LaneProgram::Body& prepared = out_.bodies.emplace_back();
        prepared.launches = launch_;
        for (std::size_t s = 0; s < kStreams; ++s) {
            prepared.lanes[s] = {static_cast<std::int32_t>(out_.ops.size()),
                                 static_cast<std::int32_t>(lanes_[s].size())};
            out_.ops.insert(out_.ops.end(), lanes_[s].begin(), lanes_[s].end());
        }
    }

    void number_tasks() {
        std::vector<std::int32_t> executions(out_.bodies.size());
        LaneProgram::Task task;
        for (const Task& scheduled : out_.program->schedule) {
            const LaneProgram::Body& body = out_.bodies[scheduled.body.index()];
            task.body = scheduled.body.value;
            task.execution = ++executions[scheduled.body.index()];
            out_.tasks.push_back(task);
            task.first_launch += body.launches;
        }
        out_.tasks.push_back(task);
    }

    void prepare_instruction(const Instruction& instruction) {
        phase_ = instruction.phase;
        launches_ = launches_of(instruction);
        unit_ = launch_units(profile_, phase_);
        if (inline_host_ || blocking_) host_pending_ += host_cost_ * launches_ * unit_;
        const Stream stream = instruction.stream;
        if (inline_host_ && stream != Stream::compute) post(stream);
        std::visit([&](const auto& operation) { add(stream, operation); }, instruction.operation);
        if (blocking_ && is_launched_beside(instruction)) hold_compute_until(stream);
        launch_ += launches_ * unit_;
    }

    // On another stream than the one that computes. Transfers between stages are left out: their ends are launched
    // by hosts that would wait for each other.
    static bool is_launched_beside(const Instruction& instruction) {
        return instruction.stream != Stream::compute && instruction.stream != Stream::host &&
               (std::holds_alternative<Compute>(instruction.operation) ||
                std::holds_alternative<Collective>(instruction.operation));
    }

    // Products record events and wait for them within the call that issues the operation.
    int launches_of(const Instruction& instruction) const {
        if (instruction.stream == Stream::host) return 1;
        const auto* compute = std::get_if<Compute>(&instruction.operation);
        const bool several =
            compute != nullptr && std::holds_alternative<Orthogonalise>(compute->kernel);
        if (profile_ == RuntimeProfile::shardscope && !blocking_ && !several) return 1;
        if (compute != nullptr) return product_kernel(profile_, *compute).launches;
        return std::holds_alternative<RecordEvent>(instruction.operation) ||
                       std::holds_alternative<WaitEvent>(instruction.operation)
                   ? 0
                   : 1;
    }

    void add(Stream stream, const Compute& compute) {
        if (stream == Stream::host) return add_run(stream, offload_.kernel(compute).value, false);
        const int threads = stream == Stream::compute ? threads_ : 1;
        add_run(stream, times_.seconds(compute, threads), false);
    }
    void add(Stream stream, const Collective& collective) {
        const Channels::Part part = channels_.collective(index_, stream, collective);
        if (part.channel < 0) return add_run(stream, part.seconds, true, part.load);
        add_meeting(stream, {part});
    }
    void add(Stream stream, const Exchange& exchange) {
        std::vector<Channels::Part> parts;
        Channels::Part own;  // transfers within the role go at the same time
        for (const Exchange::Transfer& transfer : exchange.transfers) {
            const Channels::Part part = channels_.transfer(index_, stream, transfer);
            const auto same = std::find_if(parts.begin(), parts.end(), [&](const auto& other) {
                return other.channel == part.channel;
            });
            if (part.channel < 0) {
                own.seconds = std::max(own.seconds, part.seconds);
                own.load.join(part.load);
            } else if (same != parts.end()) {
                same->seconds += part.seconds;
                same->load.join(part.load);
            } else {
                parts.push_back(part);
            }
        }
        if (parts.empty()) return add_run(stream, own.seconds, true, own.load);
        add_meeting(stream, parts, own.seconds);
    }
    void add(Stream stream, const RecordEvent& record) {
        append(stream, OpKind::record).target = record.event.value;
    }
    void add(Stream stream, const WaitEvent& wait) {
        const EventOrigin& origin = origins_[wait.event.index()];
        const BodyId body(out_.bodies.size());
        Op& op = append(stream, OpKind::wait);
        op.target = wait.event.value;
        if (wait.host) {
            op.host = true;
            op.launch = launch_ + launches_ * unit_;
        }
        op.count = origin.precedes(body, op.instruction) ? 1 : 0;
    }
    void add(Stream stream, const CopyToHost&) {
        // A separate host reads it after the step, an inline one waits for the other thread to come here.
        if (inline_host_ && stream != Stream::compute) hold_compute_until(stream);
    }

    // The compute stream goes on when the other one has come here.
    void hold_compute_until(Stream stream) {
        const auto event = static_cast<std::int32_t>(out_.events.size());
        append(stream, OpKind::record).target = event;
        Op& wait = append(Stream::compute, OpKind::wait);
        wait.target = event;
        wait.count = 1;
        out_.events.push_back({static_cast<std::int32_t>(out_.bodies.size()), wait_kind(stream)});
    }

    void add(Stream stream, const Move& move) {
        add_run(stream, offload_.move(stream, move.bytes()).value, true);
    }

    Op& append(Stream stream, OpKind kind) {
        Op op;
        op.kind = kind;
        op.phase = phase_;
        op.instruction = static_cast<std::int32_t>(instruction_);
        op.launch = launch_ + unit_;
        return lane(stream).emplace_back(op);
    }

    void add_run(Stream stream, double seconds, bool communication, const LinkLoad& load = {}) {
        double host = 0;
        if (stream == Stream::compute) std::swap(host, host_pending_);
        Op* op = lane(stream).empty() ? nullptr : &lane(stream).back();
        // A lane fed by an inline host is one operation per posted instruction.
        const bool mergeable = !separate_ && (!inline_host_ || stream == Stream::compute);
        if (op == nullptr || !mergeable || op->kind != OpKind::run || op->phase != phase_ ||
            op->communication != communication || !load.uses.empty() || op->load >= 0) {
            op = &append(stream, OpKind::run);
            op->load = number_of(load);
        }
        if (!communication && !inline_host_ && stream == Stream::compute)
            add_kernel(*op, host + seconds);
        op->communication = communication;
        op->work += host + seconds;
        if (!communication) op->squares += seconds * seconds;
        op->busy += seconds;
        if (blocking_) return;
        const double issued = (launch_ + unit_ - op->launch) * host_cost_;
        const double last =
            issued + (launches_ - 1) * unit_ * host_cost_ + seconds / std::max(1, launches_);
        op->issue_to_end = std::max(std::max(op->issue_to_end, issued) + seconds, last);
    }

    // The last of several launches has its part of the work left when it is issued.
    void add_kernel(Op& op, double seconds) {
        if (op.kernels == 0) op.first_kernel = static_cast<std::int32_t>(out_.kernels.size());
        const std::int32_t first = launch_ + unit_ - op.launch, more = (launches_ - 1) * unit_;
        const double last = seconds / std::max(1, launches_);
        if (more > 0) out_.kernels.push_back({seconds - last, first});
        out_.kernels.push_back({more > 0 ? last : seconds, first + std::max(0, more)});
        op.kernels += more > 0 ? 2 : 1;
    }

    std::int32_t number_of(const LinkLoad& load) {
        if (load.uses.empty()) return -1;
        const auto same = std::find(out_.loads.begin(), out_.loads.end(), load);
        const auto number = static_cast<std::int32_t>(same - out_.loads.begin());
        if (same == out_.loads.end()) out_.loads.push_back(load);
        return number;
    }

    void add_meeting(Stream stream, const std::vector<Channels::Part>& parts, double own = 0) {
        Op& op = append(stream, OpKind::meet);
        op.communication = true;
        op.target = static_cast<std::int32_t>(out_.parties.size());
        op.count = static_cast<std::int32_t>(parts.size());
        op.work = op.busy = own;
        for (const Channels::Part& part : parts)
            out_.parties.push_back({part.channel, part.seconds, number_of(part.load)});
    }

    void post(Stream stream) {
        auto& host = lane(Stream::compute);
        if (host.empty() || host.back().kind != OpKind::post || host.back().stream != stream)
            append(Stream::compute, OpKind::post).stream = stream;
        ++host.back().count;
    }

    std::vector<Op>& lane(Stream stream) { return lanes_[static_cast<std::size_t>(stream)]; }

    KernelTimes& times_;
    const OffloadCost& offload_;
    Channels& channels_;
    const RuntimeProfile profile_;
    const bool inline_host_, blocking_, separate_;
    const double host_cost_;
    const int threads_;
    LaneProgram::Role out_;
    std::vector<EventOrigin> origins_;
    std::array<std::vector<Op>, kStreams> lanes_;
    std::size_t index_ = 0;
    std::ptrdiff_t instruction_ = 0;
    std::int32_t launch_ = 0;               // units before the instruction
    std::int32_t launches_ = 1, unit_ = 1;  // its own, and how many units each is
    double host_pending_ = 0;               // inline host: time to spend before the next kernel
    Phase phase_ = Phase::forward;
};

}  // namespace

LaneProgram prepare(const Program& program, const Cluster& cluster, bool separate_kernels,
                    RuntimeProfile profile, bool separate_ranks) {
    LaneProgram result;
    result.inline_host = cluster.device.kind == DeviceKind::cpu;
    result.blocking = cluster.device.blocking_launches && !result.inline_host;
    const double launch = profile == RuntimeProfile::shardscope && !result.blocking
                              ? issue_cost(program, cluster.device).value
                              : launch_cost(profile, cluster.device).value;
    result.host_cost = launch / launch_units(profile, Phase::forward);
    if (result.inline_host) result.threads = cluster.device.threads;
    const CostModel costs(cluster.device, profile);
    KernelTimes times(costs);
    std::size_t ranks = 0;
    for (const RoleProgram& role : program.roles) ranks += role.ranks.size();
    const OffloadCost offload(cluster, ranks);
    const std::vector<LockStep> steps = lock_steps(program, separate_ranks);
    Channels channels(program, cluster, steps,
                      cluster.device.constants_of(profile).list_bandwidth.value);
    for (std::size_t number = 0; number < steps.size(); ++number) {
        RolePreparer preparer(result, times, offload, channels, separate_kernels, profile);
        result.roles.push_back(preparer.prepare(program, number, steps[number]));
    }
    if (result.blocking) result.host_cost = 0;
    result.channels = channels.take_participants();
    result.links = channels.links();
    result.multiprocessors = cluster.device.multiprocessors;
    return result;
}

}  // namespace shardscope
