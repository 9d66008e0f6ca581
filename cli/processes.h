// The processes that run a command's ranks together, of which this is one: its side of them.
//
// All of them execute the same command. Rank 0 writes the report and says what went wrong, the others
// write nothing.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "backends/communicator.h"
#include "backends/process/message_link.h"
#include "cli/environment.h"
#include "core/units.h"

namespace shardscope {

// The rule of the Error that ends processes other than rank 0, which tells what happened.
inline constexpr std::string_view kToldByRank0 = "told-by-rank-0";

class Processes {
public:
    // Meets the others, once per process, and returns environment.processes; null when this process was
    // started alone. Throws Error "processes" or "module-missing" (run_failed).
    static Processes* meet(const Environment& environment);
    ~Processes();  // after a failure the others wait for rank 0 to end, lest their launcher ends it

    MessageLink& link() { return *link_; }
    bool is_root() const { return link_->rank() == Rank(0); }
    int per_host() const;  // the most processes on one host
    int hosts() const;  // 0 where they have different numbers of ranks, or not one after the other

    Bytes memory() const { return memory_; }  // of the host that has least

    // Collective calls. Each process does `work`; if it throws on any of them, this throws on all: on
    // rank 0 what went wrong, with the rank where they do not agree, elsewhere kToldByRank0.
    void agree(const std::function<void()>& work);
    bool all(bool mine);
    void largest(std::vector<double>& values);                 // of all processes, one by one
    std::vector<std::string> gather(const std::string& text);  // of every rank; 63 bytes at most

private:
    Processes(std::unique_ptr<MessageLink> link, Bytes own_memory);
    void together(const std::function<void()>& call);

    std::unique_ptr<MessageLink> link_;
    std::unique_ptr<Communicator> everybody_;
    Bytes memory_;
    bool failed_ = false;  // agree() threw
};

// The same where there may be none: then just does the work.
void agree(Processes* processes, const std::function<void()>& work);

}  // namespace shardscope
