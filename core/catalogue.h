// The clusters, models and ready scenarios that come with the program, embedded at build time from
// scenarios/clusters/*.yaml, scenarios/models/*.yaml, scenarios/*.yaml and scenarios/accuracy.csv, so that the binary works without its
// source tree. cmake/embed.cmake writes the implementation.
#pragma once

#include <span>
#include <string_view>

namespace shardscope {

struct CatalogueEntry {
    std::string_view name;  // the file's stem, which is how a scenario refers to it: "h100-sxm"
    std::string_view path;  // relative to the repository, for error messages:
                            // "scenarios/clusters/h100-sxm.yaml"
    std::string_view text;  // the file's content, unparsed
};

// Sorted by name. The views and the spans live as long as the program.
std::span<const CatalogueEntry> cluster_catalogue();
std::span<const CatalogueEntry> model_catalogue();
std::span<const CatalogueEntry> scenario_catalogue();
// One file: scenarios/accuracy.csv (core/report/basis.h).
std::span<const CatalogueEntry> accuracy_catalogue();

}  // namespace shardscope
