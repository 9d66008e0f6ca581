// ZeRO over a part of the replicas: shards inside a group, all-reduce between groups (HSDP, MiCS).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/check.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

Scenario grouped(int zero, int group, int ranks = 8) {
    Scenario s = test::tiny_scenario(test::tiny_llama(), ranks);
    s.strategies[0].zero = zero;
    s.strategies[0].shard_group = group;
    return s;
}

// Elements that one rank gives to collectives of the named group in a step, by kind.
std::int64_t elements(const Plan& plan, CollectiveKind kind, std::string_view group) {
    const GroupId id = group_named(plan.program, group);
    std::int64_t sum = 0;
    const RoleProgram& role = plan.program.roles[0];
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions)
            if (const auto* c = std::get_if<Collective>(&i.operation))
                if (c->kind == kind && c->group == id && c->elements > 1) sum += c->elements;
    return sum;
}

std::int64_t sum_over_first_units(const Plan& plan, std::int64_t Unit::*what) {
    std::int64_t sum = 0;
    for (const Unit& unit : plan.units[0]) sum += unit.*what;
    return sum;
}

TEST(ShardGroup, ReducesInsideAndBetween) {
    for (const int zero : {1, 2, 3}) {
        const Plan plan = test::lower_tiny(grouped(zero, 4));
        EXPECT_EQ(sum_over_first_units(plan, &Unit::padded),
                  4 * sum_over_first_units(plan, &Unit::shard));
        EXPECT_EQ(elements(plan, CollectiveKind::reduce_scatter, "shard"),
                  sum_over_first_units(plan, &Unit::padded));
        EXPECT_EQ(elements(plan, CollectiveKind::all_reduce, kReplicaGroup),
                  sum_over_first_units(plan, &Unit::shard));
        EXPECT_NO_THROW(check_program(plan.program, plan.memory)) << zero;
    }
}

TEST(ShardGroup, OfAllRanksIsPlainZero) {
    EXPECT_EQ(to_text(test::lower_tiny(grouped(3, 8)).program),
              to_text(test::lower_tiny(grouped(3, 0)).program));
}

TEST(ShardGroup, OfANodeDividesItByTensorParallelism) {
    Scenario s = grouped(3, Strategy::kWholeNode, 8);
    s.cluster.nodes = 2;
    s.cluster.gpus_per_node = 4;
    s.strategies[0].tp = 2;
    const Plan plan = test::lower_tiny(s);
    EXPECT_EQ(plan.layout.shards, 2);
    EXPECT_EQ(plan.program.groups[kDataGroup].member(Rank(0), 1), Rank(2));
    const GroupId replicas = group_named(plan.program, kReplicaGroup);
    EXPECT_EQ(plan.program.groups[replicas.index()].member(Rank(0), 1), Rank(4)) << "other node";
}

TEST(ShardGroup, Refusals) {
    const auto refusal = [](const Scenario& s) -> std::string {
        try {
            test::lower_tiny(s);
        } catch (const Error& e) {
            return e.what();
        }
        return "accepted";
    };
    EXPECT_THAT(refusal(grouped(0, 4)), HasSubstr("nothing is sharded"));
    EXPECT_THAT(
        refusal(grouped(3, 3)),
        HasSubstr("shard_group 3 does not divide the 8 ranks that hold the same parameters; "
                  "use shard_group 2, 4 or 8"));
    EXPECT_THAT(refusal(grouped(3, 1)), HasSubstr("a shard group of 1 rank shards nothing"));
    EXPECT_THAT(refusal(grouped(3, 4, 1)),
                HasSubstr("shard_group 4 does not divide the 1 rank that holds the same "
                          "parameters; leave shard_group out"));
}

}  // namespace
}  // namespace shardscope
