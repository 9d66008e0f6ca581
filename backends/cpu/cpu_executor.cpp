#include "backends/cpu/cpu_executor.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "backends/cpu/kernels/dispatch.h"
#include "backends/cpu/kernels/gemm.h"
#include "core/error.h"

namespace shardscope {
namespace {

std::array<bool, kStreams> used_streams(const RoleProgram& role) {
    std::array<bool, kStreams> used{};
    for (const Body& body : role.bodies)
        for (const Instruction& instruction : body.instructions)
            used[static_cast<std::size_t>(instruction.stream)] = true;
    return used;
}

// How much may be pending on a stream: a whole step where the role exchanges with others, so that the
// rank goes on issuing while a peer is late.
std::size_t capacity_of(const RoleProgram& role, Stream stream) {
    std::size_t issued = 0;
    bool exchanges = false;
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions) {
            if (i.stream != stream) continue;
            ++issued;
            exchanges = exchanges || std::holds_alternative<Exchange>(i.operation);
        }
    return exchanges ? std::max(issued, StreamWorker::kCapacity) : StreamWorker::kCapacity;
}

Span::Kind span_kind(StreamWork::Kind kind) {
    if (kind == StreamWork::Kind::compute) return Span::Kind::compute;
    return kind == StreamWork::Kind::wait ? Span::Kind::wait : Span::Kind::communication;
}

}  // namespace

CpuExecutor::CpuExecutor(const RoleProgram& role, RankCommunicators communicators,
                         BatchLoader loader, const CpuExecutorOptions& options)
    : communicators_(std::move(communicators)),
      loader_(std::move(loader)),
      options_(options),
      team_(options.threads),
      events_(role.events),
      recorded_(static_cast<std::size_t>(role.events)) {
    const auto used = used_streams(role);
    for (std::size_t s = 0; s < kStreams; ++s) {
        const auto stream = static_cast<Stream>(s);
        if (!used[s] || stream == Stream::compute) continue;
        workers_[s] = std::make_unique<StreamWorker>(
            cpu::use_one_thread,
            [this, stream](const StreamWork& w) { execute_or_fail(stream, w); },
            capacity_of(role, stream));
    }
}

CpuExecutor::~CpuExecutor() {
    for (const auto& w : workers_)
        if (w != nullptr && !w->idle()) abort();
    for (auto& w : workers_) w.reset();
}

std::byte* CpuExecutor::allocate_arena(Bytes size) {
    arena_ = Arena(size);
    return arena_.data();
}

void CpuExecutor::compute(Stream stream, const Compute& instruction, const Addresses& operands,
                          const StepContext& context) {
    StreamWork work;
    work.kind = StreamWork::Kind::compute;
    work.compute = &instruction;
    work.operands = operands;
    work.context = context;
    submit(stream, work);
}

void CpuExecutor::collective(Stream stream, const Collective& instruction, const std::byte* send,
                             std::byte* recv) {
    StreamWork work;
    work.kind = StreamWork::Kind::collective;
    work.collective = &instruction;
    work.send = send;
    work.recv = recv;
    submit(stream, work);
}

void CpuExecutor::exchange(Stream stream, const Exchange& instruction,
                           std::span<std::byte* const> addresses) {
    const auto& transfers = instruction.transfers;
    const auto elsewhere = [&](const auto& t) { return t.group != transfers.front().group; };
    if (transfers.size() > kMaxOperands || std::ranges::any_of(transfers, elsewhere))
        throw Error("unsupported",
                    "the cpu backend exchanges at most " + std::to_string(kMaxOperands) +
                        " transfers of one group at once",
                    "", ErrorKind::run_failed);
    StreamWork work;
    work.kind = StreamWork::Kind::exchange;
    work.exchange = &instruction;
    std::ranges::copy(addresses, work.operands.begin());
    submit(stream, work);
}

void CpuExecutor::record(Stream stream, EventId event) {
    const std::uint64_t ticket = ++recorded_[event.index()];
    StreamWork work;
    work.kind = StreamWork::Kind::record;
    work.event = event;
    work.ticket = ticket;
    submit(stream, work);
}

void CpuExecutor::wait(Stream stream, EventId event) {
    StreamWork work;
    work.kind = StreamWork::Kind::wait;
    work.event = event;
    work.ticket = recorded_[event.index()];  // 0, always reached, before the first recording
    submit(stream, work);
}

void CpuExecutor::copy_scalar(Stream stream, const std::byte* value, double* destination) {
    if (StreamWorker* w = worker(stream)) w->drain();
    throw_failure();
    std::memcpy(destination, value, sizeof *destination);
}

void CpuExecutor::synchronize() {
    for (const auto& w : workers_)
        if (w != nullptr) w->drain();
    throw_failure();
}

void CpuExecutor::submit(Stream stream, const StreamWork& work) {
    throw_failure();
    if (StreamWorker* w = worker(stream))
        w->push(work);
    else
        execute(stream, work);
}

void CpuExecutor::execute(Stream stream, const StreamWork& work) {
    if (work.kind == StreamWork::Kind::record) return events_.reach(work.event, work.ticket);
    const auto start = SpanLog::Clock::now();
    switch (work.kind) {
        case StreamWork::Kind::compute:
            run_compute(stream, work);
            break;
        case StreamWork::Kind::collective:
            run_collective(stream, work);
            break;
        case StreamWork::Kind::exchange:
            run_exchange(stream, work);
            break;
        case StreamWork::Kind::wait:
            run_wait(work);
            break;
        case StreamWork::Kind::record:
            break;
    }
    if (log_ != nullptr) log_->add(stream, span_kind(work.kind), start, SpanLog::Clock::now());
}

void CpuExecutor::execute_or_fail(Stream stream, const StreamWork& work) noexcept {
    if (failed_) return;  // what follows a failure is skipped, so that the queue empties
    try {
        execute(stream, work);
    } catch (...) {
        {
            const std::lock_guard lock(failure_mutex_);
            if (!failure_) failure_ = std::current_exception();
        }
        failed_ = true;
        abort();
    }
}

void CpuExecutor::run_compute(Stream stream, const StreamWork& work) {
    if (const auto* load = std::get_if<LoadBatch>(&work.compute->kernel))
        loader_.load(*load, work.compute->dtype, work.operands, work.context);
    else
        cpu::execute(*work.compute, work.operands, work.context,
                     stream == Stream::compute ? team_ : alone_);
}

void CpuExecutor::run_collective(Stream stream, const StreamWork& work) {
    if (options_.communication_delay.count() > 0)
        std::this_thread::sleep_for(options_.communication_delay);
    const Collective& c = *work.collective;
    const auto s = static_cast<std::size_t>(stream);
    Communicator& group = *communicators_.collectives[s].at(c.group.index());
    switch (c.kind) {
        case CollectiveKind::all_reduce:
            return group.all_reduce(work.recv, c.elements, c.dtype, c.reduce);
        case CollectiveKind::reduce_scatter:
            return group.reduce_scatter(work.send, work.recv, c.elements / group.size(), c.dtype);
        case CollectiveKind::all_gather:
            return group.all_gather(work.send, work.recv, c.elements / group.size(), c.dtype);
        case CollectiveKind::all_to_all:
        case CollectiveKind::dispatch:
        case CollectiveKind::combine:
            throw std::logic_error("what experts' ranks exchange is simulated only");
    }
}

void CpuExecutor::run_exchange(Stream stream, const StreamWork& work) {
    if (options_.communication_delay.count() > 0)
        std::this_thread::sleep_for(options_.communication_delay);
    const auto& transfers = work.exchange->transfers;
    if (transfers.empty()) return;
    std::array<Transfer, kMaxOperands> ends;
    for (std::size_t i = 0; i < transfers.size(); ++i)
        ends[i] = {transfers[i].peer, transfers[i].send, work.operands[i],
                   transfers[i].elements * size_of(transfers[i].dtype)};
    communicators_.transfers[static_cast<std::size_t>(transfer_lane(stream))]
        .at(transfers.front().group.index())
        ->exchange(std::span(ends).first(transfers.size()));
}

void CpuExecutor::run_wait(const StreamWork& work) {
    if (events_.wait(work.event, work.ticket)) return;
    throw_failure();
    throw Error(std::string(kCommunicationAborted), "the rank was stopped while it waited", "",
                ErrorKind::run_failed);
}

void CpuExecutor::throw_failure() {
    if (!failed_) return;
    const std::lock_guard lock(failure_mutex_);
    std::rethrow_exception(failure_);
}

void CpuExecutor::abort() noexcept {
    events_.abort();
    communicators_.abort();
}

}  // namespace shardscope
