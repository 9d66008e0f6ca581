// What tests of plans ask them.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "core/lowering/plan.h"
#include "core/model/model.h"
#include "core/program/check.h"
#include "tests/support/tiny.h"

namespace shardscope::test {

// Of tiny_gpt and tiny_llama.
inline constexpr std::int64_t kTinyLayers = 3, kTinyHidden = 24, kTinySeq = 16;
inline constexpr std::int64_t kHalfBytes = 2, kStateBytes = 4;  // bf16 and fp32

inline Plan checked_plan(const Scenario& s) {
    Plan plan = lower_tiny(s);
    check_program(plan.program, plan.memory);
    return plan;
}

// Every instruction of a step, as often as it is run.
template <class Visit>
void for_each_scheduled(const RoleProgram& role, Visit visit) {
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions) visit(i);
}

// Bytes of the category's buffers that are there from step to step.
inline std::int64_t kept(const RoleProgram& role, Category category) {
    std::int64_t sum = 0;
    for (const Buffer& b : role.buffers)
        if (b.residence == Residence::persistent && b.category == category) sum += b.size().value;
    return sum;
}

// Elements of the first stage's units, with what they are padded by.
inline std::int64_t padded(const Plan& plan) {
    std::int64_t sum = 0;
    for (const Unit& unit : plan.units[0]) sum += unit.padded;
    return sum;
}

inline const Parameter& parameter_named(const Model& model, const std::string& name) {
    for (const Parameter& p : model.parameters)
        if (p.name == name) return p;
    throw std::out_of_range("no parameter " + name);
}

}  // namespace shardscope::test
