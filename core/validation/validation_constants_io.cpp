#include "core/validation/validation_constants_io.h"

#include <vector>

#include "core/cluster/description_io.h"
#include "core/yaml_reader.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

// The one key of the map at `value`, for each name that the map around it has.
template <class Key>
std::map<Key, double> read_fractions(const YamlValue& value,
                                     const std::vector<std::string_view>& names,
                                     std::string_view key) {
    const YamlMap map(value, names);
    std::map<Key, double> fractions;
    for (std::size_t i = 0; i < names.size(); ++i)
        if (const auto found = map.find(names[i])) {
            const YamlMap own(*found, {key});
            double fraction = 0;
            if (own.read(key, fraction, kFraction)) fractions[static_cast<Key>(i)] = fraction;
        }
    return fractions;
}

}  // namespace

void apply_constants(const ValidationConstants& constants, Cluster& cluster) {
    const auto efficiency = constants.training_efficiency.find(cluster.device.architecture);
    if (efficiency != constants.training_efficiency.end())
        cluster.device.training_efficiency = efficiency->second;
    for (Link* link : {&cluster.intra_node, &cluster.inter_node}) {
        const auto found = constants.link_efficiency.find(link->type);
        if (found != constants.link_efficiency.end()) link->efficiency = found->second;
    }
    for (const auto& [profile, own] : constants.profiles) cluster.device.profiles[profile] = own;
}

ValidationConstants parse_constants(const std::string& text, const std::string& file) {
    const YamlMap map(YamlValue::parse(text, file), {"architectures", "links", "profiles"});
    ValidationConstants constants;
    if (const auto found = map.find("architectures"))
        constants.training_efficiency = read_fractions<Architecture>(
            *found, {kArchitectures.begin(), kArchitectures.end()}, "training_efficiency");
    if (const auto found = map.find("links")) {
        std::vector<std::string_view> names;
        for (const LinkTypeFacts& facts : link_types()) names.push_back(facts.name);
        constants.link_efficiency = read_fractions<LinkType>(*found, names, "efficiency");
    }
    if (const auto found = map.find("profiles")) constants.profiles = read_profiles(*found);
    return constants;
}

ValidationConstants load_constants(const std::string& path) {
    return parse_constants(read_text_file(path, "YAML"), path);
}

}  // namespace shardscope
