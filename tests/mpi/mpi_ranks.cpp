// Under mpirun: every strategy of scenarios_for() on as many processes as there are, over MPI, against
// the same on threads of this process. Values, losses and norms must have the same bits.
//
//   mpirun -n N mpi_ranks MODULE_FOLDER         exit code 0 when all agree
//   mpirun -n N mpi_ranks MODULE_FOLDER fail    rank N−1 fails at step 2; rank 0 prints the cause and
//                                               exits with 1

#include <cstdlib>
#include <iostream>

#include "backends/cpu/process_runner.h"
#include "backends/process/module.h"
#include "tests/support/rank_values.h"
#include "tests/support/tiny.h"

namespace {

using namespace shardscope;

int number(const char* name) {
    const char* text = std::getenv(name);
    if (text == nullptr) {
        std::cerr << name << " is not set: start this with Open MPI's mpirun\n";
        std::exit(2);
    }
    return std::atoi(text);
}

// Prints what differs; the number of differences.
int differences(const Scenario& scenario, const test::Run& mine, const test::Run& threads,
                int rank) {
    int count = 0;
    const auto expect = [&](bool equal, const char* what) {
        if (equal) return;
        ++count;
        std::cerr << "rank " << rank << ", " << scenario.strategies[0].name << ": " << what
                  << " differ\n";
    };
    expect(mine.values.at(rank) == threads.values.at(rank), "values");
    expect(mine.trace.losses == threads.trace.losses, "losses");
    expect(mine.trace.gradient_norms == threads.trace.gradient_norms, "norms");
    expect(mine.trace.ranks.size() == threads.trace.ranks.size(), "numbers of ranks");
    for (std::size_t r = 0; r < mine.trace.ranks.size() && r < threads.trace.ranks.size(); ++r)
        expect(mine.trace.ranks[r].memory.categories == threads.trace.ranks[r].memory.categories,
               "bytes");
    return count;
}

int compare_all(MessageLink& link) {
    int count = 0, strategies = 0;
    for (const Scenario& scenario : test::scenarios_for(link.size())) {
        const test::Run mine = test::run_and_read(scenario, [&](CpuRunnerOptions options) {
            return std::make_unique<ProcessRunner>(link, std::move(options));
        });
        count += differences(scenario, mine, test::run_threads(scenario), link.rank().value);
        ++strategies;
    }
    if (link.rank() == Rank(0))
        std::cout << link.size() << " processes over " << link.name() << ": " << strategies
                  << " strategies, " << count << " differences on rank 0\n";
    return count == 0 ? 0 : 1;
}

int fail_at_step_2(MessageLink& link) {
    const Scenario scenario = test::scenarios_for(link.size()).front();
    CpuRunnerOptions options;
    options.inspect = [&](int rank, std::int64_t step, const RankState&) {
        if (rank + 1 == link.size() && step == 1) throw std::runtime_error("no more");
    };
    try {
        ProcessRunner(link, options).run(scenario, test::lower_tiny(scenario), {});
    } catch (const Error& error) {
        if (link.rank() == Rank(0)) std::cout << error.what() << std::endl;
        link.leave();
        return 1;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    try {
        const auto link =
            load_mpi_link(argv[1], number("OMPI_COMM_WORLD_RANK"), number("OMPI_COMM_WORLD_SIZE"));
        return argc > 2 ? fail_at_step_2(*link) : compare_all(*link);
    } catch (const Error& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
