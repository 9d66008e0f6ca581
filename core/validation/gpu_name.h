// GPUs as people write them: "NVIDIA A100-SXM4-80GB", "H100 PCIe", "RTX4090 (24 GB)", "8xH800".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

class GpuName {
public:
    explicit GpuName(std::string_view text);

    // How many words of this name an entry of the catalogue does not have, parts alone (form, memory); empty where
    // this is the name of another GPU. "H100 PCIe" is h100-pcie by both words, h100-sxm by one.
    std::optional<int> words_apart(const GpuName& entry) const;

    // The letters that each word begins with, "mi" of "MI300X"; empty where it begins with a digit.
    std::vector<std::string> series() const;

    bool is_board() const;  // for a PCIe slot
    bool is_die() const;    // "MI250X GCD": one of a card's two

private:
    std::vector<std::string> words_;  // in lower case
};

}  // namespace shardscope
