#include "backends/interpreter.h"

#include <map>
#include <set>

#include "core/lowering/plan.h"

namespace shardscope {
namespace {

// The frames that operands of a body lie in, as indices into plan.frames, ascending.
std::vector<std::size_t> frames_of(const Body& body, const MemoryPlan& plan) {
    std::set<std::size_t> frames;
    for (const Instruction& instruction : body.instructions)
        for_each_operand(instruction, [&](const Operand& operand, Access) {
            const std::int32_t frame = plan.frame[operand.buffer.index()];
            if (frame >= 0) frames.insert(static_cast<std::size_t>(frame));
        });
    return {frames.begin(), frames.end()};
}

// Per micro-batch: the number of its places among the different ones, in order of first appearance.
std::vector<std::int32_t> slots_of(const Body& body, const MemoryPlan& plan) {
    const std::vector<std::size_t> frames = frames_of(body, plan);
    std::size_t micro_batches = frames.empty() ? 0 : plan.frames[frames.front()].base.size();
    std::map<std::vector<std::int64_t>, std::int32_t> known;
    std::vector<std::int32_t> slots;
    for (std::size_t m = 0; m < micro_batches; ++m) {
        std::vector<std::int64_t> bases;
        for (const std::size_t f : frames) bases.push_back(plan.frames[f].base[m].value);
        slots.push_back(
            known.emplace(bases, static_cast<std::int32_t>(known.size())).first->second);
    }
    return slots;
}

}  // namespace

Interpreter::Interpreter(const Program& program, Rank rank, const MemoryPlan& plan,
                         Executor& executor, std::byte* arena)
    : role_(program.roles[program.role_of(rank)]), plan_(plan), executor_(executor), arena_(arena) {
    const auto index_in = [&](std::size_t group) {
        return group < program.groups.size() ? program.groups[group].index_of(rank) : 0;
    };
    context_.data_index = index_in(kDataGroup);
    context_.tensor_index = index_in(kTensorGroup);
    for (const Body& body : role_.bodies) {
        slots_.push_back(slots_of(body, plan));
        for (const Instruction& instruction : body.instructions)
            if (const auto* copy = std::get_if<CopyToHost>(&instruction.operation))
                (copy->what == CopyToHost::What::loss ? copies_loss_ : copies_norm_) = true;
    }
}

StepScalars Interpreter::run_step(std::int64_t step, LiveBuffers* account) {
    context_.step = step;
    if (account != nullptr) account->begin_step();
    for (const Task& task : role_.schedule) run_task(task, account);
    executor_.synchronize();
    if (account != nullptr) account->end_step();
    StepScalars scalars;
    if (copies_loss_) scalars.loss = loss_;
    if (copies_norm_) scalars.gradient_norm_squared = gradient_norm_squared_;
    return scalars;
}

void Interpreter::run_task(const Task& task, LiveBuffers* account) {
    context_.micro_batch = task.micro_batch;
    const auto& slots = slots_[task.body.index()];
    const std::int32_t slot = slots.empty() ? 0 : slots[static_cast<std::size_t>(task.micro_batch)];
    const bool replayed = executor_.begin_task(task.body, slot, context_);
    if (account != nullptr) account->begin_task();
    for (const Instruction& instruction : role_.bodies[task.body.index()].instructions) {
        if (account != nullptr) account->before_issue(instruction);
        if (!replayed) issue(instruction);
        if (account != nullptr) account->after_issue(instruction);
    }
}

void Interpreter::issue(const Instruction& instruction) {
    const Stream stream = instruction.stream;
    const Operation& operation = instruction.operation;
    if (const auto* compute = std::get_if<Compute>(&operation)) {
        executor_.compute(stream, *compute, addresses_of(*compute, context_.micro_batch), context_);
    } else if (const auto* collective = std::get_if<Collective>(&operation)) {
        executor_.collective(stream, *collective, resolve(collective->send),
                             resolve(collective->recv));
    } else if (const auto* exchange = std::get_if<Exchange>(&operation)) {
        addresses_.clear();
        for (const auto& transfer : exchange->transfers)
            addresses_.push_back(resolve(transfer.operand));
        executor_.exchange(stream, *exchange, addresses_);
    } else if (const auto* record = std::get_if<RecordEvent>(&operation)) {
        executor_.record(stream, record->event);
    } else if (const auto* wait = std::get_if<WaitEvent>(&operation)) {
        executor_.wait(stream, wait->event);
    } else if (const auto* copy = std::get_if<CopyToHost>(&operation)) {
        executor_.copy_scalar(
            stream, resolve(copy->operand),
            copy->what == CopyToHost::What::loss ? &loss_ : &gradient_norm_squared_);
    }
}

Addresses Interpreter::addresses_of(const Compute& compute, std::int32_t micro_batch) const {
    Addresses operands{};
    for (std::size_t i = 0; i < kMaxOperands; ++i)
        operands[i] = resolve(compute.operands[i], micro_batch);
    return operands;
}

std::byte* Interpreter::resolve(const Operand& operand, std::int32_t micro_batch) const {
    if (!operand.valid()) return nullptr;
    return arena_ + plan_.place(operand.buffer, micro_batch).value + operand.offset +
           operand.rank_stride * context_.data_index;
}

}  // namespace shardscope
