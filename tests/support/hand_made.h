// Tiny programs written by hand, for tests of what checks and executes them.
#pragma once

#include <string>
#include <vector>

#include "core/program/memory_plan.h"
#include "core/program/program.h"

namespace shardscope::test {

// A one-role program under construction. Buffers are fp32, laid out one after the other unless a place
// is given; instructions go to the body begun last; the schedule runs the bodies once, in order.
class HandMade {
public:
    explicit HandMade(int ranks = 1);

    BufferId buffer(const std::string& name, std::int64_t elements,
                    Residence residence = Residence::transient,
                    Category category = Category::workspace);
    BufferId buffer_at(Bytes offset, const std::string& name, std::int64_t elements,
                       Category category = Category::workspace);

    // A new frame, its bases per micro-batch, and a buffer at an offset in it.
    std::int32_t frame(Bytes size, std::vector<Bytes> base);
    BufferId buffer_in(std::int32_t frame, Bytes offset, const std::string& name,
                       std::int64_t elements, Category category = Category::activations);

    HandMade& body(const std::string& name);
    HandMade& zero(BufferId x, Stream stream = Stream::compute);
    // y += x.
    HandMade& add(BufferId x, BufferId y, Stream stream = Stream::compute);
    HandMade& collective(CollectiveKind kind, Stream stream, Operand send, Operand recv,
                         std::int64_t elements);
    HandMade& all_reduce(BufferId x, Stream stream);
    // Whole buffers to and from members of group 0, issued together.
    struct End {
        int peer = 0;
        bool send = false;
        BufferId buffer;
    };
    HandMade& exchange(std::vector<End> ends, Stream stream);
    // Makes `to` wait for all that `from` has done so far.
    HandMade& order(Stream from, Stream to);
    HandMade& record(EventId event, Stream stream);
    HandMade& wait(EventId event, Stream stream);
    HandMade& copy_to_host(CopyToHost::What what, BufferId x);
    HandMade& phase(Phase phase);

    RoleProgram& role() { return program.roles.front(); }
    const RoleProgram& role() const { return program.roles.front(); }

    Program program;
    MemoryPlan plan;

private:
    HandMade& append(Operation operation, Stream stream);
    BufferId place(Bytes offset, Buffer buffer, std::int32_t frame = -1);

    Phase phase_ = Phase::forward;
};

// One program of several: each a role "stage n" of one rank; all are made for as many ranks as there
// are of them, in one group.
Program stages_of(const std::vector<HandMade>& stages);

}  // namespace shardscope::test
