// To how many places a token goes whose experts are drawn at random, each draw as likely as any other: what
// balanced routing comes to.
//
// A token goes to k of E experts, none of them twice. A part of b experts is reached unless all k are outside:
//     P = 1 − C(E − b, k) / C(E, k)
// so that of N equal parts N·(1 − C(E − E/N, k) / C(E, k)) are reached in the mean. With groups (n_group and topk_group
// of DeepSeek-V3, arXiv:2412.19437, section 2.1.2) M of G equal groups of g = E/G experts are drawn first, and the k
// experts among their M·g. Of those the part has s, depending on which groups were drawn:
//     P = 1 − Σ_s P(s) · C(M·g − s, k) / C(M·g, k)
// Real routers take the groups with the best scores; which those are is as random here as which experts.
#pragma once

#include <cstdint>

namespace shardscope {

struct TokenRouting {
    std::int64_t experts = 1, per_token = 1;        // E, k
    std::int64_t groups = 1, groups_per_token = 1;  // G, M; 1 and 1: no groups
    double load = 1;                                // ExpertsSpec::capacity_factor
    int copies = 1;  // ranks that hold a part of the same experts, each of which gets the token

    // The probability that a token goes to any expert of one of `parts` equal parts, `parts` dividing E: the mean of
    // all parts where they lie differently to the groups. `load` scales it, up to 1.
    double reach(std::int64_t parts) const;
    bool operator==(const TokenRouting&) const = default;
};

}  // namespace shardscope
