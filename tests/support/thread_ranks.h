// Ranks as threads, for tests: runs one function per rank and keeps what each threw.
#pragma once

#include <optional>
#include <thread>
#include <vector>

#include "core/error.h"

namespace shardscope::test {

// Calls body(rank) on a thread of its own for every rank and waits for all. Element r of the result is
// the Error that rank r threw, if any.
template <class Body>
std::vector<std::optional<Error>> on_ranks(int ranks, Body body) {
    std::vector<std::optional<Error>> errors(static_cast<std::size_t>(ranks));
    {
        std::vector<std::jthread> threads;
        for (int r = 0; r < ranks; ++r)
            threads.emplace_back([&errors, &body, r] {
                try {
                    body(r);
                } catch (const Error& e) {
                    errors[static_cast<std::size_t>(r)] = e;
                }
            });
    }
    return errors;
}

}  // namespace shardscope::test
