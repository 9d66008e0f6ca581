// Cluster descriptions: units, the catalogue, changes to it, this machine, and the way out and back.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/catalogue.h"
#include "core/error.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

constexpr double kGiga = 1e9;

// A file that is removed at the end of the test.
class TemporaryFile {
public:
    TemporaryFile(const std::string& name, const std::string& text)
        : path_(std::filesystem::path(testing::TempDir()) / name) {
        std::ofstream(path_) << text;
    }
    ~TemporaryFile() {
        std::error_code ignored;
        std::filesystem::remove(path_, ignored);
    }
    std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

Cluster cluster_from(const std::string& text, const ParseOptions& options = {},
                     const std::string& path = "s.yaml") {
    const std::string rest = "model: mlp-784-128-10\ntraining: {global_batch: 8}\ncluster: ";
    return parse_scenario(rest + text + "\n", path, options).cluster;
}

// As `calibrate` would measure it.
Cluster calibrated() {
    Cluster c;
    c.name = "my machine";
    c.cores = 2;
    c.device.name = "Some CPU";
    c.device.kind = DeviceKind::cpu;
    c.device.memory = Bytes(8'000'000'001);
    c.device.peak = {{MathType::fp32, FlopsPerSecond(165.1e9 / 3)},
                     {MathType::fp64, FlopsPerSecond(7e10)}};
    c.device.memory_bandwidth = BytesPerSecond(1.0e10 / 3);
    c.device.host_cost = Seconds(1e-7 / 3);
    c.device.source = "measured: \"calibrate\" #1";
    c.intra_node.bandwidth = BytesPerSecond(5e9);
    c.device.calibration = {
        .date = "2025-01-02T03:04:05Z",
        .host = "box",
        .compiler = "g++ 12.2.0",
        .matmul = {{DType::fp32, 1, 2, 3, FlopsPerSecond(1e9 / 7)},
                   {DType::fp64, 1024, 1024, 1024, FlopsPerSecond(5e10)}},
        .kernels = {{"softmax", DType::fp32, 12345, 1e9 / 3}},
        .collectives = {{"all_reduce", 2, 1, Bytes(1 << 20), Seconds(1e-4 / 3), 0.125}},
        .transports = {{"tcp",
                        {"2025-01-03",
                         {"box", "other"},
                         {{"transfer", 2, 2, Bytes(1 << 10), Seconds(1e-5 / 3), 0.25}}}}},
        .busy_slowdown = 1.1,
        .fork_join = Seconds(1e-6 / 3),
    };
    return c;
}

TEST(ClusterFile, CatalogueHoldsTheDataSheets) {
    const Cluster c = cluster_from("h100-sxm");
    EXPECT_EQ(c.name, "h100-sxm");
    EXPECT_EQ(c.device.name, "NVIDIA H100 SXM");
    EXPECT_EQ(c.device.peak.at(MathType::bf16).value, 989e12);
    EXPECT_EQ(c.device.memory_bandwidth.value, 3350 * kGiga);
    EXPECT_EQ(c.inter_node.bandwidth.value, 50 * kGiga);
    EXPECT_EQ(c.device.host_cost.value, 4.5e-6);
    EXPECT_NEAR(gib(c.device.memory), 79.1, 1e-6);
    EXPECT_EQ(c.world_size(), 8);
}

TEST(ClusterFile, EveryCatalogueEntryIsCompleteForManyNodes) {
    ASSERT_GE(cluster_catalogue().size(), 3u);
    for (const CatalogueEntry& entry : cluster_catalogue()) {
        const Cluster c = cluster_from("{gpu: " + std::string(entry.name) + ", nodes: 100}");
        EXPECT_EQ(c.nodes, 100);
        EXPECT_GT(c.inter_node.bandwidth.value, 0);
        EXPECT_FALSE(c.device.source.empty());
        EXPECT_LE(c.device.peak.at(MathType::fp32).value, c.device.peak.at(MathType::fp16).value);
    }
}

TEST(ClusterFile, KeysBesideTheGpuChangeIt) {
    const Cluster c = cluster_from(
        "{gpu: h100-sxm, nodes: 2, gpus_per_node: 4, inter_node: {bandwidth: 100Gbit/s}, "
        "device: {memory: 40GiB, peak: {bf16: 1e12}}}");
    EXPECT_EQ(c.world_size(), 8);
    EXPECT_EQ(c.inter_node.bandwidth.value, 12.5 * kGiga);
    EXPECT_EQ(c.inter_node.efficiency, 0.95);
    EXPECT_EQ(c.device.memory.value, std::int64_t{40} << 30);
    EXPECT_EQ(c.device.peak.at(MathType::bf16).value, 1e12);
    EXPECT_EQ(c.device.peak.at(MathType::fp32).value, 67e12);
}

TEST(ClusterFile, ALinksTypeBringsWhatIsNotStated) {
    const Cluster efa = cluster_from(
        "{gpu: h100-sxm, nodes: 2, inter_node: {type: efa, bandwidth: \"100Gbit/s\", ports: 4}}");
    EXPECT_EQ(efa.inter_node.type, LinkType::efa);
    EXPECT_EQ(efa.inter_node.efficiency, facts_of(LinkType::efa).efficiency);
    EXPECT_EQ(efa.inter_node.latency.value, facts_of(LinkType::efa).latency);
    EXPECT_EQ(efa.inter_node.ports, 4);
    const Cluster stated =
        cluster_from("{gpu: h100-sxm, inter_node: {type: efa, efficiency: 0.5, latency: 1us}}");
    EXPECT_EQ(stated.inter_node.efficiency, 0.5);
    EXPECT_EQ(stated.inter_node.latency.value, 1e-6);
    const Cluster mesh = cluster_from("{gpu: h100-sxm, intra_node: {switched: false}}");
    EXPECT_FALSE(mesh.intra_node.switched);
    const std::string yaml = cluster_to_yaml(efa);
    const TemporaryFile file("shardscope_link_type_test.yaml", yaml);
    EXPECT_EQ(load_cluster(file.path()), efa) << yaml;
}

TEST(ClusterFile, TheHostIsReadAndWritten) {
    const Cluster c = cluster_from(
        "{gpu: rtx-4090, host: {memory: 256GB, memory_bandwidth: 80GB/s, memory_efficiency: 0.5, "
        "link: {bandwidth: 32GB/s, latency: 5us}, nvme: {capacity: 4TB, read: 7GB/s, write: "
        "5GB/s}, "
        "source: mine}}");
    EXPECT_EQ(c.host.memory.value, 256'000'000'000);
    EXPECT_EQ(c.host.memory_bandwidth.value, 80 * kGiga);
    EXPECT_EQ(c.host.memory_efficiency, 0.5);
    EXPECT_EQ(c.host.link.bandwidth.value, 32 * kGiga);
    EXPECT_EQ(c.host.link.latency.value, 5e-6);
    EXPECT_EQ(c.host.nvme.value, 4'000'000'000'000);
    EXPECT_EQ(c.host.nvme_read.value, 7 * kGiga);
    EXPECT_EQ(c.host.nvme_write.value, 5 * kGiga);
    EXPECT_EQ(c.host.source, "mine");
    const std::string yaml = cluster_to_yaml(c);
    const TemporaryFile file("shardscope_host_test.yaml", yaml);
    EXPECT_EQ(load_cluster(file.path()), c) << yaml;
}

TEST(ClusterFile, ALinksTypeBelongsToItsPlace) {
    const auto rule = [](const std::string& text) {
        try {
            cluster_from(text);
        } catch (const Error& error) {
            return error.rule;
        }
        return std::string("none");
    };
    EXPECT_EQ(rule("{gpu: h100-sxm, inter_node: {type: nvlink4}}"), "link-type");
    EXPECT_EQ(rule("{gpu: h100-sxm, intra_node: {type: infiniband}}"), "link-type");
    EXPECT_EQ(rule("{gpu: h100-sxm, intra_node: {type: nvlink9}}"), "unknown-name");
    EXPECT_EQ(rule("{gpu: h100-sxm, intra_node: {ports: 4}}"), "unknown-key");
}

TEST(ClusterFile, IsFoundFromTheScenariosFolder) {
    const TemporaryFile file(
        "shardscope_cluster_io_test.yaml",
        "device: {memory: 1GB, peak: {fp32: 1e12}, memory_bandwidth: 1TB/s}\n");
    const std::string beside = testing::TempDir() + "/s.yaml";
    const Cluster c = cluster_from("{file: shardscope_cluster_io_test.yaml}", {}, beside);
    EXPECT_EQ(c.name, "shardscope_cluster_io_test");
    EXPECT_EQ(c.device.memory_bandwidth.value, 1e12);
    // Two nodes need a link, which the file lacks.
    EXPECT_THROW(cluster_from("{file: shardscope_cluster_io_test.yaml, nodes: 2}", {}, beside),
                 Error);
}

TEST(ClusterFile, RoundTripsToTheSameValues) {
    const Cluster before = calibrated();
    const std::string yaml = cluster_to_yaml(before);
    SCOPED_TRACE(yaml);
    const TemporaryFile file("shardscope_round_trip_test.yaml", yaml);
    const Cluster after = load_cluster(file.path());
    EXPECT_EQ(cluster_to_yaml(after), yaml);
    EXPECT_EQ(after.name, before.name);
    EXPECT_EQ(after.cores, before.cores);
    EXPECT_EQ(after.device.kind, DeviceKind::cpu);
    EXPECT_EQ(after.device.memory, before.device.memory);
    EXPECT_EQ(after.device.peak, before.device.peak);
    EXPECT_EQ(after.device.memory_bandwidth, before.device.memory_bandwidth);
    EXPECT_EQ(after.device.host_cost, before.device.host_cost);
    EXPECT_EQ(after.device.source, before.device.source);
    const Calibration &a = after.device.calibration, &b = before.device.calibration;
    EXPECT_EQ(a.date, b.date);
    EXPECT_EQ(a.busy_slowdown, b.busy_slowdown);
    ASSERT_EQ(a.matmul.size(), 2u);
    EXPECT_EQ(a.matmul[1].dtype, DType::fp64);
    EXPECT_EQ(a.matmul[0].k, 3);
    EXPECT_EQ(a.matmul[0].rate, b.matmul[0].rate);
    ASSERT_EQ(a.kernels.size(), 1u);
    EXPECT_EQ(a.kernels[0].kernel, "softmax");
    EXPECT_EQ(a.kernels[0].rate, b.kernels[0].rate);
    ASSERT_EQ(a.collectives.size(), 1u);
    EXPECT_EQ(a.collectives[0].bytes, b.collectives[0].bytes);
    EXPECT_EQ(a.collectives[0].time, b.collectives[0].time);
}

TEST(ClusterFile, LaunchesThatWaitRoundTrip) {
    const Cluster read = cluster_from(
        "{gpu: a100-80gb, device: {blocking_launches: true, "
        "profiles: {megatron: {launch: 50us, waiting_launch: 90us}}}}");
    EXPECT_TRUE(read.device.blocking_launches);
    EXPECT_EQ(read.device.profiles.at(RuntimeProfile::megatron).waiting_launch, Seconds(90e-6));
    const std::string yaml = cluster_to_yaml(read);
    const TemporaryFile written("shardscope_waiting_test.yaml", yaml);
    const Cluster again = load_cluster(written.path());
    EXPECT_TRUE(again.device.blocking_launches);
    EXPECT_EQ(again.device.profiles.at(RuntimeProfile::megatron),
              read.device.profiles.at(RuntimeProfile::megatron));
    EXPECT_FALSE(catalogue_cluster("a100-80gb").device.blocking_launches);
}

// A key changes what it names: neither other profiles nor other constants of the file.
TEST(ClusterFile, ConstantsOfProfilesAreChangedOneByOne) {
    const TemporaryFile file(
        "shardscope_profiles_test.yaml",
        cluster_to_yaml(cluster_from("{gpu: a100-80gb, device: {profiles: {megatron: {process: "
                                     "30GiB, launch: 500us}, fsdp: {launch: 70us}}}}")));
    const Cluster read =
        cluster_from("{file: " + file.path() + ", device: {profiles: {megatron: {launch: 20us}}}}");
    const ProfileConstants megatron = read.device.constants_of(RuntimeProfile::megatron);
    EXPECT_EQ(megatron.launch, Seconds(20e-6));
    EXPECT_EQ(megatron.process, Bytes(std::int64_t{30} << 30));
    EXPECT_EQ(read.device.constants_of(RuntimeProfile::fsdp).launch, Seconds(70e-6));
}

TEST(ThisMachine, WithoutCalibrationSaysSo) {
    const ParseOptions options{"/no/such/file.yaml", 3, Bytes(12'000)};
    const Cluster c = cluster_from("{this_machine: {ranks: 4}}", options);
    EXPECT_TRUE(c.this_machine);
    EXPECT_TRUE(c.device.calibration.empty());
    EXPECT_EQ(c.device.kind, DeviceKind::cpu);
    EXPECT_EQ(c.device.memory.value, 3'000);
    EXPECT_EQ(c.cores, 3);
    EXPECT_EQ(c.nodes, 1);
    EXPECT_EQ(c.gpus_per_node, 4);
    EXPECT_EQ(c.device.threads, 1);
}

TEST(ThisMachine, RanksMayHaveThreads) {
    const Cluster c =
        cluster_from("{this_machine: {ranks: 2, threads: 3}}", {"", 4, Bytes(12'000)});
    EXPECT_EQ(c.gpus_per_node, 2);
    EXPECT_EQ(c.device.threads, 3);
    EXPECT_EQ(c.device.memory.value, 6'000);
}

TEST(ThisMachine, UsesItsCalibration) {
    const TemporaryFile file("shardscope_this_machine_test.yaml", cluster_to_yaml(calibrated()));
    const Cluster c = cluster_from("{this_machine: {ranks: 2}}", {file.path(), 4, Bytes(10'000)});
    EXPECT_EQ(c.device.calibration.matmul.size(), 2u);
    EXPECT_EQ(c.device.name, "Some CPU");
    EXPECT_EQ(c.cores, 4);
    EXPECT_EQ(c.device.memory.value, 5'000);
}

// The first message about a broken cluster file, without its path.
std::string cluster_refusal(const std::string& text) {
    const TemporaryFile file("shardscope_bad_cluster_test.yaml", text);
    try {
        load_cluster(file.path());
    } catch (const Error& e) {
        EXPECT_EQ(e.exit_code(), 3);
        EXPECT_TRUE(e.message.starts_with(file.path() + ":"));
        return e.rule + e.message.substr(file.path().size()) + "; " + e.fix;
    }
    return "accepted";
}

TEST(ClusterFile, RefusesWhatIsWrong) {
    const std::string good =
        "device: {memory: 1GB, peak: {fp32: 1e12}, memory_bandwidth: 1TB/s}\ncalibration: ";
    EXPECT_EQ(cluster_refusal("device: {memory: 1GB, peek: {}}\n"),
              "unknown-key:1:23: unknown key \"peek\" in device; use \"peak\"");
    EXPECT_TRUE(cluster_refusal("device: {memory: 1GB, peak: {fp17: 1}}\n")
                    .starts_with("unknown-key:1:30"));
    EXPECT_TRUE(cluster_refusal("device: {memory: 1s}\n").starts_with("type:1:18"));
    EXPECT_TRUE(cluster_refusal("device: {matmul_efficiency: 1.2}\n").starts_with("range:1:29"));
    EXPECT_TRUE(cluster_refusal("device: {memory_bandwidth: 0}\n").starts_with("range:1:28"));
    EXPECT_TRUE(cluster_refusal("nodes: 2\n")
                    .starts_with("missing-key:1:1: the cluster has no device.memory"));
    EXPECT_TRUE(cluster_refusal(good + "{matmul: [[fp32, 1, 2, 3]]}\n").starts_with("type:2:24"));
    EXPECT_TRUE(
        cluster_refusal(good + "{matmul: [[fp32, 1, 2, 0, 1]]}\n").starts_with("range:2:37"));
    EXPECT_TRUE(cluster_refusal(good + "{busy_slowdown: 0.5}\n").starts_with("range:2:"));
    EXPECT_EQ(cluster_refusal(good + "{}\n"), "accepted");
}

TEST(ClusterFile, ANumberThatLacksItsUnitIsRefused) {
    const auto refusal = [](const std::string& text) -> std::string {
        try {
            cluster_from("{gpu: h100-sxm, " + text + "}");
        } catch (const Error& e) {
            EXPECT_EQ(e.rule, "range");
            return e.message.substr(e.message.find(": ") + 2) + "; " + e.fix;
        }
        return "accepted";
    };
    EXPECT_EQ(refusal("device: {memory: 80}"),
              "cluster.device.memory is 80, but must be from 1000000 to 1125899906842624; state a "
              "unit: write 80GB if that is meant");
    EXPECT_EQ(refusal("device: {peak: {bf16: 989}}"),
              "cluster.device.peak.bf16 is 989, but must be from 100000000 to 1e+24; state a unit: "
              "write 989TFLOP/s if that is meant");
    for (const auto& [text, remedy] : std::map<std::string, std::string>{
             {"device: {memory: 79.1}", "write 79.1GB"},
             {"device: {memory: 0.5kB}", "80GB"},
             {"device: {memory: 1e30}", "80GB"},
             {"device: {memory_bandwidth: 3350}", "write 3350GB/s"},
             {"device: {clock: 1830}", "write 1830MHz"},
             {"device: {clock: 1.83}", "1410MHz"},
             {"device: {power: 0.7}", "700W"},
             {"device: {l2: 50}", "a size such as 25MiB or 80GB, 0, or from 1000"},
             {"device: {runtime: 0.75}", "from 1000"},
             {"device: {host_cost: 4.5}", "write 4.5us"},
             {"device: {memory_latency: 0.6}", "write 0.6us"},
             {"device: {profiles: {megatron: {launch: 20}}}", "write 20us"},
             {"inter_node: {latency: 5}", "write 5us"},
             {"host: {memory: 2}", "write 2GB"},
             {"host: {nvme: {capacity: 30}}", "write 30GB"},
             {"operation: {storage_bandwidth: 100}", "write 100GB/s"},
             {"operation: {node_power: 0.4}", "700W"},
         })
        EXPECT_THAT(refusal(text), testing::HasSubstr(remedy)) << text;
    for (const char* text : {"device: {runtime: 0, l2: 0}", "device: {memory: 1MB}",
                             "device: {host_cost: 0}", "inter_node: {latency: 0.1}"})
        EXPECT_EQ(refusal(text), "accepted") << text;
}

}  // namespace
}  // namespace shardscope
