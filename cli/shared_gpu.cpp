#include "cli/shared_gpu.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace shardscope {
namespace {

// The value behind the last `--option value` or `--option=value`; '_' and '-' mean the same.
std::string value_of(const std::vector<std::string>& words, const std::string& option) {
    std::string value;
    for (std::size_t i = 0; i < words.size(); ++i) {
        std::string name = words[i].substr(0, words[i].find('='));
        if (!name.starts_with("--")) continue;
        std::replace(name.begin(), name.end(), '_', '-');
        if (name != option) continue;
        if (name.size() < words[i].size())
            value = words[i].substr(name.size() + 1);
        else if (i + 1 < words.size())
            value = words[i + 1];
    }
    return value;
}

}  // namespace

int ranks_per_gpu_of(const std::vector<std::string>& words) {
    const std::string text = value_of(words, "--ranks-per-gpu");
    int number = 1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? std::max(number, 1) : 1;
}

bool asks_for_cuda(const std::vector<std::string>& words) {
    return value_of(words, "--backend") == "cuda";
}

std::vector<SharedGpuVariable> shared_gpu_variables(const std::vector<std::string>& words,
                                                    int rank) {
    if (ranks_per_gpu_of(words) <= 1) return {};
    return {{"NCCL_HOSTID", fmt::format("shardscope-rank{}", rank), true},
            // One transport, one algorithm, and small buffers: few turns per collective between
            // processes that take turns on the GPU.
            {"NCCL_NET", "Socket"},
            {"NCCL_NET_PLUGIN", "none"},
            {"NCCL_SOCKET_IFNAME", "lo"},
            {"NCCL_SOCKET_FAMILY", "AF_INET"},
            {"NCCL_IB_DISABLE", "1"},
            {"NCCL_P2P_DISABLE", "1"},
            {"NCCL_SHM_DISABLE", "1"},
            {"NCCL_NVLS_ENABLE", "0"},
            {"NCCL_MNNVL_ENABLE", "0"},
            {"NCCL_ALGO", "Ring"},
            {"NCCL_PROTO", "Simple"},
            {"NCCL_MIN_CTAS", "1"},
            {"NCCL_MAX_CTAS", "2"},
            {"NCCL_BUFFSIZE", "1048576"},
            {"NCCL_RAS_ENABLE", "0"}};
}

}  // namespace shardscope
