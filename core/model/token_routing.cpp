#include "core/model/token_routing.h"

#include <algorithm>
#include <map>
#include <vector>

namespace shardscope {
namespace {

// C(n − taken, k) / C(n, k): that k of n miss `taken` of them.
double misses(std::int64_t n, std::int64_t taken, std::int64_t k) {
    double p = 1;
    for (std::int64_t i = 0; i < k; ++i)
        p *= static_cast<double>(std::max<std::int64_t>(0, n - taken - i)) /
             static_cast<double>(n - i);
    return p;
}

// How likely it is that the drawn groups have s experts in [first, last), by s.
std::map<std::int64_t, double> drawn_experts(const TokenRouting& r, std::int64_t first,
                                             std::int64_t last) {
    const std::int64_t size = r.experts / r.groups;
    // By groups drawn so far and experts of theirs; each group is drawn with the share of draws that are left.
    std::vector<std::map<std::int64_t, double>> odds(static_cast<std::size_t>(r.groups_per_token) +
                                                     1);
    odds[0][0] = 1;
    for (std::int64_t group = 0; group < r.groups; ++group) {
        const std::int64_t begin = std::max(first, group * size);
        const std::int64_t end = std::min(last, (group + 1) * size);
        const std::int64_t inside = std::max<std::int64_t>(0, end - begin);
        for (std::int64_t drawn = std::min(group, r.groups_per_token - 1); drawn >= 0; --drawn) {
            auto& here = odds[static_cast<std::size_t>(drawn)];
            auto& next = odds[static_cast<std::size_t>(drawn) + 1];
            const double p = static_cast<double>(r.groups_per_token - drawn) /
                             static_cast<double>(r.groups - group);
            for (auto& [experts, odd] : here) {
                next[experts + inside] += p * odd;
                odd *= 1 - p;
            }
        }
    }
    return odds.back();
}

double reach_of(const TokenRouting& r, std::int64_t first, std::int64_t last) {
    const std::int64_t pool = r.experts / r.groups * r.groups_per_token;
    double missed = 0;
    for (const auto& [experts, odd] : drawn_experts(r, first, last))
        missed += odd * misses(pool, experts, r.per_token);
    return 1 - missed;
}

}  // namespace

double TokenRouting::reach(std::int64_t parts) const {
    const std::int64_t part = experts / parts, group = experts / groups;
    const bool alike = part % group == 0 || group % part == 0;
    const std::int64_t different = alike ? 1 : parts;
    double sum = 0;
    for (std::int64_t i = 0; i < different; ++i) sum += reach_of(*this, i * part, (i + 1) * part);
    return std::min(1.0, load * sum / static_cast<double>(different));
}

}  // namespace shardscope
