#include "backends/interpreter.h"

#include "core/error.h"

namespace shardscope {
namespace {

void expect_executable(const RoleProgram& role) {
    for (const Body& body : role.bodies)
        for (const Instruction& instruction : body.instructions)
            if (std::holds_alternative<Exchange>(instruction.operation))
                throw Error("unsupported",
                            "body '" + body.name + "' exchanges activations between ranks",
                            "use pp 1, or simulate this strategy", ErrorKind::run_failed);
}

}  // namespace

Interpreter::Interpreter(const Program& program, Rank rank, const MemoryPlan& plan,
                         Executor& executor)
    : role_(program.roles[program.role_of(rank)]), plan_(plan), executor_(executor) {
    expect_executable(role_);
    // The program's first group is the data-parallel one, which shards are counted in.
    if (!program.groups.empty()) data_parallel_index_ = program.groups.front().index_of(rank);
    arena_ = executor.allocate_arena(plan.arena);
}

StepScalars Interpreter::run_step(std::int64_t step, LiveBuffers* account) {
    StepScalars scalars;
    if (account != nullptr) account->begin_step();
    for (const Task& task : role_.schedule) {
        const StepContext context{step, task.micro_batch};
        executor_.begin_body();
        if (account != nullptr) account->begin_task();
        for (const Instruction& instruction : role_.bodies[task.body.index()].instructions) {
            if (account != nullptr) account->before_issue(instruction);
            issue(instruction, context, scalars);
            if (account != nullptr) account->after_issue(instruction);
        }
    }
    executor_.synchronize();
    if (account != nullptr) account->end_step();
    return scalars;
}

void Interpreter::issue(const Instruction& instruction, const StepContext& context,
                        StepScalars& scalars) {
    const Stream stream = instruction.stream;
    const Operation& operation = instruction.operation;
    if (const auto* compute = std::get_if<Compute>(&operation)) {
        Addresses operands{};
        for (std::size_t i = 0; i < kMaxOperands; ++i) operands[i] = resolve(compute->operands[i]);
        executor_.compute(stream, *compute, operands, context);
    } else if (const auto* collective = std::get_if<Collective>(&operation)) {
        executor_.collective(stream, *collective, resolve(collective->send),
                             resolve(collective->recv));
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
    return address_of(operand.buffer) + operand.offset + operand.rank_stride * data_parallel_index_;
}

}  // namespace shardscope
