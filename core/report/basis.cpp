#include "core/report/basis.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "core/catalogue.h"
#include "core/cluster/cluster_source.h"
#include "core/csv_reader.h"
#include "core/error.h"
#include "core/strategy/product_limits.h"
#include "core/yaml_number.h"

namespace shardscope {
namespace {

constexpr std::array<std::string_view, 7> kAccuracyColumns = {
    "profile", "architecture", "quantity", "rows", "mape", "p90", "bias"};

class AccuracyReader {
public:
    AccuracyReader(const CsvTable& table, const std::string& file) : file_(file) {
        for (std::size_t i = 0; i < kAccuracyColumns.size(); ++i) {
            const auto found = std::ranges::find(table.columns, kAccuracyColumns[i]);
            if (found == table.columns.end())
                fail(table.line, "there is no column", kAccuracyColumns[i]);
            place_[i] = static_cast<std::size_t>(found - table.columns.begin());
        }
    }

    AccuracyRow read(const CsvRow& row) const {
        AccuracyRow out;
        out.profile = text(row, 0);
        out.architecture = text(row, 1);
        out.quantity = text(row, 2);
        out.rows = static_cast<std::size_t>(number(row, 3));
        out.mape = number(row, 4) / 100;
        out.p90 = number(row, 5) / 100;
        out.bias = number(row, 6) / 100;
        if (out.rows == 0 || out.mape < 0 || out.p90 < 0)
            fail(row.line, "errors and counts of runs are above zero, not", text(row, 3));
        return out;
    }

private:
    const std::string& text(const CsvRow& row, std::size_t column) const {
        return row.fields[place_[column]];
    }
    double number(const CsvRow& row, std::size_t column) const {
        const auto value = parse_number(text(row, column));
        if (!value) fail(row.line, "this is no number:", text(row, column));
        return *value;
    }
    [[noreturn]] void fail(int line, const char* what, std::string_view word) const {
        throw Error("accuracy", fmt::format("{}:{}: {} \"{}\"", file_, line, what, word),
                    "make the table anew with scripts/accuracy");
    }

    std::string file_;
    std::array<std::size_t, kAccuracyColumns.size()> place_{};
};

// Means weighted by runs.
void add(const AccuracyRow& row, AccuracyRow& together) {
    const auto before = static_cast<double>(together.rows), more = static_cast<double>(row.rows);
    const auto mean = [&](double a, double b) { return (a * before + b * more) / (before + more); };
    together.mape = mean(together.mape, row.mape);
    together.bias = mean(together.bias, row.bias);
    together.p90 = std::max(together.p90, row.p90);
    together.rows += row.rows;
}

std::string counted(std::size_t count, const char* noun) {
    return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

using Efficiencies = std::pair<double, double>;  // of training, and of memory

// Those that GPUs of the catalogue have.
const std::multimap<Architecture, Efficiencies>& catalogue_efficiencies() {
    static const auto all = [] {
        std::multimap<Architecture, Efficiencies> found;
        for (const CatalogueEntry& entry : cluster_catalogue()) {
            const Device device = catalogue_cluster(std::string(entry.name)).device;
            found.emplace(device.architecture,
                          Efficiencies{device.training_efficiency, device.memory_efficiency});
        }
        return found;
    }();
    return all;
}

bool has_own_efficiencies(const Device& device) {
    if (!device.calibration.empty()) return false;
    const auto [first, last] = catalogue_efficiencies().equal_range(device.architecture);
    return std::none_of(first, last, [&](const auto& entry) {
        return entry.second == Efficiencies{device.training_efficiency, device.memory_efficiency};
    });
}

// What of a GPU's description is no data-sheet value.
std::string fitted_of(const Device& device, const std::vector<AccuracyRow>& accuracy) {
    if (device.kind != DeviceKind::gpu || has_own_efficiencies(device)) return "";
    const std::string_view on = kArchitectures[static_cast<std::size_t>(device.architecture)];
    const bool measured = std::ranges::any_of(
        accuracy, [&](const AccuracyRow& row) { return row.architecture == on; });
    return fmt::format("; training_efficiency {:g} and memory_efficiency {:g} are {}",
                       device.training_efficiency, device.memory_efficiency,
                       measured ? "fitted to published training of this generation"
                                : "assumptions: no training on this generation was measured");
}

// Takes what rests on constants that are not the fitted ones from the basis, and says which they are.
void set_apart_own(const Device& device, RuntimeProfile profile, Basis& basis) {
    const auto own = [&](std::string constant, std::optional<AccuracyRow>& quantity) {
        basis.own.push_back(std::move(constant));
        quantity.reset();
    };
    if (has_own_efficiencies(device)) {
        own(fmt::format("training_efficiency {:g}", device.training_efficiency), basis.time);
        own(fmt::format("memory_efficiency {:g}", device.memory_efficiency), basis.time);
    }
    const ProfileConstants& stated = device.constants_of(profile);
    const ProfileConstants& fitted = fitted_constants(profile);
    const auto compare = [&](const char* name, auto ProfileConstants::*constant,
                             std::optional<AccuracyRow>& quantity) {
        if (stated.*constant != fitted.*constant) own(name, quantity);
    };
    compare("launch", &ProfileConstants::launch, basis.time);
    compare("waiting_launch", &ProfileConstants::waiting_launch, basis.time);
    compare("list_bandwidth", &ProfileConstants::list_bandwidth, basis.time);
    compare("process", &ProfileConstants::process, basis.memory);
    compare("scratch", &ProfileConstants::scratch, basis.memory);
}

std::string constants_of(const Cluster& cluster, const std::vector<AccuracyRow>& accuracy) {
    const Calibration& calibration = cluster.device.calibration;
    if (calibration.empty())
        return fmt::format(
            "Constants: none was measured on this machine; peaks, bandwidths and "
            "efficiencies are the cluster description's ({}){}",
            cluster.device.source.empty() ? "no source stated" : cluster.device.source,
            fitted_of(cluster.device, accuracy));
    std::size_t collectives = calibration.collectives.size();
    for (const auto& [name, transport] : calibration.transports)
        collectives += transport.collectives.size();
    return fmt::format("Constants: measured {}: {}, {}, {}; the rest is the cluster description's",
                       calibration.date, counted(calibration.matmul.size(), "multiply rate"),
                       counted(calibration.kernels.size(), "kernel rate"),
                       counted(collectives, "collective time"));
}

}  // namespace

std::vector<AccuracyRow> read_accuracy(std::string_view text, const std::string& file) {
    const CsvTable table = parse_csv(text, file);
    const AccuracyReader reader(table, file);
    std::vector<AccuracyRow> rows;
    for (const CsvRow& row : table.rows) rows.push_back(reader.read(row));
    return rows;
}

std::vector<AccuracyRow> shipped_accuracy() {
    const CatalogueEntry& entry = accuracy_catalogue().front();
    return read_accuracy(entry.text, std::string(entry.path));
}

std::optional<AccuracyRow> comparable(const std::vector<AccuracyRow>& table,
                                      std::string_view profile, std::string_view architecture,
                                      std::string_view quantity) {
    using Wanted = std::pair<std::string_view, std::string_view>;  // empty: any
    for (const auto& [of, on] : {Wanted{profile, architecture}, Wanted{profile, {}}, Wanted{}}) {
        AccuracyRow together;
        together.profile = of;
        together.architecture = on;
        together.quantity = quantity;
        for (const AccuracyRow& row : table)
            if (row.quantity == quantity && (of.empty() || row.profile == of) &&
                (on.empty() || row.architecture == on))
                add(row, together);
        if (together.rows > 0) return together;
    }
    return std::nullopt;
}

Basis basis_of(const Scenario& scenario, const Strategy& strategy,
               const std::vector<AccuracyRow>& accuracy) {
    Basis basis;
    const Cluster& cluster = scenario.cluster;
    basis.constants = constants_of(cluster, accuracy);
    // The runs of the table are of GPUs.
    if (cluster.device.kind != DeviceKind::gpu || beyond_product(strategy)) return basis;
    const std::string_view profile = name_of(strategy.profile);
    const std::string_view on =
        kArchitectures[static_cast<std::size_t>(cluster.device.architecture)];
    basis.time = comparable(accuracy, profile, on, "time");
    // The peak is a process's; but what is of this profile says more than what is of a process.
    for (const std::string_view quantity : {"process", "reserved", "allocated"}) {
        const auto row = comparable(accuracy, profile, on, quantity);
        if (row && (!basis.memory || (basis.memory->profile.empty() && !row->profile.empty())))
            basis.memory = row;
    }
    const bool part =
        basis.memory && !basis.memory->profile.empty() && basis.memory->quantity != "process";
    if (part) basis.process = comparable(accuracy, {}, {}, "process");
    set_apart_own(cluster.device, strategy.profile, basis);
    return basis;
}

}  // namespace shardscope
