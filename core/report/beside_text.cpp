#include "core/report/beside_text.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/report/figures.h"
#include "core/report/text_table.h"

namespace shardscope {
namespace {

BesideDevice largest_of_ranks(const Result& result) {
    BesideDevice largest;
    for (const RankTrace& trace : result.ranks) {
        largest.host = std::max(largest.host, trace.memory.beside.host);
        largest.nvme = std::max(largest.nvme, trace.memory.beside.nvme);
    }
    return largest;
}

bool offloads(const StrategyReport& strategy) {
    return strategy.simulated && strategy.simulated->node_beside.any();
}

}  // namespace

std::string beside_text(const Report& report) {
    Bytes largest;
    for (const StrategyReport& strategy : report.strategies)
        if (offloads(strategy))
            largest = std::max({largest, strategy.simulated->node_beside.host,
                                strategy.simulated->node_beside.nvme});
    if (largest.value == 0) return "";
    const MemoryUnit unit(largest);
    TextTable table;
    table.add_column("strategy", TextTable::Align::left);
    for (const char* what :
         {"host\nper rank", "host\nper node", "of\n", "NVMe\nper rank", "NVMe\nper node", "of\n"})
        table.add_column(fmt::format("{}\n{}", what, unit.name()));
    for (const StrategyReport& strategy : report.strategies) {
        if (!offloads(strategy)) continue;
        const Result& result = *strategy.simulated;
        const BesideDevice rank = largest_of_ranks(result);
        std::vector<std::string> row{strategy.name};
        for (const Tier tier : {Tier::host, Tier::nvme})
            for (const Bytes bytes :
                 {rank.of(tier), result.node_beside.of(tier), result.node_capacity.of(tier)})
                row.push_back(unit.format(bytes));
        table.add_row(std::move(row));
    }
    return "\nMemory beside the devices, of what is offloaded\n\n" + table.to_string();
}

}  // namespace shardscope
