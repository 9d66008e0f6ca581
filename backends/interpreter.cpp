#include "backends/interpreter.h"

#include "core/lowering/plan.h"

namespace shardscope {
Interpreter::Interpreter(const Program& program, Rank rank, const MemoryPlan& plan,
                         Executor& executor)
    : role_(program.roles[program.role_of(rank)]), plan_(plan), executor_(executor) {
    const auto index_in = [&](std::size_t group) {
        return group < program.groups.size() ? program.groups[group].index_of(rank) : 0;
    };
    context_.data_index = index_in(kDataGroup);
    context_.tensor_index = index_in(kTensorGroup);
    arena_ = executor.allocate_arena(plan.arena);
}

StepScalars Interpreter::run_step(std::int64_t step, LiveBuffers* account) {
    StepScalars scalars;
    if (account != nullptr) account->begin_step();
    for (const Task& task : role_.schedule) {
        context_.step = step;
        context_.micro_batch = task.micro_batch;
        if (account != nullptr) account->begin_task();
        for (const Instruction& instruction : role_.bodies[task.body.index()].instructions) {
            if (account != nullptr) account->before_issue(instruction);
            issue(instruction, scalars);
            if (account != nullptr) account->after_issue(instruction);
        }
    }
    executor_.synchronize();
    if (account != nullptr) account->end_step();
    return scalars;
}

void Interpreter::issue(const Instruction& instruction, StepScalars& scalars) {
    const Stream stream = instruction.stream;
    const Operation& operation = instruction.operation;
    if (const auto* compute = std::get_if<Compute>(&operation)) {
        Addresses operands{};
        for (std::size_t i = 0; i < kMaxOperands; ++i) operands[i] = resolve(compute->operands[i]);
        executor_.compute(stream, *compute, operands, context_);
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
        const double value = executor_.read_scalar(stream, resolve(copy->operand));
        (copy->what == CopyToHost::What::loss ? scalars.loss : scalars.gradient_norm_squared) =
            value;
    }
}

std::byte* Interpreter::resolve(const Operand& operand) const {
    if (!operand.valid()) return nullptr;
    return arena_ + plan_.place(operand.buffer, context_.micro_batch).value + operand.offset +
           operand.rank_stride * context_.data_index;
}

}  // namespace shardscope
