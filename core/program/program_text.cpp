// Stable text of programs and memory plans: what `show` prints and golden tests compare.
#include <algorithm>

#include <fmt/format.h>

#include "core/program/memory_plan.h"
#include "core/program/program.h"

namespace shardscope {
namespace {

std::string operand_text(const RoleProgram& role, const Operand& o) {
    if (!o.valid()) return "-";
    std::string text = role.buffers[o.buffer.index()].name;
    if (o.offset != 0) text += fmt::format("+{}", o.offset);
    if (o.rank_stride != 0) text += fmt::format("+rank·{}", o.rank_stride);
    return "[" + text + "]";
}

std::string operands_text(const RoleProgram& role, const Instruction& i) {
    std::string reads, writes;
    for_each_operand(i, [&](const Operand& o, Access access) {
        if (access != Access::write) reads += " " + operand_text(role, o);
        if (access != Access::read) writes += " " + operand_text(role, o);
    });
    return fmt::format("{}{}{}", reads, writes.empty() ? "" : " →", writes);
}

struct OperationText {
    const RoleProgram& role;
    const Program& program;
    const Instruction& instruction;

    std::string operator()(const Compute& c) const {
        const KernelCost cost = cost_of(c.kernel, c.dtype, c.gradient);
        return fmt::format("{}{}  # {:.3g} flop, {} B", kernel_name(c.kernel),
                           operands_text(role, instruction), cost.matmul.value + cost.other.value,
                           cost.moved().value);
    }
    std::string operator()(const Collective& c) const {
        std::string along;
        for (const Collective::Along& a : c.along)
            along += fmt::format(", {} × {}", a.elements, name_of(a.dtype));
        return fmt::format("{} over {}{}  # {} × {}{}", collective_name(c.kind),
                           program.groups[c.group.index()].name, operands_text(role, instruction),
                           c.elements, name_of(c.dtype), along);
    }
    std::string operator()(const Exchange& x) const {
        return fmt::format("exchange of {} transfers{}", x.transfers.size(),
                           operands_text(role, instruction));
    }
    std::string operator()(const RecordEvent& r) const {
        return fmt::format("record event {}", r.event.value);
    }
    std::string operator()(const WaitEvent& w) const {
        return fmt::format("wait event {}{}", w.event.value, w.host ? ", the host too" : "");
    }
    std::string operator()(const CopyToHost& h) const {
        return fmt::format("copy to host {}{}",
                           h.what == CopyToHost::What::loss ? "loss" : "gradient norm",
                           operands_text(role, instruction));
    }
    std::string operator()(const Move& m) const {
        return fmt::format("move{}  # {} × {}", operands_text(role, instruction), m.elements,
                           name_of(m.dtype));
    }
};

std::string schedule_text(const RoleProgram& role) {
    std::string text;
    for (const Task& t : role.schedule)
        text +=
            fmt::format("  {} · micro-batch {}\n", role.bodies[t.body.index()].name, t.micro_batch);
    return text;
}

std::string residence_text(const Buffer& b) {
    return b.residence == Residence::persistent ? "persistent" : "transient";
}

// ", host"; empty on the device.
std::string tier_text(const Buffer& b) {
    return b.tier == Tier::device ? "" : fmt::format(", {}", tier_name(b.tier));
}

}  // namespace

std::string to_text(const Program& program) {
    std::string text;
    for (const Group& g : program.groups)
        text += fmt::format("group {}: {} ranks, stride {}\n", g.name, g.size, g.stride);
    for (const RoleProgram& role : program.roles) {
        text += fmt::format("role {}: {} ranks\nbuffers\n", role.name, role.ranks.size());
        for (const Buffer& b : role.buffers)
            text += fmt::format("  {}: {} × {}, {}, {}{}\n", b.name, b.elements, name_of(b.dtype),
                                category_name(b.category), residence_text(b), tier_text(b));
        for (const Body& body : role.bodies) {
            text += fmt::format("body {}\n", body.name);
            for (const Instruction& i : body.instructions)
                text += fmt::format("  {:<7} {}\n", stream_name(i.stream),
                                    std::visit(OperationText{role, program, i}, i.operation));
        }
        text += "schedule\n" + schedule_text(role);
    }
    return text;
}

std::string to_text(const RoleProgram& role, const MemoryPlan& plan) {
    const auto lives = lifetimes(role);
    // A product's allocator decides where buffers lie.
    std::string text = fmt::format("{:>14} {:>14}  {:<18}{:<28} buffer\n",
                                   plan.caching ? "" : "offset", "bytes", "category", "live at");
    for (std::size_t f = 0; f < plan.frames.size(); ++f) {
        std::string bases;
        for (const Bytes base : plan.frames[f].base)
            bases += fmt::format("{}{}", bases.empty() ? "" : " ", base.value);
        text += fmt::format("{:>14} {:>14}  frame {} of chunk {}, per micro-batch at {}\n", "",
                            plan.frames[f].size.value, f, plan.frames[f].chunk, bases);
    }
    for (std::size_t i = 0; i < role.buffers.size(); ++i) {
        const Buffer& b = role.buffers[i];
        std::string live = b.residence == Residence::persistent ? "always" : "";
        if (live.empty())
            for (const Interval& v : lives[i].intervals)
                live += fmt::format("{}{}–{}", live.empty() ? "" : ", ", v.first, v.last);
        const std::string base = plan.frame[i] < 0 ? "" : fmt::format("frame {} +", plan.frame[i]);
        const std::string offset = base + std::to_string(plan.offset[i].value);
        const bool placed = !plan.caching || b.tier != Tier::device;
        text += fmt::format("{:>14} {:>14}  {:<18}{:<28} {}{}\n", placed ? offset : "",
                            b.size().value, category_name(b.category), live, b.name, tier_text(b));
    }
    text += fmt::format("{} {} B, {} {} B, peak in {}\n", plan.caching ? "reserved" : "arena",
                        plan.arena.value, plan.caching ? "allocated" : "largest live set",
                        plan.live_peak.value, phase_name(plan.peak_phase));
    for (std::size_t c = 0; c < kCategories; ++c)
        text += fmt::format("  {:<18}{:>16} B\n", category_name(static_cast<Category>(c)),
                            plan.categories[c].value);
    text += fmt::format("  {:<18}{:>16} B\n", "peak", plan.peak().value);
    for (const Tier tier : {Tier::host, Tier::nvme})
        if (const Bytes bytes = plan.beside.of(tier); bytes.value > 0)
            text += fmt::format("  {:<18}{:>16} B\n", tier_name(tier), bytes.value);
    return text;
}

}  // namespace shardscope
