#include "backends/cuda/progress_marks.h"

#include "backends/cuda/kernels/mark.h"

namespace shardscope::cuda {
namespace {

const void* address_of(const Operation& operation) {
    return std::visit([](const auto& o) -> const void* { return &o; }, operation);
}

std::string name_of_operation(const Operation& operation) {
    if (const auto* compute = std::get_if<Compute>(&operation))
        return std::string(kernel_name(compute->kernel));
    if (const auto* collective = std::get_if<Collective>(&operation))
        return std::string(collective_name(collective->kind));
    return std::holds_alternative<Exchange>(operation) ? "transfer" : "event";
}

}  // namespace

ProgressMarks::ProgressMarks(const RoleProgram& role)
    : role_(role), words_(allocate_pinned(Bytes(kStreams * sizeof(std::int32_t)))) {
    std::int32_t code = 0;
    for (const Body& body : role.bodies)
        for (const Instruction& i : body.instructions)
            codes_.emplace(address_of(i.operation), ++code);
}

std::int32_t* ProgressMarks::word(Stream stream) const {
    return reinterpret_cast<std::int32_t*>(words_.get()) + static_cast<std::size_t>(stream);
}

void ProgressMarks::set(Stream stream, const void* operation, const LaunchContext& context) {
    mark(word(stream), codes_.at(operation), context);
}

std::array<std::int32_t, kStreams> ProgressMarks::words() const {
    std::array<std::int32_t, kStreams> values{};
    for (std::size_t s = 0; s < kStreams; ++s)
        values[s] = *static_cast<volatile std::int32_t*>(word(static_cast<Stream>(s)));
    return values;
}

std::string ProgressMarks::where(Stream stream) const {
    std::int32_t left = words()[static_cast<std::size_t>(stream)];
    if (left == 0) return "its start";
    for (const Body& body : role_.bodies) {
        const auto size = static_cast<std::int32_t>(body.instructions.size());
        if (left > size) {
            left -= size;
            continue;
        }
        const Instruction& i = body.instructions[static_cast<std::size_t>(left) - 1];
        return body.name + ", " + name_of_operation(i.operation) +
               (i.layer < 0 ? "" : " of layer " + std::to_string(i.layer));
    }
    return "its end";
}

}  // namespace shardscope::cuda
