#include "backends/cuda/rank.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <thread>

#include "backends/communicator.h"
#include "backends/cuda/device/check.h"
#include "backends/cuda/device/shape.h"
#include "backends/process/message_communicator.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

constexpr std::uint32_t kBootstrap = 1;  // the link's channel that NCCL's id goes over

const RoleProgram& role_of(const Plan& plan, Rank rank) {
    return plan.program.roles[plan.program.role_of(rank)];
}

void copy_between(void* to, const void* from, std::size_t bytes) {
    check(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "cudaMemcpy");
}

AttentionLibrary attention_library(const CudaOptions& options) {
    switch (options.attention) {
        case CudaOptions::Attention::own:
            return AttentionLibrary::own;
        case CudaOptions::Attention::cudnn:
            return AttentionLibrary::cudnn;
        case CudaOptions::Attention::best:
            break;
    }
    return AttentionLibrary::best;
}

// The largest workspace that attention of the role asks for.
std::int64_t prepare(Attentions& attentions, const RoleProgram& role) {
    std::int64_t most = 0;
    for (const Body& body : role.bodies)
        for (const Instruction& i : body.instructions) {
            const auto* compute = std::get_if<Compute>(&i.operation);
            if (compute == nullptr) continue;
            if (const auto* forward = std::get_if<Attention>(&compute->kernel))
                most = std::max(most, attentions.prepare(*forward, compute->dtype));
            if (const auto* backward = std::get_if<AttentionGrad>(&compute->kernel))
                most = std::max(most, attentions.prepare(*backward, compute->dtype));
        }
    return most;
}

// Ends when the stream is idle, or with what `check` throws.
void wait_for(cudaStream_t stream, const std::function<void()>& check_others) {
    while (true) {
        if (is_idle(stream)) return;
        check_others();
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
}

// Also measures what they, and all before them, take.
std::unique_ptr<NcclCommunicators> make_communicators(const Plan& plan, MessageLink& link,
                                                      const CudaOptions& options,
                                                      DeviceMemoryStages& stages,
                                                      RuntimeMemory& measured) {
    measured.context = stages.context().value_or(Bytes(0)) + stages.since();
    std::vector<Rank> everybody;
    for (int r = 0; r < plan.layout.world; ++r) everybody.emplace_back(r);
    const auto bootstrap = make_message_communicator(link, everybody, kBootstrap);
    NcclOptions nccl;
    nccl.timeout = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(options.timeout.value));
    // Several ranks of a GPU share its multiprocessors, and each must get through.
    nccl.channels = options.ranks_per_gpu > 1 ? 1 : 0;
    nccl.check = [&link] {
        if (const auto failure = link.failure())
            throw Error(std::string(kCommunicationAborted), failure->message, failure->fix,
                        ErrorKind::run_failed);
    };
    auto made = std::make_unique<NcclCommunicators>(plan.program, link.rank(), *bootstrap, nccl);
    const StreamHandle stream = make_stream(StreamPriority::ordinary);
    const DeviceMemory scalars = allocate_device(Bytes(2 * sizeof(double)));
    made->warm_up(scalars.get(), stream.get());
    wait_for(stream.get(), nccl.check);
    measured.communicators = stages.since();
    return made;
}

ExecutorOptions executor_options(const Plan& plan, Rank rank, const DeviceShape& device,
                                 const CudaOptions& options, const Watchdog* watchdog) {
    ExecutorOptions made;
    made.device = device;
    made.data_index = plan.data_index(rank);
    made.tensor_index = plan.tensor_index(rank);
    made.captures_collectives = options.ranks_per_gpu == 1;
    made.timeout = options.timeout;
    if (watchdog != nullptr) made.failure = [watchdog] { return watchdog->failure(); };
    return made;
}

}  // namespace

CudaRank::CudaRank(const Plan& plan, const DataSource& data, MessageLink& link,
                   const CudaOptions& options)
    : plan_(plan),
      rank_(link.rank()),
      options_(options),
      role_(role_of(plan, rank_)),
      memory_plan_(plan.memory_of(rank_)),
      stages_(options.device),
      device_(shape_of(options.device)),
      linears_({.tf32 = options.tf32,
                .timed_candidates = options.ranks_per_gpu == 1 ? kTimedCandidates : 1}),
      // cuDNN's deterministic backward pass is slower, and wants more memory.
      attentions_(attention_library(options), false),
      workspace_(prepare(attentions_, role_)),
      attention_workspace_(allocate_device(workspace_)),
      communicators_(make_communicators(plan, link, options, stages_, measured_)),
      watchdog_(plan.layout.world > 1 ? std::make_unique<Watchdog>(link, *communicators_)
                                      : nullptr),
      batches_(role_, BatchLoader(data, plan.layout, plan.data_index(rank_)), plan.training.steps),
      arena_(allocate_device(memory_plan_.arena)),
      executor_(role_, batches_, linears_, attentions_, *communicators_,
                executor_options(plan, rank_, device_, options, watchdog_.get())),
      interpreter_(plan.program, rank_, memory_plan_, executor_, arena_.get()),
      state_(plan, rank_, arena_.get(), copy_between),
      account_(std::make_unique<LiveBuffers>(role_, memory_plan_)),
      log_(role_) {
    attentions_.set_workspace(attention_workspace_.get());
    workspace_ += staged_samples(role_) + CudaExecutor::device_bytes(role_);
    measured_.workspace = workspace_;
    // Code and libraries are what is left when all that we asked for is taken away.
    measured_.context += stages_.since() - memory_plan_.arena - workspace_;
    prepare_kernels();
    // The ranks of this machine divide its cores.
    const auto here = std::ranges::count(link.hosts(), link.hosts()[rank_.index()]);
    const auto cores = static_cast<int>(std::thread::hardware_concurrency());
    write_initial_weights(plan, state_, std::max(1, cores / static_cast<int>(here)));
    walls_.reserve(static_cast<std::size_t>(std::min(plan.training.steps, kReservedSteps)));
}

// Lets every linear layer choose its algorithm, with numbers that are not zero: those are multiplied faster.
void CudaRank::prepare_kernels() {
    const auto bytes = static_cast<std::size_t>(memory_plan_.arena.value);
    const auto fill = [&](int value) {
        check(cudaMemset(arena_.get(), value, bytes), "cudaMemset");
        check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    };
    if (bytes == 0) return;
    fill(0x3c);  // 0.0115 in bf16 and in fp32
    for (const Task& task : role_.schedule)
        for (const Instruction& i : role_.bodies[task.body.index()].instructions)
            if (const auto* compute = std::get_if<Compute>(&i.operation))
                executor_.prepare(i.stream, *compute,
                                  interpreter_.addresses_of(*compute, task.micro_batch));
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    cudaGetLastError();  // libraries try what may fail while they choose, and leave it behind
    fill(0);
}

CudaRank::~CudaRank() {
    if (std::uncaught_exceptions() > 0) communicators_->abort();
}

std::int64_t CudaRank::traced_step() const {
    return std::min<std::int64_t>(options_.graphs ? 2 : 1, plan_.training.steps - 1);
}

bool CudaRank::is_timed(std::int64_t step) const {
    return step > traced_step() || step == plan_.training.steps - 1;
}

StepMode CudaRank::mode_of(std::int64_t step) const {
    if (step == traced_step()) return StepMode::traced;
    return options_.graphs && step > 0 ? StepMode::recorded : StepMode::direct;
}

void CudaRank::run_step(std::int64_t step) {
    step_ = step;
    const auto start = SpanLog::Clock::now();
    if (mode_of(step) == StepMode::traced) log_.begin_step(start);
    try {
        executor_.begin_step(step, mode_of(step), &log_);
        scalars_ = interpreter_.run_step(step, account_.get());
    } catch (const Error& e) {
        // The watchdog ends communication before it says why.
        if (watchdog_ == nullptr || e.rule != kCommunicationAborted) throw;
        throw watchdog_->cause_of(e);
    }
    wall_ = Seconds(std::chrono::duration<double>(SpanLog::Clock::now() - start).count());
}

void CudaRank::finish_step() {
    if (step_ == traced_step()) traced_ = cut(log_.finish_step(), wall_);
    if (is_timed(step_)) walls_.push_back(wall_);
    measure_memory();
    if (account_ == nullptr) return;
    memory_ = account_->use();
    account_.reset();
}

// Kernels are loaded, and graphs made, when they are first used: that is part of the context. What comes
// after the first replay is not expected.
void CudaRank::measure_memory() {
    const Bytes taken = stages_.since();
    if (step_ <= traced_step() + 1)
        measured_.context += taken;
    else
        grown_ += taken;
}

RankState CudaRank::state() { return state_; }

// Kernels take as long in a graph as by themselves; what a step spends otherwise is the rest.
StepTime CudaRank::parts_within(Seconds wall) const {
    StepTime parts = traced_;
    const Seconds busy = parts.compute + parts.exposed_communication + parts.optimizer;
    if (busy > wall) {
        const double shrink = wall.value / busy.value;
        for (Seconds* part : {&parts.compute, &parts.exposed_communication, &parts.optimizer})
            *part = Seconds(part->value * shrink);
    }
    parts.wall = wall;
    parts.bubble = wall - parts.compute - parts.exposed_communication - parts.optimizer;
    return parts;
}

std::vector<std::string> CudaRank::notes() const {
    std::vector<std::string> notes = attentions_.choices();
    for (std::string& choice : linears_.choices())
        if (choice.ends_with(": refused")) notes.push_back("cuBLASLt: " + choice);
    return notes;
}

MemoryUse CudaRank::memory_use() const {
    MemoryUse use = memory_;
    // Where ranks share a GPU nobody can tell their parts apart: the plan's figure stays.
    use.runtime = memory_plan_.runtime_parts;
    if (options_.ranks_per_gpu > 1 || !stages_.context()) return use;
    auto& category = use.categories[static_cast<std::size_t>(Category::runtime)];
    use.peak += measured_.total() - category;
    category = measured_.total();
    use.runtime = measured_;
    use.outside_plan = std::max(grown_, Bytes(0));
    return use;
}

Bytes CudaRank::memory() const {
    const MemoryUse use = memory_use();
    return use.peak + use.outside_plan;
}

RankTrace CudaRank::take_trace(bool with_spans) {
    RankTrace trace;
    trace.rank = rank_;
    for (const Seconds wall : walls_) trace.steps.push_back(parts_within(wall));
    if (with_spans) trace.spans = log_.finish_step();
    trace.memory = memory_use();
    trace.memory.process = memory_of_this_process().value_or(Bytes(0));
    return trace;
}

}  // namespace shardscope::cuda
