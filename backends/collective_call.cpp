#include "backends/collective_call.h"

#include <array>
#include <string_view>

namespace shardscope {
namespace {

std::string describe(int member, const CollectiveCall& call) {
    static constexpr std::array<std::string_view, 5> kNames = {
        "barrier", "all_reduce", "reduce_scatter", "all_gather", "exchange"};
    std::string text = "member " + std::to_string(member) + " called ";
    text += kNames[static_cast<std::size_t>(call.kind)];
    if (call.kind == CollectiveCall::Kind::barrier || call.kind == CollectiveCall::Kind::exchange)
        return text;
    if (call.op == ReduceOp::maximum) text += " (maximum)";
    return text + " of " + std::to_string(call.elements) + " " + std::string(name_of(call.dtype)) +
           " elements";
}

}  // namespace

Error call_mismatch(int member, const CollectiveCall& call, int other,
                    const CollectiveCall& other_call) {
    return Error("collective-mismatch",
                 describe(member, call) + " while " + describe(other, other_call),
                 "every member must make the same calls in the same order", ErrorKind::run_failed);
}

Error length_mismatch(int from, int to, std::int64_t sent, std::int64_t received) {
    return Error(
        "exchange-mismatch",
        "member " + std::to_string(from) + " sends " + std::to_string(sent) +
            " bytes while member " + std::to_string(to) + " receives " + std::to_string(received),
        "both ends must issue the transfers between them in the same order", ErrorKind::run_failed);
}

}  // namespace shardscope
