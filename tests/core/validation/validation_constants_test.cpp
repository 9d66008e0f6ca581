// Constants other than those that are shipped: read, refused, and put in the place of a cluster's.
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/validation/validation_constants_io.h"

namespace shardscope {
namespace {

TEST(ValidationConstants, TakeThePlaceOfTheClusters) {
    const ValidationConstants constants = parse_constants(
        "architectures: {ampere: {training_efficiency: 0.8, memory_efficiency: 0.7}}\n"
        "links: {infiniband: {efficiency: 0.5}}\n"
        "profiles:\n"
        "  megatron: {launch: 7us, process: 3GiB, scratch: 1.5}\n"
        "  fsdp: {launch: 9us}\n",
        "constants.yaml");
    Cluster cluster = catalogue_cluster("a100-80gb");
    const Cluster shipped = cluster;
    apply_constants(constants, cluster);
    EXPECT_EQ(cluster.device.training_efficiency, 0.8);
    EXPECT_EQ(cluster.device.memory_efficiency, 0.7);
    EXPECT_EQ(cluster.inter_node.efficiency, 0.5);
    EXPECT_EQ(cluster.intra_node.efficiency, shipped.intra_node.efficiency);
    const ProfileConstants megatron = cluster.device.constants_of(RuntimeProfile::megatron);
    EXPECT_EQ(megatron,
              (ProfileConstants{Seconds(7e-6), Bytes(3LL << 30), 1.5, {}, Seconds(70e-6)}));
    // What is not stated stays.
    ProfileConstants fsdp = fitted_constants(RuntimeProfile::fsdp);
    fsdp.launch = Seconds(9e-6);
    EXPECT_EQ(cluster.device.constants_of(RuntimeProfile::fsdp), fsdp);
    EXPECT_EQ(cluster.device.constants_of(RuntimeProfile::deepspeed),
              fitted_constants(RuntimeProfile::deepspeed));
    Cluster hopper = catalogue_cluster("h100-sxm");
    const double before = hopper.device.training_efficiency;
    apply_constants(constants, hopper);
    EXPECT_EQ(hopper.device.training_efficiency, before);
}

TEST(ValidationConstants, AreRefusedWithPlaceAndRule) {
    const auto rule = [](const char* text) {
        try {
            parse_constants(text, "constants.yaml");
        } catch (const Error& error) {
            EXPECT_NE(error.message.find("constants.yaml:1:"), std::string::npos) << error.what();
            return error.rule;
        }
        return std::string("none");
    };
    EXPECT_EQ(rule("architecture: {}"), "unknown-key");
    EXPECT_EQ(rule("architectures: {amper: {training_efficiency: 1}}"), "unknown-key");
    EXPECT_EQ(rule("architectures: {ampere: {training_efficiency: 2}}"), "range");
    EXPECT_EQ(rule("profiles: {megatron: {launch: fast}}"), "type");
    EXPECT_EQ(rule("links: {nvlink4: {latency: 1us}}"), "unknown-key");
}

}  // namespace
}  // namespace shardscope
