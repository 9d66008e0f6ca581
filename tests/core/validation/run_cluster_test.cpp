// The GPUs, memories and links of measured runs.
#include "core/validation/run_cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/validation/run_scenario.h"
#include "tests/support/measured_rows.h"

namespace shardscope {
namespace {

using test::full_row;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

template <class Action>
Error refusal(Action action) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_FALSE(error.fix.empty());
        return error;
    }
    ADD_FAILURE() << "not refused";
    return {"", "", ""};
}

TEST(RunCluster, GpusByTheirProductNames) {
    const auto cluster = [](const char* gpu, std::optional<double> memory = {},
                            std::optional<double> link = {}) {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        run.gpu_memory_gb = memory;
        run.intra_node_GBps = link;
        run.precision = "fp16";  // which all of them have
        return map_run(run).scenario.cluster.name;
    };
    EXPECT_EQ(cluster("A100"), "a100-80gb");
    EXPECT_EQ(cluster("A100", 40), "a100-40gb");
    EXPECT_EQ(cluster("NVIDIA A100-SXM4-40GB"), "a100-40gb");
    EXPECT_EQ(cluster("Tesla V100-SXM2-16GB"), "v100-16gb");
    EXPECT_EQ(cluster("NVIDIA GeForce RTX 4090"), "rtx-4090");
    EXPECT_EQ(cluster("GB200"), "gb200-nvl72");
    EXPECT_EQ(cluster("H100", 80), "h100-sxm") << "the usual one where no column tells";
    EXPECT_EQ(cluster("H100", 80, 64), "h100-pcie") << "the links tell";
    EXPECT_EQ(cluster("H100", {}, 64), "h100-pcie") << "not h100-nvl, which has its links too";
    EXPECT_EQ(cluster("H100", 94, 64), "h100-nvl");
    EXPECT_EQ(cluster("H100", 96), "h100-sxm-96gb");
    EXPECT_EQ(cluster("NVIDIA H100 80GB HBM3"), "h100-sxm");
    EXPECT_EQ(cluster("H100 PCIe", {}, 450), "h100-pcie") << "the name goes before the links";
    EXPECT_EQ(cluster("h100_sxm"), "h100-sxm");
    EXPECT_EQ(cluster("RTX4090 (24 GB)"), "rtx-4090");
    EXPECT_EQ(cluster("A100 40 GB"), "a100-40gb");
    EXPECT_EQ(cluster("A100", 40, 32), "a100-pcie-40gb") << "the links tell";
    EXPECT_EQ(cluster("A100-PCIE-80GB"), "a100-pcie-80gb");
    EXPECT_EQ(cluster("A100 PCIe", 40), "a100-pcie-40gb");
    EXPECT_EQ(cluster("H100 NVL"), "h100-nvl");
    EXPECT_EQ(cluster("H800"), "h800");
    EXPECT_EQ(cluster("8xH800 (NVLink)"), "h800");
    EXPECT_EQ(cluster("A800-SXM4-80GB"), "a800");
    EXPECT_EQ(cluster("8x A100"), "a100-80gb");
    EXPECT_EQ(cluster("8 x RTX 4090"), "rtx-4090");
    EXPECT_EQ(cluster("A100-40G"), "a100-40gb");
    EXPECT_EQ(cluster("A100 80GiB"), "a100-80gb");
    EXPECT_EQ(cluster("NVIDIA GH200 Grace Hopper Superchip"), "gh200");
    EXPECT_EQ(cluster("NVIDIA RTX 6000 Ada Generation"), "rtx-6000-ada");
    EXPECT_EQ(cluster("A6000"), "rtx-a6000");
    EXPECT_EQ(cluster("3090"), "rtx-3090");
    EXPECT_EQ(cluster("Tesla T4"), "t4");
    EXPECT_EQ(cluster("AMD Instinct MI250X OAM"), "mi250x");
    EXPECT_EQ(cluster("MI250X GCD"), "mi250x");
    EXPECT_EQ(cluster("AMD MI250"), "mi250");
    const auto assumed = [](const char* gpu) {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        run.gpu_memory_gb.reset();
        run.precision = "fp16";
        return map_run(run).assumed.with(0);
    };
    EXPECT_THAT(assumed("V100-PCIE-32GB"), Contains((Assumption{"gpu", "v100-32gb"})));
    EXPECT_THAT(assumed("H200 NVL"), Contains((Assumption{"gpu", "h200"})));
    EXPECT_THAT(assumed("H100 PCIe"), Not(Contains(testing::Field(&Assumption::column, "gpu"))));
    MeasuredRun board = full_row();
    board.gpu = "H100";
    board.intra_node_GBps = 64;
    EXPECT_THAT(map_run(board).assumed.with(0), Contains((Assumption{"gpu", "h100-pcie"})))
        << "not what the name alone would give";
    board.gpu = "A100";
    board.gpu_memory_gb = 40;
    board.intra_node_GBps = 300;
    EXPECT_THAT(map_run(board).assumed.with(0), Contains((Assumption{"gpu", "a100-40gb"})));
    MeasuredRun exported = full_row();
    exported.gpu = "H800";
    exported.intra_node_GBps.reset();
    EXPECT_DOUBLE_EQ(map_run(exported).scenario.cluster.intra_node.bandwidth.value, 200e9);
}

// Of an MI250X schedulers count the two chips; rows may state the card's memory.
TEST(RunCluster, ACardWithTwoDevices) {
    const auto with_memory = [](double memory) {
        MeasuredRun run = full_row();
        run.gpu = "MI250X";
        run.gpu_memory_gb = memory;
        return map_run(run);
    };
    const MappedRun half = with_memory(64), whole = with_memory(128);
    EXPECT_EQ(half.scenario.cluster.device.memory, whole.scenario.cluster.device.memory);
    EXPECT_THAT(half.assumed.with(0), Not(Contains(testing::Field(&Assumption::column, "gpu"))));
    EXPECT_THAT(
        whole.assumed.with(0),
        Contains((Assumption{"gpu", "one of the two devices of a card, each counted by gpus"})));
    EXPECT_THAT(whole.assumed.with(0), Contains((Assumption{"gpu_memory_gb", "64"})));
}

// By four per node, or by the card's memory where nothing is said of nodes; a degree that is open is of devices.
TEST(RunCluster, RowsThatCountCardsOfTwoDevices) {
    const auto run_of = [](const char* gpu, std::optional<double> memory,
                           std::optional<std::int64_t> per_node) {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        run.gpu_memory_gb = memory;
        run.gpus_per_node = per_node;
        run.dp.reset();
        run.zero_stage = 1;
        return map_run(run);
    };
    const auto counts = [&](const char* gpu, std::optional<double> memory,
                            std::optional<std::int64_t> per_node) {
        const MappedRun mapped = run_of(gpu, memory, per_node);
        const Cluster& cluster = mapped.scenario.cluster;
        EXPECT_EQ(mapped.scenario.strategies.front().dp, cluster.nodes * cluster.gpus_per_node / 4);
        EXPECT_NEAR(gib(cluster.device.memory), 64, 0.1);
        return std::pair(cluster.nodes, cluster.gpus_per_node);
    };
    EXPECT_EQ(counts("MI250X", 128, 4), std::pair(4, 8));
    EXPECT_EQ(counts("MI250X", {}, 4), std::pair(4, 8));
    EXPECT_EQ(counts("MI250X", 128, {}), std::pair(4, 8));
    EXPECT_EQ(counts("MI250", 128, 4), std::pair(4, 8));
    EXPECT_EQ(counts("MI250X", 64, 4), std::pair(4, 4)) << "the device's memory";
    EXPECT_EQ(counts("MI250X", 128, 8), std::pair(2, 8)) << "no node has eight cards";
    EXPECT_EQ(counts("MI250X", {}, 8), std::pair(2, 8));
    EXPECT_EQ(counts("MI250X GCD", {}, 4), std::pair(4, 4));
    const auto assumed = run_of("MI250X", 128, 4).assumed.with(0);
    EXPECT_THAT(assumed, Contains((Assumption{"gpus", "32: 16 cards of two devices"})));
    EXPECT_THAT(assumed, Contains((Assumption{"gpus_per_node", "8"})));
    EXPECT_THAT(assumed, Contains((Assumption{"gpu_memory_gb", "64"})));
    MeasuredRun ranks = full_row();  // 16 of them by its degrees
    ranks.gpu = "MI250X";
    ranks.gpu_memory_gb = 128;
    ranks.gpus_per_node = 4;
    EXPECT_EQ(map_run(ranks).scenario.cluster.nodes, 4);
}

// The nearest spelling is another chip; who has one must not be told to write the other.
TEST(RunCluster, UnknownGpusAreNotTakenForOthers) {
    const auto fix = [](const char* gpu) {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        const Error refused = refusal([&] { map_run(run); });
        EXPECT_EQ(refused.rule, "gpu");
        EXPECT_EQ(refused.message,
                  std::string("no cluster of the catalogue has the GPU \"") + gpu + '"');
        return refused.fix;
    };
    EXPECT_EQ(
        fix("MI350X"),
        "correct \"gpu\" if it was one of these other chips, mi250, mi250x, mi300x, mi325x or "
        "mi355x, else leave the row out");
    for (const char* gpu : {"L20", "NVIDIA L40"})
        EXPECT_THAT(fix(gpu), HasSubstr("other chips, l4 or l40s, else")) << gpu;
    EXPECT_THAT(fix("RTX PRO 6000"), HasSubstr("other chips, rtx-3090, rtx-4090, "));
    EXPECT_THAT(fix("Quadro"), HasSubstr("`shardscope devices` lists"));
}

// In MiB, as nvidia-smi prints them, or of all GPUs of a node.
TEST(RunCluster, MemoriesThatNoSuchGpuHas) {
    const auto with_memory = [](const char* gpu, double memory) {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        run.gpu_memory_gb = memory;
        return refusal([&] { map_run(run); });
    };
    const Error refused = with_memory("H100", 81559);
    EXPECT_EQ(refused.rule, "range");
    EXPECT_EQ(
        refused.message,
        "column \"gpu_memory_gb\": 81559 GB are the memory of no \"H100\", which has 79, 93 or "
        "95 GB");
    EXPECT_THAT(refused.fix, HasSubstr("of one GPU"));
    EXPECT_EQ(with_memory("H100", 640).rule, "range");
    EXPECT_EQ(with_memory("MI250X", 256).rule, "range") << "128 are a card";
    EXPECT_EQ(with_memory("A100", 16).rule, "range");
    for (const auto& [gpu, memory] :
         {std::pair{"H20", 141.0}, {"GH200", 144.0}, {"A100", 64.0}, {"H100", 64.0}}) {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        run.gpu_memory_gb = memory;
        EXPECT_EQ(gib(map_run(run).scenario.cluster.device.memory), memory) << gpu;
    }
}

TEST(RunCluster, LinksInBothDirections) {
    const auto link = [](const char* gpu, double stated) {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        run.gpu_memory_gb.reset();
        run.intra_node_GBps = stated;
        const MappedRun mapped = map_run(run);
        std::string said;
        for (const Assumption& a : mapped.assumed.with(0))
            if (a.column == "intra_node_GBps") said = a.value;
        return std::pair(mapped.scenario.cluster.intra_node.bandwidth.value / kGB, said);
    };
    EXPECT_EQ(link("H100 SXM", 900),
              std::pair(450.0, std::string("450: 900 is of both directions")));
    EXPECT_EQ(link("A100", 600), std::pair(300.0, std::string("300: 600 is of both directions")));
    EXPECT_EQ(link("B200", 900), std::pair(900.0, std::string()));
    EXPECT_EQ(link("A100", 450), std::pair(450.0, std::string())) << "some other link";
    EXPECT_EQ(link("MI300X", 64), std::pair(448.0, std::string("448: 64 is of one link")));
    EXPECT_EQ(link("MI300X", 128), std::pair(448.0, std::string("448: 128 is of one link")));
}

TEST(RunCluster, MeasuredMemoryIsThatOfOneGpu) {
    const auto check = [](double peak) {
        MeasuredRun run = full_row();
        run.peak_memory_gib = peak;
        check_measured_memory(run, map_run(run).scenario.cluster);
    };
    for (const double peak : {20.0, 79.9, 84.9}) EXPECT_NO_THROW(check(peak)) << "GB as GiB";
    for (const double peak : {95.0, 61440.0}) {
        const Error refused = refusal([&] { check(peak); });
        EXPECT_EQ(refused.rule, "range");
        EXPECT_THAT(refused.message, HasSubstr("more than the 79 GiB of a100-80gb"));
    }
}

// A rack's NVLink goes beyond the tray that rows call a node, and nodes that are not stated divide the GPUs.
TEST(RunCluster, NodesOfRacksAndOddNumbers) {
    const auto nodes = [](const char* gpu, std::int64_t gpus,
                          std::optional<std::int64_t> per_node) {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        run.gpu_memory_gb.reset();
        run.gpus = gpus;
        run.gpus_per_node = per_node;
        run.tp = run.pp = 1;
        run.dp = gpus;
        const Cluster cluster = map_run(run).scenario.cluster;
        return std::pair(cluster.nodes, cluster.gpus_per_node);
    };
    EXPECT_EQ(nodes("GB200", 256, {}), std::pair(4, 64));
    EXPECT_EQ(nodes("GB200", 144, 4), std::pair(2, 72));
    EXPECT_EQ(nodes("GB200", 36, 4), std::pair(1, 36));
    EXPECT_EQ(nodes("GB200", 144, 72), std::pair(2, 72));
    for (const std::int64_t gpus : {128, 256, 512})
        EXPECT_EQ(nodes("GB300 NVL72", gpus, 72), std::pair(static_cast<int>(gpus / 64), 64));
    EXPECT_EQ(nodes("B200", 256, 8), std::pair(32, 8));
    EXPECT_EQ(nodes("A100", 12, {}), std::pair(2, 6));
}

// What is stated of a tray's or a rack's ports is of its GPUs, of which the rack that is simulated has more or fewer.
TEST(RunCluster, PortsOfRacksGoWithTheirGpus) {
    const auto rate = [](std::int64_t per_node, double stated) {
        MeasuredRun run = full_row();
        run.gpu = "GB200";
        run.gpu_memory_gb.reset();
        run.gpus = run.dp = 128;
        run.tp = run.pp = 1;
        run.global_batch = 128;
        run.micro_batch = 1;
        run.gpus_per_node = per_node;
        run.inter_node_Gbps_per_node = stated;
        const MappedRun mapped = map_run(run);
        EXPECT_THAT(mapped.assumed.with(0), Contains((Assumption{"gpus_per_node", "64"})));
        const Link& link = mapped.scenario.cluster.inter_node;
        return std::pair(link.ports, link.bandwidth.value);
    };
    EXPECT_EQ(rate(4, 4 * 400), std::pair(64, 50e9));
    EXPECT_EQ(rate(72, 72 * 400), std::pair(64, 50e9));
}

}  // namespace
}  // namespace shardscope
