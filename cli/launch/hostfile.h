// Hostfiles as DeepSpeed reads them: one host per line, `worker-1 slots=8`; blank lines and lines
// that begin with '#' are left out (DeepSpeed, launcher/runner.py).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

struct Host {
    std::string name;        // empty: whoever it is, its own `launch` knows
    std::vector<int> slots;  // the numbers of the slots to use, ascending; a rank each
    std::string place;       // "hosts:3" in a hostfile; empty elsewhere

    int ranks() const { return static_cast<int>(slots.size()); }
};

// The slots 0, 1, … of a host that has `count`.
std::vector<int> first_slots(int count);

// The hosts in the order of the file. Throws Error "hostfile" with file and line.
std::vector<Host> parse_hostfile(std::string_view text, const std::string& file);

// What `--include` and `--exclude` name, "host@host:slot,slot": of a host without slots, all. The
// order of the result is the hostfile's. `file` is for messages. Throws Error "usage".
std::vector<Host> include_hosts(const std::vector<Host>& hosts, const std::string& filter,
                                const std::string& file);
std::vector<Host> exclude_hosts(const std::vector<Host>& hosts, const std::string& filter,
                                const std::string& file);

}  // namespace shardscope
