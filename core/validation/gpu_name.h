// GPUs as people write them: "NVIDIA A100-SXM4-80GB", "H100 PCIe", "RTX4090 (24 GB)", "H800".
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

    // Of parts for export, which are read as the chips that they are: their links, in GB/s and one direction.
    std::optional<double> export_link() const { return export_link_; }

    bool is_board() const;  // for a PCIe slot

private:
    std::vector<std::string> words_;  // in lower case
    std::optional<double> export_link_;
};

}  // namespace shardscope
