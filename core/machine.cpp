#include "core/machine.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>

#include <sys/utsname.h>
#include <unistd.h>

namespace shardscope {
namespace {

std::string processor_name(const std::string& architecture) {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const std::size_t colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos)
            return line.substr(colon + 2);
    }
    return architecture;  // Arm's cpuinfo has numbers only
}

// Containers limit processor time, not the cores they show: cpu.max is "quota period" or "max …".
int cores() {
    int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    std::ifstream file("/sys/fs/cgroup/cpu.max");
    double quota = 0, period = 0;
    if (file >> quota >> period && quota > 0 && period > 0)
        cores = std::min(cores, std::max(1, static_cast<int>(std::ceil(quota / period))));
    return cores;
}

Bytes memory() {
    const std::int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    Bytes memory(pages > 0 && page > 0 ? pages * page : 0);
    std::ifstream file("/sys/fs/cgroup/memory.max");
    if (std::int64_t limit = 0; file >> limit && limit > 0)
        memory = memory.value > 0 ? std::min(memory, Bytes(limit)) : Bytes(limit);
    return memory;
}

}  // namespace

Machine describe_machine() {
    utsname system{};
    const bool known = uname(&system) == 0;
    Machine machine;
    machine.host = known ? system.nodename : "unknown";
    machine.processor = processor_name(known ? system.machine : "unknown");
    machine.cores = cores();
    machine.memory = memory();
    return machine;
}

}  // namespace shardscope
