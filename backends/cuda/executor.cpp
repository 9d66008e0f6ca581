#include "backends/cuda/executor.h"

#include <chrono>
#include <thread>

#include "backends/communicator.h"
#include "backends/cuda/device/check.h"
#include "backends/cuda/dispatch.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kScalars = 8;  // a program copies two

struct StreamUse {
    bool used = false, computes = false;
};

std::array<StreamUse, kStreams> uses_of(const RoleProgram& role) {
    std::array<StreamUse, kStreams> uses{};
    uses[static_cast<std::size_t>(Stream::compute)].used = true;
    for (const Body& body : role.bodies)
        for (const Instruction& i : body.instructions) {
            StreamUse& use = uses[static_cast<std::size_t>(i.stream)];
            use.used = true;
            use.computes = use.computes || std::holds_alternative<Compute>(i.operation);
        }
    return uses;
}

std::string names_of(const std::vector<Stream>& streams) {
    std::string text;
    for (const Stream stream : streams)
        text += (text.empty() ? "" : ", ") + std::string(stream_name(stream));
    return text;
}

// Communication goes first where both could run: whoever waits for it has nothing else to do.
StreamPriority priority_of(std::size_t stream) {
    return static_cast<Stream>(stream) == Stream::compute ? StreamPriority::ordinary
                                                          : StreamPriority::high;
}

}  // namespace

Bytes CudaExecutor::device_bytes(const RoleProgram& role) {
    std::int64_t bytes = sizeof(StepWords);
    for (const StreamUse& use : uses_of(role)) bytes += use.computes ? kScratchBytes : 0;
    return Bytes(bytes);
}

CudaExecutor::CudaExecutor(const RoleProgram& role, BatchStage& batches, Linears& linears,
                           Attentions& attentions, NcclCommunicators& communicators,
                           const ExecutorOptions& options)
    : role_(role),
      batches_(batches),
      linears_(linears),
      attentions_(attentions),
      communicators_(communicators),
      options_(options),
      words_(allocate_device(Bytes(sizeof(StepWords)))),
      words_on_host_(allocate_pinned(Bytes(sizeof(StepWords)))),
      scalars_(allocate_pinned(Bytes(kScalars * sizeof(double)))),
      marks_(role) {
    const auto uses = uses_of(role);
    for (std::size_t s = 0; s < kStreams; ++s) {
        if (!uses[s].used) continue;
        streams_[s] = make_stream(priority_of(s));
        if (uses[s].computes) scratch_[s] = allocate_device(Bytes(kScratchBytes));
        contexts_[s] = {streams_[s].get(),
                        options.device,
                        scratch_[s].get(),
                        uses[s].computes ? kScratchBytes : 0,
                        reinterpret_cast<const StepWords*>(words_.get()),
                        options.data_index,
                        options.tensor_index};
    }
    for (int e = 0; e < role.events; ++e) events_.push_back(make_event());
}

void CudaExecutor::prepare(Stream stream, const Compute& instruction, const Addresses& operands) {
    cuda::prepare(instruction, operands, contexts_[index(stream)], linears_);
}

void CudaExecutor::begin_step(std::int64_t step, StepMode mode, SpanLog* log) {
    mode_ = mode;
    log_ = log;
    batches_.prepare(step);
    new (words_on_host_.get()) StepWords{step};
    check(cudaMemcpyAsync(words_.get(), words_on_host_.get(), sizeof(StepWords),
                          cudaMemcpyHostToDevice, queue(Stream::compute)),
          "cudaMemcpyAsync");
    if (mode == StepMode::traced) timer_.begin(queue(Stream::compute));
}

bool CudaExecutor::begin_task(BodyId body, std::int32_t slot, const StepContext& context) {
    close_recording();
    context_ = context;
    if (mode_ != StepMode::recorded) {
        const auto& instructions = role_.bodies[body.index()].instructions;
        if (const auto* first = instructions.empty()
                                    ? nullptr
                                    : std::get_if<Compute>(&instructions.front().operation))
            marks_.set(Stream::compute, first, contexts_[index(Stream::compute)]);
        return false;
    }
    const auto [recording, is_new] = recordings_.try_emplace({body, slot});
    if (is_new) {
        making_ = &recording->second;
        return false;
    }
    for (const Action& action : recording->second)
        std::visit([&](const auto& a) { perform(a); }, action);
    return true;
}

// Kernels read the step from the device, and the rank's place from LaunchContext.
void CudaExecutor::compute(Stream stream, const Compute& instruction, const Addresses& operands,
                           const StepContext&) {
    if (std::holds_alternative<LoadBatch>(instruction.kernel))
        return add(Load{stream, &instruction, operands});
    if (making_ != nullptr) open_graph(stream, &instruction);
    timed(stream, Span::Kind::compute,
          [&] { execute(instruction, operands, contexts_[index(stream)], linears_, attentions_); });
}

void CudaExecutor::collective(Stream stream, const Collective& instruction, const std::byte* send,
                              std::byte* recv) {
    if (making_ == nullptr || !options_.captures_collectives || stream != Stream::compute)
        return add(Collect{stream, &instruction, send, recv});
    open_graph(stream, &instruction);
    perform(Collect{stream, &instruction, send, recv});
}

void CudaExecutor::exchange(Stream stream, const Exchange& instruction,
                            std::span<std::byte* const> addresses) {
    add(Transfers{stream, &instruction, {addresses.begin(), addresses.end()}});
}

void CudaExecutor::record(Stream stream, EventId event) { add(Record{stream, event}); }
void CudaExecutor::wait(Stream stream, EventId event) { add(Wait{stream, event}); }

void CudaExecutor::copy_scalar(Stream stream, const std::byte* value, double* destination) {
    add(Scalar{stream, value, destination});
}

void CudaExecutor::add(Action action) {
    const Stream stream = std::visit([](const auto& a) { return a.stream; }, action);
    close_graph(stream);
    std::visit([&](const auto& a) { perform(a); }, action);
    if (making_ != nullptr) making_->push_back(std::move(action));
}

// Everything queued from here on becomes part of the graph, until something comes that cannot.
void CudaExecutor::open_graph(Stream stream, const void* first_operation) {
    if (is_captured(stream)) return;
    check(cudaStreamBeginCapture(queue(stream), cudaStreamCaptureModeRelaxed),
          "cudaStreamBeginCapture");
    captured_[index(stream)] = true;
    marks_.set(stream, first_operation, contexts_[index(stream)]);
}

void CudaExecutor::close_graph(Stream stream) {
    if (!is_captured(stream)) return;
    captured_[index(stream)] = false;
    cudaGraph_t captured = nullptr;
    check(cudaStreamEndCapture(queue(stream), &captured), "cudaStreamEndCapture");
    const GraphHandle graph(captured);
    cudaGraphExec_t executable = nullptr;
    check(cudaGraphInstantiate(&executable, captured, 0), "cudaGraphInstantiate");
    add(Graph{stream, GraphExecHandle(executable)});
}

void CudaExecutor::close_recording() {
    if (making_ == nullptr) return;
    for (std::size_t s = 0; s < kStreams; ++s) close_graph(static_cast<Stream>(s));
    making_ = nullptr;
}

template <class Work>
void CudaExecutor::timed(Stream stream, Span::Kind kind, Work&& work) {
    if (mode_ != StepMode::traced) return work();
    timer_.start(stream, kind, queue(stream));
    work();
    timer_.stop(queue(stream));
}

void CudaExecutor::perform(const Graph& action) {
    check(cudaGraphLaunch(action.graph.get(), queue(action.stream)), "cudaGraphLaunch");
}

void CudaExecutor::perform(const Load& action) {
    timed(action.stream, Span::Kind::compute,
          [&] { batches_.load(queue(action.stream), *action.load, action.operands, context_); });
}

void CudaExecutor::perform(const Collect& action) {
    marks_.set(action.stream, action.collective, contexts_[index(action.stream)]);
    timed(action.stream, Span::Kind::communication, [&] {
        communicators_.collective(*action.collective, action.stream, action.send, action.recv,
                                  queue(action.stream));
    });
}

void CudaExecutor::perform(const Transfers& action) {
    marks_.set(action.stream, action.exchange, contexts_[index(action.stream)]);
    timed(action.stream, Span::Kind::communication, [&] {
        communicators_.exchange(*action.exchange, action.stream, action.addresses,
                                queue(action.stream));
    });
}

void CudaExecutor::perform(const Record& action) {
    check(cudaEventRecord(events_[action.event.index()].get(), queue(action.stream)),
          "cudaEventRecord");
}

// Before the first recording there is nothing to wait for, in CUDA as in the program.
void CudaExecutor::perform(const Wait& action) {
    timed(action.stream, Span::Kind::wait, [&] {
        check(cudaStreamWaitEvent(queue(action.stream), events_[action.event.index()].get(), 0),
              "cudaStreamWaitEvent");
    });
}

void CudaExecutor::perform(const Scalar& action) {
    check(cudaMemcpyAsync(pinned_scalar(action.destination), action.value, sizeof(double),
                          cudaMemcpyDeviceToHost, queue(action.stream)),
          "cudaMemcpyAsync");
}

double* CudaExecutor::pinned_scalar(double* destination) {
    std::size_t i = 0;
    while (i < destinations_.size() && destinations_[i] != destination) ++i;
    if (i == kScalars)
        throw Error("unsupported", "the program copies more than 8 scalars to the host", "",
                    ErrorKind::run_failed);
    if (i == destinations_.size()) destinations_.push_back(destination);
    return reinterpret_cast<double*>(scalars_.get()) + i;
}

void CudaExecutor::synchronize() {
    close_recording();
    batches_.prepare(context_.step + 1);  // while the device works
    wait_until_idle();
    for (std::size_t i = 0; i < destinations_.size(); ++i)
        *destinations_[i] = reinterpret_cast<const double*>(scalars_.get())[i];
    if (mode_ == StepMode::traced && log_ != nullptr) timer_.report(*log_);
}

// Looks instead of blocking in CUDA, so that a failure elsewhere, or no progress, ends the wait.
void CudaExecutor::wait_until_idle() {
    constexpr auto kSpins = std::chrono::milliseconds(2);
    const auto start = Clock::now();
    auto moved = start;
    auto words = marks_.words();
    while (true) {
        std::vector<Stream> busy;
        for (std::size_t s = 0; s < kStreams; ++s) {
            if (streams_[s] == nullptr) continue;
            if (!is_idle(streams_[s].get())) busy.push_back(static_cast<Stream>(s));
        }
        expect_no_failure();
        if (busy.empty()) return;
        const auto now = Clock::now();
        if (const auto latest = marks_.words(); latest != words) {
            words = latest;
            moved = now;
        }
        if (std::chrono::duration<double>(now - moved).count() > options_.timeout.value)
            throw Error("stuck",
                        "no progress for " +
                            std::to_string(static_cast<int>(options_.timeout.value)) + " s on " +
                            names_of(busy),
                        "see what the other ranks wait for; a longer --timeout, if one task really "
                        "takes that long",
                        ErrorKind::run_failed);
        if (now - start > kSpins) std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
}

void CudaExecutor::expect_no_failure() const {
    if (const auto failure = options_.failure ? options_.failure() : std::nullopt) throw *failure;
}

std::string CudaExecutor::place() const {
    std::string text;
    const auto words = marks_.words();
    for (std::size_t s = 0; s < kStreams; ++s) {
        if (words[s] == 0) continue;
        const auto stream = static_cast<Stream>(s);
        text += (text.empty() ? "" : "; ") + std::string(stream_name(stream)) + " in " +
                marks_.where(stream);
    }
    return text;
}

}  // namespace shardscope::cuda
