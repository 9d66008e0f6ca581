// The collective model beside published nccl-tests runs, and the constants fitted to them.
//
//   collectives_fit FILE.csv          each row: measured, predicted, algorithm; median errors
//   collectives_fit FILE.csv --fit    fits the constants that simulator/nccl_constants.cpp and
//                                     core/cluster/link_type.cpp call fitted, prints them, and how
//                                     each source is predicted by constants fitted on the others
//
// Columns: source, source_loc, gpu, nodes, gpus_per_node, n_ranks, collective, size_bytes, time_us,
// algbw_GBps, busbw_GBps, link, notes. Without a time the algorithm bandwidth counts.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/error.h"
#include "core/report/text_table.h"
#include "simulator/nccl_model.h"

namespace shardscope {
namespace {

struct Row {
    std::string source, gpu;
    Cluster cluster;
    double bytes = 0, seconds = 0;
    bool large() const { return bytes >= kMiB; }
};

// Fields of a line; quotes hold commas.
std::vector<std::string> fields_of(const std::string& line) {
    std::vector<std::string> fields(1);
    bool quoted = false;
    for (const char c : line) {
        if (c == '"')
            quoted = !quoted;
        else if (c == ',' && !quoted)
            fields.emplace_back();
        else if (c != '\r')
            fields.back() += c;
    }
    return fields;
}

struct Node {
    LinkType link;
    double bandwidth;  // bytes/s
};
const std::map<std::string, Node> kNodes{{"V100", {LinkType::nvlink2, 150e9}},
                                         {"A100", {LinkType::nvlink3, 300e9}},
                                         {"H100", {LinkType::nvlink4, 450e9}},
                                         {"H200", {LinkType::nvlink4, 450e9}},
                                         {"B200", {LinkType::nvlink5, 900e9}}};

void set_type(Link& link, LinkType type) {
    link.type = type;
    link.efficiency = facts_of(type).efficiency;
    link.latency = Seconds(facts_of(type).latency);
}

// From a text such as "NVLink3; 4x Omni-Path 100 Gb/s per node" or "EFA 4x100 Gb/s".
void set_network(Link& link, const std::string& text, const std::string& place) {
    constexpr std::pair<const char*, LinkType> kNetworks[] = {{"EFA", LinkType::efa},
                                                              {"Omni-Path", LinkType::omni_path},
                                                              {"InfiniBand", LinkType::infiniband},
                                                              {"RoCE", LinkType::roce}};
    std::smatch match;
    const std::regex size("([0-9]+)x *([A-Za-z-]* )?([0-9]+) Gb/s");
    for (const auto& [name, type] : kNetworks) {
        if (text.find(name) == std::string::npos || !std::regex_search(text, match, size)) continue;
        set_type(link, type);
        link.ports = std::stoi(match[1]);
        link.bandwidth = BytesPerSecond(std::stod(match[3]) * 1e9 / 8);
        return;
    }
    throw Error("collectives-row", place + ": no network known in \"" + text + "\"",
                "give, for example, \"EFA 4x100 Gb/s\" in the link column");
}

Row row_of(const std::vector<std::string>& f, const std::string& place) {
    const auto node = kNodes.find(f[2]);
    if (node == kNodes.end() || f[6] != "all_reduce")
        throw Error("collectives-row", place + ": " + f[2] + ", " + f[6] + " is not known here",
                    "give all_reduce rows of V100, A100, H100, H200 or B200");
    Row row{f[0], f[2], {}, std::stod(f[7]), 0};
    row.seconds = f[8].empty() ? row.bytes / (std::stod(f[9]) * 1e9) : std::stod(f[8]) * 1e-6;
    Cluster& c = row.cluster;
    c.nodes = std::stoi(f[3]);
    c.gpus_per_node = std::stoi(f[4]);
    set_type(c.intra_node, node->second.link);
    c.intra_node.bandwidth = BytesPerSecond(node->second.bandwidth);
    if (c.nodes == 1) return row;
    set_network(c.inter_node, f[11], place);
    return row;
}

std::vector<Row> read_rows(const std::string& file) {
    std::ifstream in(file);
    if (!in) throw Error("file", "cannot read " + file, "give a CSV file of measurements");
    std::vector<Row> rows;
    std::string line;
    std::getline(in, line);
    for (int number = 2; std::getline(in, line); ++number) {
        const std::string place = fmt::format("{}:{}", file, number);
        const auto fields = fields_of(line);
        if (fields.size() != 13)
            throw Error("collectives-row",
                        fmt::format("{}: {} columns, not 13", place, fields.size()),
                        "see the head of bench/collectives_fit.cpp");
        rows.push_back(row_of(fields, place));
    }
    return rows;
}

// The constants of the rows of one kind of link.
struct Constants {
    NcclGeneration generation;
    NcclNetwork network;
    double intra_efficiency = 0, inter_efficiency = 0, inter_latency = 0;
};

Constants built_in(const Row& row) {
    const Link& inter = row.cluster.inter_node;
    return {nccl_generation(row.cluster.intra_node.type), nccl_network(inter.type),
            row.cluster.intra_node.efficiency, inter.efficiency, inter.latency.value};
}

Estimate predict(const Row& row, const Constants& constants) {
    Cluster cluster = row.cluster;
    cluster.intra_node.efficiency = constants.intra_efficiency;
    cluster.inter_node.efficiency = constants.inter_efficiency;
    cluster.inter_node.latency = Seconds(constants.inter_latency);
    const NcclModel model(cluster, constants.generation, constants.network);
    const GroupShape shape = shape_of(Group{"all", cluster.world_size(), 1}, Rank(0), cluster);
    return model.collective(CostKind::all_reduce, row.bytes, shape);
}

double error_of(const Row& row, const Constants& constants) {
    return predict(row, constants).seconds / row.seconds - 1;
}

using Rows = std::vector<const Row*>;

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// One constant that is fitted.
struct Parameter {
    const char* name;
    std::function<double&(Constants&)> value;
};

// Mean of |log(predicted / measured)|; messages below 1 MiB count a quarter.
double badness(const Rows& rows, const Constants& constants) {
    double sum = 0, weight = 0;
    for (const Row* row : rows) {
        const double w = row->large() ? 1 : 0.25;
        sum += w * std::abs(std::log1p(error_of(*row, constants)));
        weight += w;
    }
    return sum / weight;
}

// Pattern search in the logarithms of the parameters: steps halve when none improves.
Constants fitted(const Rows& rows, Constants start, const std::vector<Parameter>& parameters) {
    double best = badness(rows, start);
    for (double step = 0.5; step > 1e-3;) {
        bool better = false;
        for (const Parameter& parameter : parameters)
            for (const double factor : {std::exp(step), std::exp(-step)}) {
                Constants tried = start;
                parameter.value(tried) *= factor;
                const double now = badness(rows, tried);
                if (now >= best) continue;
                best = now;
                start = tried;
                better = true;
            }
        if (!better) step /= 2;
    }
    return start;
}

// Rows that share their constants, and which those are.
struct Family {
    const char* name;
    std::function<bool(const Row&)> has;
    std::vector<Parameter> parameters;
    std::function<Constants(const Row&)> unmeasured;  // where no other source has such rows
};

std::vector<Family> families() {
    const std::vector<Parameter> gpu{
        {"start_up", [](Constants& c) -> double& { return c.generation.start_up; }},
        {"nvls", [](Constants& c) -> double& { return c.generation.nvls; }},
        {"ramp.excess", [](Constants& c) -> double& { return c.generation.ramp.excess; }},
        {"ramp.bytes_per_rank",
         [](Constants& c) -> double& { return c.generation.ramp.bytes_per_rank; }}};
    const std::vector<Parameter> efa{
        {"efficiency", [](Constants& c) -> double& { return c.inter_efficiency; }},
        {"latency", [](Constants& c) -> double& { return c.inter_latency; }},
        {"start_up", [](Constants& c) -> double& { return c.network.start_up; }},
        {"ramp.excess", [](Constants& c) -> double& { return c.network.ramp.excess; }},
        {"ramp.bytes_per_rank",
         [](Constants& c) -> double& { return c.network.ramp.bytes_per_rank; }}};
    const std::vector<Parameter> intra{
        {"efficiency", [](Constants& c) -> double& { return c.intra_efficiency; }}};
    const auto type = [](const Row& row) { return row.cluster.intra_node.type; };
    const auto inter = [](const Row& row) { return row.cluster.inter_node.type; };
    const auto tuner = [](const Row& row) {
        Constants c = built_in(row);
        c.inter_efficiency = facts_of(LinkType::infiniband).efficiency;
        c.inter_latency = 0;
        c.network = nccl_network(LinkType::infiniband);
        return c;
    };
    const auto hopper = [](const Row& row) {
        Constants c = built_in(row);
        const NcclGeneration& known = nccl_generation(LinkType::nvlink4);
        c.generation.start_up = known.start_up;
        c.generation.nvls = known.nvls * 0.74 / 0.85;  // NCCL's nvlsEfficiency of the two
        c.generation.ramp = known.ramp;
        return c;
    };
    return {{"Hopper", [=](const Row& r) { return type(r) == LinkType::nvlink4; }, gpu, tuner},
            {"Blackwell", [=](const Row& r) { return type(r) == LinkType::nvlink5; }, gpu, hopper},
            {"EFA", [=](const Row& r) { return inter(r) == LinkType::efa; }, efa, tuner},
            {"Omni-Path",
             [=](const Row& r) { return inter(r) == LinkType::omni_path; },
             {efa.front()},
             tuner},
            {"NVLink 2",
             [=](const Row& r) { return type(r) == LinkType::nvlink2 && r.cluster.nodes == 1; },
             intra, tuner}};
}

std::string percent(double value) { return fmt::format("{:+.1f} %", 100 * value); }

struct Errors {
    std::vector<double> large, all;
    void add(const Row& row, double error) {
        all.push_back(std::abs(error));
        if (row.large()) large.push_back(std::abs(error));
    }
    std::string text() const {
        const double worst = large.empty() ? 0 : *std::max_element(large.begin(), large.end());
        return fmt::format(
            "{} rows of 1 MiB and more: median {:.1f} %, worst {:.1f} %; all {} rows: "
            "median {:.1f} %",
            large.size(), 100 * median(large), 100 * worst, all.size(), 100 * median(all));
    }
};

void print_rows(const std::vector<Row>& rows) {
    TextTable table;
    table.add_column("gpu", TextTable::Align::left);
    for (const char* name : {"ranks", "bytes", "measured us", "predicted us", "error"})
        table.add_column(name);
    table.add_column("algorithm", TextTable::Align::left);
    Errors errors;
    for (const Row& row : rows) {
        const Estimate e = predict(row, built_in(row));
        const double error = e.seconds / row.seconds - 1;
        errors.add(row, error);
        table.add_row(
            {row.gpu, std::to_string(row.cluster.world_size()), fmt::format("{:.0f}", row.bytes),
             fmt::format("{:.1f}", row.seconds * 1e6), fmt::format("{:.1f}", e.seconds * 1e6),
             percent(error),
             fmt::format("{}/{}", algorithm_name(e.algorithm), protocol_name(e.protocol))});
    }
    fmt::print("{}\n{}\n", table.to_string(), errors.text());
}

void fit(const std::vector<Row>& rows) {
    Errors in_sample, left_out;
    for (const Family& family : families()) {
        Rows own;
        std::set<std::string> sources;
        for (const Row& row : rows)
            if (family.has(row)) {
                own.push_back(&row);
                sources.insert(row.source);
            }
        if (own.empty()) continue;
        Constants all = fitted(own, built_in(*own.front()), family.parameters);
        fmt::print("{}\n", family.name);
        for (const Parameter& p : family.parameters)
            fmt::print("  {:<20} {:.6g}\n", p.name, p.value(all));
        Errors here;
        for (const Row* row : own) {
            in_sample.add(*row, error_of(*row, all));
            here.add(*row, error_of(*row, all));
        }
        fmt::print("  fitted: {}\n", here.text());
        for (const std::string& source : sources) {
            Rows others, held;
            for (const Row* row : own) (row->source == source ? held : others).push_back(row);
            const Constants constants =
                others.empty() ? family.unmeasured(*held.front())
                               : fitted(others, built_in(*others.front()), family.parameters);
            Errors out;
            for (const Row* row : held) {
                out.add(*row, error_of(*row, constants));
                left_out.add(*row, error_of(*row, constants));
            }
            fmt::print("  without {}{}: {}\n", source,
                       others.empty() ? " (no other source: constants of the nearest kind)" : "",
                       out.text());
        }
    }
    fmt::print("fitted on all: {}\n", in_sample.text());
    fmt::print("each source by the others: {}\n", left_out.text());
}

int run(int count, char** arguments) {
    const bool fits = count == 3 && std::string(arguments[2]) == "--fit";
    if (count != 2 && !fits) {
        fmt::print(stderr, "usage: collectives_fit FILE.csv [--fit]\n");
        return 2;
    }
    const std::vector<Row> rows = read_rows(arguments[1]);
    if (fits)
        fit(rows);
    else
        print_rows(rows);
    return 0;
}

}  // namespace
}  // namespace shardscope

int main(int count, char** arguments) {
    try {
        return shardscope::run(count, arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 3;
    }
}
