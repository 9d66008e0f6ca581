#include "core/validation/validation_constants_io.h"

#include <vector>

#include "core/cluster/description_io.h"
#include "core/yaml_reader.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

// One of the keys of what the maps at `value` have for each name, and where it goes.
template <class Key>
struct Fractions {
    std::string_view key;
    std::map<Key, double>& into;
};

template <class Key>
void read_fractions(const YamlValue& value, const std::vector<std::string_view>& names,
                    const std::vector<Fractions<Key>>& all) {
    std::vector<std::string_view> keys;
    for (const Fractions<Key>& fractions : all) keys.push_back(fractions.key);
    const YamlMap map(value, names);
    for (std::size_t i = 0; i < names.size(); ++i) {
        const auto found = map.find(names[i]);
        if (!found) continue;
        const YamlMap own(*found, keys);
        for (const auto& [key, into] : all) {
            double fraction = 0;
            if (own.read(key, fraction, kFraction)) into[static_cast<Key>(i)] = fraction;
        }
    }
}

}  // namespace

void apply_constants(const ValidationConstants& constants, Cluster& cluster) {
    const auto efficiency = constants.training_efficiency.find(cluster.device.architecture);
    if (efficiency != constants.training_efficiency.end())
        cluster.device.training_efficiency = efficiency->second;
    const auto memory = constants.memory_efficiency.find(cluster.device.architecture);
    if (memory != constants.memory_efficiency.end())
        cluster.device.memory_efficiency = memory->second;
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
        read_fractions<Architecture>(*found, {kArchitectures.begin(), kArchitectures.end()},
                                     {{"training_efficiency", constants.training_efficiency},
                                      {"memory_efficiency", constants.memory_efficiency}});
    if (const auto found = map.find("links")) {
        std::vector<std::string_view> names;
        for (const LinkTypeFacts& facts : link_types()) names.push_back(facts.name);
        read_fractions<LinkType>(*found, names, {{"efficiency", constants.link_efficiency}});
    }
    if (const auto found = map.find("profiles")) read_profiles(*found, constants.profiles);
    return constants;
}

ValidationConstants load_constants(const std::string& path) {
    return parse_constants(read_text_file(path, "YAML"), path);
}

}  // namespace shardscope
