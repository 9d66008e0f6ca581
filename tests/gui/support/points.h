// Points of a search that nobody has made.
#pragma once

#include <cstdint>
#include <vector>

#include "simulator/search.h"

namespace shardscope::gui::test {

// The same candidates over and over, with peaks below 128 GiB and throughputs of 500 to 3,000 tokens per second.
inline std::vector<SearchPoint> random_points(std::size_t count, std::uint64_t candidates,
                                              Bytes capacity) {
    std::vector<SearchPoint> points(count);
    std::uint64_t random = 1;
    for (std::size_t i = 0; i < count; ++i) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        points[i].candidate = i % candidates;
        points[i].peak = Bytes(static_cast<std::int64_t>(random >> 27));
        points[i].tokens_per_s_per_gpu =
            500.0 + static_cast<double>((random >> 7) % 2'500'000) / 1'000;
        points[i].fits = points[i].peak <= capacity;
    }
    return points;
}

}  // namespace shardscope::gui::test
