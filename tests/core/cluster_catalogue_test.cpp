// Every cluster that comes with the program, as its file says it.
#include <gtest/gtest.h>

#include "core/catalogue.h"
#include "core/cluster/cluster_io.h"
#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "tests/support/repository.h"

namespace shardscope {
namespace {

TEST(ClusterCatalogue, EveryFileIsANodeOfGpus) {
    for (const CatalogueEntry& entry : cluster_catalogue()) {
        SCOPED_TRACE(entry.name);
        const Cluster cluster = catalogue_cluster(std::string(entry.name));
        EXPECT_EQ(cluster.name, entry.name);
        EXPECT_EQ(cluster.device.kind, DeviceKind::gpu);
        EXPECT_EQ(cluster.nodes, 1);
        EXPECT_GE(cluster.gpus_per_node, 4);
        EXPECT_NE(cluster.intra_node.type, LinkType::generic);
        EXPECT_NE(cluster.inter_node.type, LinkType::generic);
    }
    for (const char* name : {"v100-32gb", "a100-80gb", "h100-sxm", "b200", "mi300x"})
        EXPECT_EQ(catalogue_cluster(name).name, name);
}

// docs/scenario.md lists them all.
TEST(ClusterCatalogue, IsDocumented) {
    const std::string text = test::repository_file("docs/scenario.md");
    for (const CatalogueEntry& entry : cluster_catalogue())
        EXPECT_NE(text.find("`" + std::string(entry.name) + "`"), std::string::npos) << entry.name;
}

// What the kernel model reads is stated by every file, not left to a default.
TEST(ClusterCatalogue, DescribesTheChip) {
    for (const CatalogueEntry& entry : cluster_catalogue()) {
        SCOPED_TRACE(entry.name);
        for (const char* key : {"architecture:", "multiprocessors:", "clock:", "memory:", "peak:",
                                "matmul_efficiency:", "training_efficiency:", "memory_bandwidth:",
                                "memory_efficiency:", "memory_latency:", "l2:", "power:",
                                "host_cost:", "kernel_overhead:", "runtime:", "source:"})
            EXPECT_NE(entry.text.find(key), std::string_view::npos) << key;
        EXPECT_NE(entry.text.find("ssumption"), std::string_view::npos) << "says what is assumed";
    }
}

TEST(ClusterCatalogue, EveryNumberHasItsSourceBesideIt) {
    for (const CatalogueEntry& entry : cluster_catalogue())
        for (const char* key :
             {"  multiprocessors:", "  clock:", "  memory:", "  matmul_efficiency:",
              "  training_efficiency:", "  memory_bandwidth:", "  l2:", "  power:", "  bandwidth:",
              "  efficiency:"}) {
            const std::size_t at = entry.text.find(key);
            ASSERT_NE(at, std::string_view::npos) << entry.name << key;
            const std::string_view line = entry.text.substr(at, entry.text.find('\n', at) - at);
            EXPECT_NE(line.find("# "), std::string_view::npos) << entry.name << ": " << line;
        }
}

// The peaks are those of the tensor cores at the stated clock, within the rounding of data sheets.
TEST(ClusterCatalogue, PeaksFollowFromTheClock) {
    const auto flops_per_clock = [](const char* name, MathType math) {
        const Device d = catalogue_cluster(name).device;
        return d.peak_of(math).value / (d.clock.value * d.multiprocessors);
    };
    const auto near = [&](const char* name, MathType math, double expected) {
        EXPECT_NEAR(flops_per_clock(name, math), expected, 0.006 * expected) << name;
    };
    for (const char* name : {"v100-16gb", "v100-32gb", "t4"}) near(name, MathType::fp16, 1024);
    for (const char* name : {"a100-40gb", "a100-80gb", "a100-pcie-40gb", "a100-pcie-80gb", "a800"})
        near(name, MathType::bf16, 2048);
    for (const char* name :
         {"h100-sxm", "h100-sxm-96gb", "h100-pcie", "h100-nvl", "h200", "h800", "gh200"}) {
        near(name, MathType::bf16, 4096);
        near(name, MathType::fp8, 8192);
        near(name, MathType::tf32, 2048);
    }
    for (const char* name : {"b200", "b300", "gb200-nvl72", "gb300-nvl72"}) {
        near(name, MathType::bf16, 8192);
        near(name, MathType::mxfp8, 16384);
    }
    for (const char* name : {"l40s", "l4", "rtx-a6000", "rtx-6000-ada", "h20", "mi250", "mi250x"})
        near(name, MathType::bf16, 1024);
    for (const char* name : {"rtx-3090", "rtx-4090", "rtx-5090", "a10g"})
        near(name, MathType::bf16, 512);
    for (const char* name : {"mi300x", "mi325x"}) near(name, MathType::bf16, 2048);
    near("mi355x", MathType::bf16, 4096);
}

TEST(ClusterCatalogue, PrecisionsThatAChipLacksAreNotStated) {
    const Device volta = catalogue_cluster("v100-32gb").device;
    EXPECT_EQ(volta.peak_of(MathType::bf16).value, 0);
    EXPECT_EQ(volta.peak_of(MathType::tf32).value, 0);
    for (const char* name : {"a100-80gb", "a10g", "rtx-3090", "rtx-a6000", "mi250", "mi250x"})
        EXPECT_EQ(catalogue_cluster(name).device.peak_of(MathType::fp8).value, 0) << name;
    EXPECT_EQ(catalogue_cluster("t4").device.peak_of(MathType::bf16).value, 0);
    EXPECT_EQ(catalogue_cluster("h200").device.peak_of(MathType::nvfp4).value, 0);
    const Device hopper = catalogue_cluster("h100-sxm").device;
    EXPECT_EQ(hopper.peak_of(MathType::fp8_rowwise), hopper.peak_of(MathType::fp8));
    EXPECT_EQ(hopper.matmul_efficiency_of(MathType::fp8_rowwise), 0.757);
    EXPECT_EQ(hopper.matmul_efficiency_of(MathType::bf16), hopper.matmul_efficiency);
}

TEST(ClusterCatalogue, EveryFileReadsBackAsItIsWritten) {
    for (const CatalogueEntry& entry : cluster_catalogue()) {
        const Cluster before = catalogue_cluster(std::string(entry.name));
        const Cluster after =
            read_cluster(YamlValue::parse(cluster_to_yaml(before), "written.yaml"), "", {});
        EXPECT_EQ(after, before) << cluster_to_yaml(before);
    }
}

TEST(ClusterCatalogue, TheChipCanBeOverridden) {
    const auto read = [](const std::string& text) {
        return read_cluster(YamlValue::parse(text, "s.yaml"), "", {}).device;
    };
    const Device d = read(
        "{gpu: h100-sxm, device: {power_limit: 500W, clock: 1.5GHz, matmul_efficiencies: {fp8: "
        "0.5}}}");
    EXPECT_EQ(d.power_limit.value, 500);
    EXPECT_EQ(d.power.value, 700);
    EXPECT_EQ(d.clock.value, 1.5e9);
    EXPECT_EQ(d.matmul_efficiency_of(MathType::fp8), 0.5);
    EXPECT_EQ(d.matmul_efficiency_of(MathType::bf16), 0.846);
    const auto refusal = [&read](const std::string& text) {
        try {
            read(text);
        } catch (const Error& e) {
            return e.rule + ": " + e.message + "; " + e.fix;
        }
        return std::string("accepted");
    };
    EXPECT_NE(refusal("{gpu: h200, device: {architecture: hoper}}").find("use \"hopper\""),
              std::string::npos);
    EXPECT_NE(refusal("{gpu: h200, device: {clock: 5us}}").find("a clock such as 1410MHz"),
              std::string::npos);
    EXPECT_NE(refusal("{gpu: h200, device: {power_limit: 700GB}}").find("a power such as 700W"),
              std::string::npos);
    EXPECT_NE(refusal("{gpu: h200, device: {matmul_efficiencies: {fp9: 1}}}").find("use \"fp8\""),
              std::string::npos);
}

}  // namespace
}  // namespace shardscope
