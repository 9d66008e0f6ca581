// What a member of a group asks for in a collective: all members must ask for the same.
#pragma once

#include <cstdint>
#include <string>

#include "core/dtype.h"
#include "core/error.h"
#include "core/program/instruction.h"

namespace shardscope {

// Trivially copyable and without padding, so that processes may send it to each other.
struct CollectiveCall {
    enum class Kind : std::uint8_t { barrier, all_reduce, reduce_scatter, all_gather, exchange };
    std::int64_t elements = 0;  // of the argument: the whole buffer (all_reduce), else one shard
    Kind kind = Kind::barrier;
    DType dtype = DType::fp32;
    ReduceOp op = ReduceOp::sum;  // all_reduce
    std::uint8_t unused[5] = {};

    bool operator==(const CollectiveCall&) const = default;
};
static_assert(sizeof(CollectiveCall) == 16);

// The Error{run_failed, "collective-mismatch"} of two members whose calls differ.
Error call_mismatch(int member, const CollectiveCall& call, int other,
                    const CollectiveCall& other_call);

// The Error{run_failed, "exchange-mismatch"} of a transfer whose ends differ in length.
Error length_mismatch(int from, int to, std::int64_t sent, std::int64_t received);

}  // namespace shardscope
