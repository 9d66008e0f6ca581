#include "core/cluster/cluster_io.h"

#include <array>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/catalogue.h"
#include "core/cluster/description_io.h"
#include "core/yaml_text.h"
#include "core/yaml_writer.h"

namespace shardscope {
namespace {

constexpr std::array<std::string_view, 4> kTransports = {"threads", "tcp", "mpi", "nccl"};

// Every form knows the keys of a description; `more` are the form's own.
std::vector<std::string_view> description_keys(std::vector<std::string_view> more) {
    more.insert(more.end(), {"nodes", "gpus_per_node", "name", "device", "cores", "intra_node",
                             "inter_node", "host", "operation", "calibration"});
    return more;
}

void read_transport_kind(const YamlMap& map, Cluster& cluster) {
    if (const auto found = map.find("transport"))
        cluster.transport = kTransports[found->choice(kTransports, "transport")];
}

Cluster parse_cluster(const std::string& text, const std::string& path) {
    const YamlValue root = YamlValue::parse(text, path);
    const YamlMap map(root, description_keys({"this_machine", "transport"}));
    Cluster cluster;
    cluster.name = std::filesystem::path(path).stem().string();
    apply_description(map, cluster);
    map.read("this_machine", cluster.this_machine);
    read_transport_kind(map, cluster);
    check_complete(root, cluster);
    return cluster;
}

Cluster cluster_from_catalogue(const YamlValue& value) {
    std::vector<std::string_view> names;
    for (const CatalogueEntry& entry : cluster_catalogue()) names.push_back(entry.name);
    const CatalogueEntry& entry = cluster_catalogue()[value.choice(names, "catalogue cluster")];
    Cluster cluster = parse_cluster(std::string(entry.text), std::string(entry.path));
    cluster.name = entry.name;
    return cluster;
}

Cluster from_file(const YamlValue& value, const std::string& folder) {
    const std::string path = value.text();
    return load_cluster(path.front() == '/' ? path : folder + path);
}

Cluster uncalibrated() {
    Cluster cluster;
    cluster.device.name = "CPU";
    cluster.device.kind = DeviceKind::cpu;
    cluster.device.source = "not calibrated";
    return cluster;
}

// The ranks share the machine's memory equally, whoever says how much it is.
Cluster this_machine(const YamlValue& value, const ParseOptions& options) {
    const YamlMap map(value, {"ranks", "threads", "transport"});
    const int ranks = static_cast<int>(map.require("ranks").integer(kThreads));
    const std::string& file = options.this_machine_file;
    std::error_code unreadable;  // as good as missing
    const bool calibrated = !file.empty() && std::filesystem::exists(file, unreadable);
    Cluster cluster = calibrated ? load_cluster(file) : uncalibrated();
    const Bytes described(cluster.device.memory.value * cluster.gpus_per_node);
    const Bytes memory = options.memory.value > 0 ? options.memory : described;
    cluster.name = "this machine";
    cluster.nodes = 1;
    cluster.gpus_per_node = ranks;
    cluster.device.memory = Bytes(memory.value / ranks);
    cluster.device.threads = 1;
    map.read("threads", cluster.device.threads, kThreads);
    cluster.cores = options.cores;
    cluster.this_machine = true;
    read_transport_kind(map, cluster);
    return cluster;
}

nlohmann::ordered_json link_to_json(const Link& link) {
    nlohmann::ordered_json out;
    if (link.bandwidth.value > 0) out["bandwidth"] = link.bandwidth.value;
    out["latency"] = link.latency.value;
    out["efficiency"] = link.efficiency;
    if (link.type != LinkType::generic) out["type"] = facts_of(link.type).name;
    if (!link.switched) out["switched"] = false;
    if (link.ports > 0) out["ports"] = link.ports;
    if (link.in_network_reduction) out["in_network_reduction"] = true;
    if (link.leaf_nodes > 0) out["leaf_nodes"] = link.leaf_nodes;
    if (link.oversubscription > 1) out["oversubscription"] = link.oversubscription;
    if (!link.source.empty()) out["source"] = link.source;
    return out;
}

void add_gpu(const Device& d, nlohmann::ordered_json& out) {
    out["architecture"] = kArchitectures[static_cast<std::size_t>(d.architecture)];
    out["multiprocessors"] = d.multiprocessors;
    out["clock"] = d.clock.value;
    if (d.l2.value > 0) out["l2"] = d.l2.value;
    if (d.memory_latency.value > 0) out["memory_latency"] = d.memory_latency.value;
    if (d.power.value > 0) out["power"] = d.power.value;
    if (d.power_limit.value > 0) out["power_limit"] = d.power_limit.value;
    if (d.idle_power.value > 0) out["idle_power"] = d.idle_power.value;
}

nlohmann::ordered_json device_to_json(const Device& d) {
    nlohmann::ordered_json out;
    if (!d.name.empty()) out["name"] = d.name;
    out["kind"] = d.kind == DeviceKind::gpu ? "gpu" : "cpu";
    if (d.memory.value > 0) out["memory"] = d.memory.value;
    for (const auto& [math, rate] : d.peak) out["peak"][std::string(name_of(math))] = rate.value;
    out["matmul_efficiency"] = d.matmul_efficiency;
    for (const auto& [math, part] : d.matmul_efficiencies)
        out["matmul_efficiencies"][std::string(name_of(math))] = part;
    if (d.training_efficiency != 1) out["training_efficiency"] = d.training_efficiency;
    if (d.memory_bandwidth.value > 0) out["memory_bandwidth"] = d.memory_bandwidth.value;
    out["memory_efficiency"] = d.memory_efficiency;
    if (d.kind == DeviceKind::gpu) add_gpu(d, out);
    out["host_cost"] = d.host_cost.value;
    if (d.blocking_launches) out["blocking_launches"] = true;
    out["kernel_overhead"] = d.kernel_overhead.value;
    if (d.kind == DeviceKind::cpu) out["threads"] = d.threads;
    out["runtime"] = d.runtime.value;
    if (d.workspace.value > 0) out["workspace"] = d.workspace.value;
    if (d.nccl)
        out["nccl"] = {{"base", d.nccl->base.value},
                       {"channels", d.nccl->channels},
                       {"send", d.nccl->send.value},
                       {"receive", d.nccl->receive.value}};
    if (d.graph_host_cost.value > 0) {
        out["graph_host_cost"] = d.graph_host_cost.value;
        out["graph_kernel_overhead"] = d.graph_kernel_overhead.value;
    }
    for (const auto& [profile, constants] : d.profiles) {
        auto& own = out["profiles"][std::string(name_of(profile))];
        own = {{"launch", constants.launch.value},
               {"process", constants.process.value},
               {"scratch", constants.scratch},
               {"waiting_launch", constants.waiting_launch.value}};
        if (constants.list_bandwidth.value > 0)
            own["list_bandwidth"] = constants.list_bandwidth.value;
    }
    if (!d.source.empty()) out["source"] = d.source;
    return out;
}

nlohmann::ordered_json host_to_json(const NodeHost& host) {
    nlohmann::ordered_json out;
    if (host.memory.value > 0) out["memory"] = host.memory.value;
    if (host.memory_bandwidth.value > 0) out["memory_bandwidth"] = host.memory_bandwidth.value;
    out["memory_efficiency"] = host.memory_efficiency;
    if (host.link != Link{}) out["link"] = link_to_json(host.link);
    if (host.nvme.value > 0) out["nvme"]["capacity"] = host.nvme.value;
    if (host.nvme_read.value > 0) out["nvme"]["read"] = host.nvme_read.value;
    if (host.nvme_write.value > 0) out["nvme"]["write"] = host.nvme_write.value;
    if (!host.source.empty()) out["source"] = host.source;
    return out;
}

nlohmann::ordered_json operation_to_json(const ClusterOperation& operation) {
    nlohmann::ordered_json out;
    const auto add = [&out](const char* key, double value) {
        if (value > 0) out[key] = value;
    };
    add("price_per_gpu_hour", operation.price_per_gpu_hour);
    add("node_power", operation.node_power.value);
    if (operation.pue > 1) out["pue"] = operation.pue;
    add("node_mtbf", operation.node_mtbf.value);
    add("storage_bandwidth", operation.storage_bandwidth.value);
    add("restart_time", operation.restart_time.value);
    return out;
}

nlohmann::ordered_json to_json(const CollectiveSample& s) {
    return nlohmann::ordered_json::array(
        {s.kind, s.ranks, s.hosts, s.bytes.value, s.time.value, s.spread});
}

nlohmann::ordered_json calibration_to_json(const Calibration& c) {
    using Json = nlohmann::ordered_json;
    Json out;
    if (!c.date.empty()) out["date"] = c.date;
    if (!c.host.empty()) out["host"] = c.host;
    if (!c.compiler.empty()) out["compiler"] = c.compiler;
    out["busy_slowdown"] = c.busy_slowdown;
    if (c.fork_join.value > 0) out["fork_join"] = c.fork_join.value;
    for (const MatmulSample& s : c.matmul) {
        out["matmul"].push_back(Json::array({name_of(s.dtype), s.m, s.n, s.k, s.rate.value}));
    }
    for (const KernelSample& s : c.kernels) {
        out["kernels"].push_back(Json::array({s.kernel, name_of(s.dtype), s.work, s.rate}));
    }
    for (const CollectiveSample& s : c.collectives) out["collectives"].push_back(to_json(s));
    for (const auto& [name, transport] : c.transports) {
        Json& body = out["transports"][name];
        body["date"] = transport.date;
        body["hosts"] = transport.hosts;
        for (const CollectiveSample& s : transport.collectives)
            body["collectives"].push_back(to_json(s));
    }
    return out;
}

}  // namespace

Cluster read_cluster(const YamlValue& value, const std::string& folder,
                     const ParseOptions& options) {
    if (!value.is_map()) return cluster_from_catalogue(value);
    const YamlMap map(value, description_keys({"gpu", "file", "this_machine", "transport"}));
    constexpr std::array<std::string_view, 3> kForms = {"gpu", "file", "this_machine"};
    const bool written_out = map.find("device") && !map.find("gpu") && !map.find("file");
    Cluster cluster;
    if (!written_out) {
        const YamlCase form = map.one_of(kForms);
        if (form.index == 2) {
            YamlMap(value, {"this_machine"});  // nothing else goes with it
            return this_machine(form.value, options);
        }
        cluster =
            form.index == 0 ? cluster_from_catalogue(form.value) : from_file(form.value, folder);
    }
    apply_description(map, cluster);
    map.read("this_machine", cluster.this_machine);
    read_transport_kind(map, cluster);
    check_complete(value, cluster);
    return cluster;
}

nlohmann::ordered_json cluster_to_json(const Cluster& c) {
    nlohmann::ordered_json out;
    if (!c.name.empty()) out["name"] = c.name;
    if (c.this_machine) out["this_machine"] = true;
    if (c.this_machine || c.transport != "threads") out["transport"] = c.transport;
    out["nodes"] = c.nodes;
    out["gpus_per_node"] = c.gpus_per_node;
    out["cores"] = c.cores;
    out["device"] = device_to_json(c.device);
    out["intra_node"] = link_to_json(c.intra_node);
    out["inter_node"] = link_to_json(c.inter_node);
    if (c.host != NodeHost{}) out["host"] = host_to_json(c.host);
    if (c.operation != ClusterOperation{}) out["operation"] = operation_to_json(c.operation);
    out["calibration"] = calibration_to_json(c.device.calibration);
    return out;
}

Cluster load_cluster(const std::string& path) {
    return parse_cluster(read_text_file(path, "cluster"), path);
}

std::string cluster_to_yaml(const Cluster& cluster) {
    return json_to_yaml(cluster_to_json(cluster));
}

}  // namespace shardscope
