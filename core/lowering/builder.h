// Collects buffers and instructions of one role while passes lower into it.
#pragma once

#include <optional>
#include <string>

#include "core/program/program.h"

namespace shardscope {

class RoleBuilder {
public:
    // A new buffer. Names are unique in a role: who needs a buffer in several bodies keeps its id, so
    // that the variants of a body (first, middle, last micro-batch) share temporaries. Zero-element
    // buffers are not created (invalid id).
    BufferId buffer(std::string name, std::int64_t elements, DType dtype, Category category,
                    Residence residence = Residence::transient, Tier tier = Tier::device);

    // Instructions may touch the buffer piece by piece from now on.
    void divide(BufferId buffer, int pieces) { role.buffers[buffer.index()].pieces = pieces; }

    // Starts a body of a chunk (−1: of the whole role); later instructions go to it until the next
    // begin_body.
    BodyId begin_body(std::string name, int chunk);

    // Where the following instructions belong.
    void at(Phase phase, std::int32_t layer);

    // The reference is valid until the next instruction.
    Compute& compute(const Kernel& kernel, DType dtype, DType gradient,
                     std::initializer_list<Operand> operands, std::optional<MathType> math = {});
    // The same on another stream: beside the compute stream, or on the host's processors.
    void compute_on(Stream stream, const Kernel& kernel, DType dtype, DType gradient,
                    std::initializer_list<Operand> operands);
    // A Move on the stream between the tiers of the two buffers, once `after` has been reached (invalid: at
    // once). Returns the event of its end.
    EventId move(EventId after, Operand from, Operand to, std::int64_t elements, DType dtype);
    void collective(Stream stream, Collective collective);
    void copy_to_host(CopyToHost::What what, Operand operand);

    void exchange(Stream stream, Exchange exchange);

    // An event for record() below, where others wait for it before the recording body is lowered.
    EventId new_event() { return EventId(role.events++); }
    void record(Stream stream, EventId event);
    // Records a new event on `stream` and returns it.
    EventId record(Stream stream);
    // `host`: WaitEvent::host.
    void wait(Stream stream, EventId event, bool host = false);

    // The role, once everything is lowered.
    RoleProgram take();

    RoleProgram role;  // but for the instructions of the last body

private:
    Instruction& append(Stream stream);
    Compute& append_kernel(Stream stream, const Kernel& kernel, DType dtype, DType gradient,
                           std::initializer_list<Operand> operands);
    void close_body();

    std::vector<Instruction> open_;  // of the last body; one room for all bodies while they grow
    Phase phase_ = Phase::forward;
    std::int32_t layer_ = -1;
};

}  // namespace shardscope
