#include "core/cluster/description_io.h"

#include <array>

#include <fmt/format.h>

#include "core/training_io.h"

namespace shardscope {
namespace {

// A number that lacks its unit is out of range: the least and the largest figures below are there for that.
constexpr IntegerRange kMemory{1'000'000, std::int64_t{1} << 50};
constexpr IntegerRange kSomeMemory{1000, std::int64_t{1} << 50, true};
constexpr IntegerRange kCores{0, 1'000'000};
constexpr IntegerRange kChannels{0, 1024};
constexpr IntegerRange kMultiprocessors{1, 100'000};
constexpr IntegerRange kPorts{0, 4096};  // of a node; 0: one per device
constexpr IntegerRange kLeafNodes{0, 1'000'000};
constexpr IntegerRange kSize{1, std::int64_t{1} << 50};
constexpr NumberRange kPeak{1e8, 1e24};              // FLOPs per second
constexpr NumberRange kMeasuredRate{0, 1e24, true};  // per second; a tiny kernel's is tiny
constexpr NumberRange kBandwidth{1e5, 1e24};         // bytes per second
constexpr NumberRange kWork{0, 1e30, true};
constexpr NumberRange kTime{0, 1e6};      // seconds
constexpr NumberRange kLatency{0, 0.2};   // seconds; light takes that half round the earth and back
constexpr NumberRange kClock{1e7, 1e12};  // hertz
constexpr NumberRange kPower{1, 1e6};     // watts
constexpr NumberRange kPrice{0, 1e6, true};  // per GPU and hour
constexpr NumberRange kPue{1, 10};
constexpr NumberRange kFailureTime{0, 1e11, true};  // seconds
constexpr NumberRange kSpread{0, 1e6};
constexpr NumberRange kFactor{1, 1e6};
constexpr NumberRange kScratch{0, 1000};

// Calls read(precision, value) for every precision that the map states something of.
template <class Read>
void read_by_precision(const YamlValue& value, const Read& read) {
    constexpr std::array kStated = {MathType::fp64,  MathType::fp32, MathType::tf32,
                                    MathType::fp16,  MathType::bf16, MathType::fp8,
                                    MathType::mxfp8, MathType::nvfp4};
    std::vector<std::string_view> names;
    for (const MathType math : kStated) names.push_back(name_of(math));
    const YamlMap map(value, names);
    for (const MathType math : kStated)
        if (const auto found = map.find(name_of(math))) read(math, *found);
}

void read_rates(const YamlMap& map, Device& device) {
    if (const auto peak = map.find("peak"))
        read_by_precision(*peak, [&device](MathType math, const YamlValue& value) {
            device.peak[math] = FlopsPerSecond(value.number(kPeak, QuantityUnit::flops_per_second));
        });
    map.read("matmul_efficiency", device.matmul_efficiency, kFraction);
    map.read("training_efficiency", device.training_efficiency, kFraction);
    if (const auto efficiencies = map.find("matmul_efficiencies"))
        read_by_precision(*efficiencies, [&device](MathType math, const YamlValue& value) {
            device.matmul_efficiencies[math] = value.number(kFraction);
        });
}

NcclMemory read_nccl(const YamlValue& value, NcclMemory nccl) {
    const YamlMap map(value, {"base", "channels", "send", "receive"});
    map.read("base", nccl.base, kSomeMemory);
    map.read("channels", nccl.channels, kChannels);
    map.read("send", nccl.send, kSomeMemory);
    map.read("receive", nccl.receive, kSomeMemory);
    return nccl;
}

void read_idle_power(const YamlValue& value, Device& device) {
    device.idle_power = Watts(value.number(kPower, QuantityUnit::watts));
    if (device.power.value > 0 && device.idle_power > device.power)
        value.fail("idle-power",
                   fmt::format("a device that waits draws {:g} W, but its power is {:g} W",
                               device.idle_power.value, device.power.value),
                   "state less");
}

void read_gpu(const YamlMap& map, Device& device) {
    if (const auto found = map.find("architecture"))
        device.architecture =
            static_cast<Architecture>(found->choice(kArchitectures, "architecture"));
    map.read("multiprocessors", device.multiprocessors, kMultiprocessors);
    map.read("clock", device.clock, kClock);
    map.read("l2", device.l2, kSomeMemory);
    map.read("memory_latency", device.memory_latency, kLatency);
    map.read("power", device.power, kPower);
    map.read("power_limit", device.power_limit, kPower);
    if (const auto idle = map.find("idle_power")) read_idle_power(*idle, device);
}

void read_device(const YamlValue& value, Device& device) {
    const YamlMap map(value, {"name",
                              "kind",
                              "memory",
                              "peak",
                              "matmul_efficiency",
                              "matmul_efficiencies",
                              "training_efficiency",
                              "memory_bandwidth",
                              "memory_efficiency",
                              "architecture",
                              "multiprocessors",
                              "clock",
                              "l2",
                              "memory_latency",
                              "power",
                              "power_limit",
                              "idle_power",
                              "host_cost",
                              "blocking_launches",
                              "kernel_overhead",
                              "threads",
                              "runtime",
                              "workspace",
                              "nccl",
                              "graph_host_cost",
                              "graph_kernel_overhead",
                              "profiles",
                              "source"});
    constexpr std::array<std::string_view, 2> kKinds = {"gpu", "cpu"};
    if (const auto name = map.find("name")) device.name = name->name();
    if (const auto kind = map.find("kind")) {
        device.kind = static_cast<DeviceKind>(kind->choice(kKinds, "kind of device"));
    }
    map.read("memory", device.memory, kMemory);
    read_rates(map, device);
    map.read("memory_bandwidth", device.memory_bandwidth, kBandwidth);
    map.read("memory_efficiency", device.memory_efficiency, kFraction);
    read_gpu(map, device);
    map.read("host_cost", device.host_cost, kLatency);
    if (const auto blocking = map.find("blocking_launches"))
        device.blocking_launches = blocking->boolean();
    map.read("kernel_overhead", device.kernel_overhead, kLatency);
    map.read("threads", device.threads, kThreads);
    map.read("runtime", device.runtime, kSomeMemory);
    map.read("workspace", device.workspace, kSomeMemory);
    if (const auto nccl = map.find("nccl"))
        device.nccl = read_nccl(*nccl, device.nccl.value_or(NcclMemory{}));
    map.read("graph_host_cost", device.graph_host_cost, kLatency);
    map.read("graph_kernel_overhead", device.graph_kernel_overhead, kLatency);
    if (const auto profiles = map.find("profiles")) read_profiles(*profiles, device.profiles);
    map.read("source", device.source);
}

// A type brings its efficiency and latency; those stated beside it count.
void read_type(const YamlValue& value, bool between_nodes, Link& link) {
    std::vector<std::string_view> names;
    for (const LinkTypeFacts& facts : link_types()) names.push_back(facts.name);
    const auto type = static_cast<LinkType>(value.choice(names, "type of link"));
    const LinkTypeFacts& facts = facts_of(type);
    if (type != LinkType::generic && facts.between_nodes != between_nodes)
        value.fail("link-type",
                   fmt::format("{} is a link {} nodes", facts.name,
                               facts.between_nodes ? "between" : "inside"),
                   between_nodes ? "state \"type: infiniband\", roce, efa, omni_path or ethernet"
                                 : "state \"type: nvlink4\", or another of NVLink or PCIe");
    if (type == link.type) return;
    link.type = type;
    link.efficiency = facts.efficiency;
    link.latency = Seconds(facts.latency);
}

void read_link(const YamlValue& value, bool between_nodes, Link& link) {
    std::vector<std::string_view> keys{"bandwidth", "latency", "efficiency", "type", "source"};
    if (between_nodes)
        keys.insert(keys.end(),
                    {"ports", "in_network_reduction", "leaf_nodes", "oversubscription"});
    else
        keys.push_back("switched");
    const YamlMap map(value, keys);
    map.read("bandwidth", link.bandwidth, kBandwidth);
    if (const auto type = map.find("type")) read_type(*type, between_nodes, link);
    map.read("latency", link.latency, kLatency);
    map.read("efficiency", link.efficiency, kFraction);
    map.read("source", link.source);
    if (!between_nodes) {
        map.read("switched", link.switched);
        return;
    }
    map.read("ports", link.ports, kPorts);
    map.read("in_network_reduction", link.in_network_reduction);
    map.read("leaf_nodes", link.leaf_nodes, kLeafNodes);
    map.read("oversubscription", link.oversubscription, kFactor);
}

MatmulSample read_matmul(const YamlValue& row) {
    const auto cells = row.items(5);
    return {read_precision(cells[0]), cells[1].integer(kSize), cells[2].integer(kSize),
            cells[3].integer(kSize),
            FlopsPerSecond(cells[4].number(kMeasuredRate, QuantityUnit::flops_per_second))};
}

KernelSample read_kernel(const YamlValue& row) {
    const auto cells = row.items(4);
    return {cells[0].name(), read_precision(cells[1]), cells[2].number(kWork),
            cells[3].number(kMeasuredRate)};
}

CollectiveSample read_collective(const YamlValue& row) {
    const auto cells = row.items();
    // Earlier versions wrote neither hosts nor spread.
    if (cells.size() == 4)
        return {cells[0].name(), static_cast<int>(cells[1].integer(kWorld)), 1,
                cells[2].bytes(kSize), Seconds(cells[3].number(kTime, QuantityUnit::seconds))};
    const auto all = row.items(6);
    return {all[0].name(),
            static_cast<int>(all[1].integer(kWorld)),
            static_cast<int>(all[2].integer(kWorld)),
            all[3].bytes(kSize),
            Seconds(all[4].number(kTime, QuantityUnit::seconds)),
            all[5].number(kSpread)};
}

template <class Sample>
void read_rows(const YamlMap& map, std::string_view key, Sample (*read)(const YamlValue&),
               std::vector<Sample>& samples) {
    const auto rows = map.find(key);
    if (!rows) return;
    samples.clear();
    for (const YamlValue& row : rows->items()) samples.push_back(read(row));
}

TransportCalibration read_transport(const YamlValue& value) {
    const YamlMap map(value, {"date", "hosts", "collectives"});
    TransportCalibration transport;
    map.read("date", transport.date);
    if (const auto hosts = map.find("hosts"))
        for (const YamlValue& host : hosts->items()) transport.hosts.push_back(host.text());
    read_rows(map, "collectives", read_collective, transport.collectives);
    return transport;
}

void read_calibration(const YamlValue& value, Calibration& calibration) {
    const YamlMap map(value, {"date", "host", "compiler", "busy_slowdown", "fork_join", "matmul",
                              "kernels", "collectives", "transports"});
    map.read("date", calibration.date);
    map.read("host", calibration.host);
    map.read("compiler", calibration.compiler);
    map.read("busy_slowdown", calibration.busy_slowdown, kFactor);
    map.read("fork_join", calibration.fork_join, kTime);
    read_rows(map, "matmul", read_matmul, calibration.matmul);
    read_rows(map, "kernels", read_kernel, calibration.kernels);
    read_rows(map, "collectives", read_collective, calibration.collectives);
    if (const auto transports = map.find("transports")) {
        const YamlMap names(*transports, {"tcp", "mpi", "nccl"});
        for (const std::string name : {"tcp", "mpi", "nccl"})
            if (const auto found = names.find(name))
                calibration.transports[name] = read_transport(*found);
    }
}

void read_host(const YamlValue& value, NodeHost& host) {
    const YamlMap map(
        value, {"memory", "memory_bandwidth", "memory_efficiency", "link", "nvme", "source"});
    map.read("memory", host.memory, kMemory);
    map.read("memory_bandwidth", host.memory_bandwidth, kBandwidth);
    map.read("memory_efficiency", host.memory_efficiency, kFraction);
    if (const auto link = map.find("link")) read_link(*link, false, host.link);
    if (const auto nvme = map.find("nvme")) {
        const YamlMap drives(*nvme, {"capacity", "read", "write"});
        drives.read("capacity", host.nvme, kMemory);
        drives.read("read", host.nvme_read, kBandwidth);
        drives.read("write", host.nvme_write, kBandwidth);
    }
    map.read("source", host.source);
}

void read_operation(const YamlValue& value, ClusterOperation& operation) {
    const YamlMap map(value, {"price_per_gpu_hour", "node_power", "pue", "node_mtbf",
                              "storage_bandwidth", "restart_time"});
    map.read("price_per_gpu_hour", operation.price_per_gpu_hour, kPrice);
    map.read("node_power", operation.node_power, kPower);
    map.read("pue", operation.pue, kPue);
    map.read("node_mtbf", operation.node_mtbf, kFailureTime);
    map.read("storage_bandwidth", operation.storage_bandwidth, kBandwidth);
    map.read("restart_time", operation.restart_time, kFailureTime);
}

}  // namespace

void read_profiles(const YamlValue& value, std::map<RuntimeProfile, ProfileConstants>& profiles) {
    std::vector<std::string_view> names;
    for (const RuntimeProfile profile : kRuntimeProfiles) names.push_back(name_of(profile));
    const YamlMap map(value, names);
    for (const RuntimeProfile profile : kRuntimeProfiles) {
        const auto found = map.find(name_of(profile));
        if (!found) continue;
        ProfileConstants& constants =
            profiles.try_emplace(profile, fitted_constants(profile)).first->second;
        const YamlMap own(*found,
                          {"launch", "process", "scratch", "list_bandwidth", "waiting_launch"});
        own.read("launch", constants.launch, kLatency);
        own.read("process", constants.process, kSomeMemory);
        own.read("scratch", constants.scratch, kScratch);
        own.read("list_bandwidth", constants.list_bandwidth, kBandwidth);
        own.read("waiting_launch", constants.waiting_launch, kLatency);
    }
}

void apply_description(const YamlMap& map, Cluster& cluster) {
    if (const auto name = map.find("name")) cluster.name = name->name();
    if (const auto device = map.find("device")) read_device(*device, cluster.device);
    map.read("nodes", cluster.nodes, kNodes);
    map.read("gpus_per_node", cluster.gpus_per_node, kPerNode);
    map.read("cores", cluster.cores, kCores);
    if (const auto link = map.find("intra_node")) read_link(*link, false, cluster.intra_node);
    if (const auto link = map.find("inter_node")) read_link(*link, true, cluster.inter_node);
    if (const auto host = map.find("host")) read_host(*host, cluster.host);
    if (const auto operation = map.find("operation")) read_operation(*operation, cluster.operation);
    if (const auto calibration = map.find("calibration")) {
        read_calibration(*calibration, cluster.device.calibration);
    }
}

void check_complete(const YamlValue& value, const Cluster& cluster) {
    const std::int64_t world = std::int64_t{cluster.nodes} * cluster.gpus_per_node;
    if (world > kWorld.high) {
        value.fail("range",
                   fmt::format("{} nodes × {} ranks = {}, but at most {} are simulated",
                               cluster.nodes, cluster.gpus_per_node, world, kWorld.high),
                   "use fewer nodes");
    }
    const auto need = [&](bool present, const char* key, const char* example) {
        if (present) return;
        value.fail("missing-key", fmt::format("the cluster has no {}", key),
                   fmt::format("add \"{}: {}\"", key, example));
    };
    const ClusterOperation& operation = cluster.operation;
    const bool fails = operation.node_mtbf.value > 0;  // and then writes checkpoints
    need(!fails || operation.storage_bandwidth.value > 0, "operation.storage_bandwidth", "100GB/s");
    need(!fails || operation.restart_time.value > 0, "operation.restart_time", "10min");
    if (cluster.this_machine) return;
    const Device& device = cluster.device;
    need(device.memory.value > 0, "device.memory", "80GB");
    need(!device.peak.empty(), "device.peak", "{bf16: 989TFLOP/s}");
    need(device.memory_bandwidth.value > 0, "device.memory_bandwidth", "3350GB/s");
    if (device.kind == DeviceKind::cpu) return;  // ranks talk through memory
    const bool intra = cluster.gpus_per_node > 1, inter = cluster.nodes > 1;
    need(!intra || cluster.intra_node.bandwidth.value > 0, "intra_node.bandwidth", "450GB/s");
    need(!inter || cluster.inter_node.bandwidth.value > 0, "inter_node.bandwidth", "50GB/s");
}

}  // namespace shardscope
