#include "cli/cluster_source.h"

#include <fmt/format.h>

#include "core/cluster/cluster_io.h"

namespace shardscope {

Cluster catalogue_cluster(const std::string& name) {
    return read_cluster(YamlValue::parse(name, name), "", {});
}

Cluster this_machine_cluster(int ranks, int threads, const ParseOptions& options) {
    const std::string text =
        fmt::format("{{this_machine: {{ranks: {}, threads: {}}}}}", ranks, threads);
    return read_cluster(YamlValue::parse(text, "--ranks"), "", options);
}

}  // namespace shardscope
