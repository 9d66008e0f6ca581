// Small programs and clusters whose times are round numbers, written by hand.
#pragma once

#include <vector>

#include "core/cluster/cluster.h"
#include "core/program/program.h"

namespace shardscope::test {

// A device on which kernel(s) takes s seconds, and links on which all_reduce(s) among two takes s.
Cluster round_cluster(DeviceKind kind = DeviceKind::gpu);

// Instructions for one body of a role; ranks are 0 … ranks − 1 in one group of all.
class BodyText {
public:
    BodyText& kernel(double seconds, Phase phase = Phase::forward, Stream stream = Stream::compute);
    BodyText& all_reduce(double seconds, Stream stream, GroupId group = GroupId(0));
    // All-gather among two of `lists` tensors, each of which takes that long.
    BodyText& gather_lists(double seconds, int lists, Stream stream);
    BodyText& record(int event, Stream stream);
    BodyText& wait(int event, Stream stream, bool host = false);
    BodyText& copy_to_host(Stream stream = Stream::compute);
    BodyText& exchange(std::vector<Exchange::Transfer> transfers, Stream stream);
    Body body{"body", {}};

private:
    BodyText& add(Operation operation, Stream stream, Phase phase);
};

inline constexpr Stream kCompute = Stream::compute, kGather = Stream::gather,
                        kReduce = Stream::reduce;

// Elements that an all-reduce or a transfer needs to take that long on round_cluster's links.
std::int64_t elements_taking(double seconds);

// `ranks` ranks in one role that run `body` `times` times.
Program one_role(const BodyText& body, int ranks = 2, int times = 1);
// One rank per body, each a role of its own, all in group 0.
Program one_rank_each(const std::vector<BodyText>& bodies);

// Wall time of a step of the first role.
double step_seconds(const Program& program, const Cluster& cluster = round_cluster());

}  // namespace shardscope::test
