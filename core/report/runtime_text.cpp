#include "core/report/runtime_text.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/report/figures.h"
#include "core/report/text_table.h"

namespace shardscope {
namespace {

std::array<Bytes, 4> memory_parts(const RuntimeMemory& memory) {
    return {memory.context, memory.workspace, memory.communicators, memory.total()};
}

bool ran_on_gpus(const StrategyReport& strategy) {
    if (!strategy.measured) return false;
    const MemoryUse& memory = strategy.measured->peak_memory();
    return memory.runtime.total().value > 0 || memory.process.value > 0;
}

void add_memory_row(TextTable& table, const MemoryUnit& unit, std::string name, const char* kind,
                    const MemoryUse& memory) {
    std::vector<std::string> row{std::move(name), kind};
    for (const Bytes part : memory_parts(memory.runtime)) row.push_back(unit.format(part));
    row.push_back(unit.format(memory.peak));
    row.push_back(memory.process.value > 0 ? unit.format(memory.process) : kUnknown);
    table.add_row(std::move(row));
}

}  // namespace

std::string runtime_text(const Report& report) {
    Bytes largest;
    for (const StrategyReport& strategy : report.strategies)
        if (ran_on_gpus(strategy))
            largest = std::max(largest, strategy.measured->peak_memory().peak);
    if (largest.value == 0) return "";
    const MemoryUnit unit(largest);
    TextTable table;
    table.add_column("strategy", TextTable::Align::left);
    table.add_column("", TextTable::Align::left);
    for (const char* part : {"context\nand code", "workspaces", "communi-\ncators", "runtime",
                             "with the\narena", "driver's\nfigure"})
        table.add_column(fmt::format("{}\n{}", part, unit.name()));
    for (const StrategyReport& strategy : report.strategies) {
        if (!ran_on_gpus(strategy)) continue;
        std::string name = strategy.name;
        if (strategy.simulated) {
            add_memory_row(table, unit, std::move(name), "predicted",
                           strategy.simulated->peak_memory());
            name.clear();  // once per strategy
        }
        add_memory_row(table, unit, std::move(name), "measured", strategy.measured->peak_memory());
    }
    return "\nMemory of the process of the rank with the largest peak\n\n" + table.to_string();
}

}  // namespace shardscope
