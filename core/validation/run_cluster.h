// The machine of a measured run: a GPU of the catalogue with what the row says of memory and links.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/cluster/cluster.h"
#include "core/validation/measured_run.h"

namespace shardscope {

// What the row left open, and what was taken for it; in column "assumptions" what was taken from there, in words.
struct Assumption {
    std::string column, value;
    bool operator==(const Assumption&) const = default;
};
inline constexpr const char* kFromNotes = "assumptions";

// Of the catalogue's clusters of that GPU ("A100": a100-40gb, a100-80gb) the one whose memory, then whose
// bandwidth inside a node is nearest; the usual one where the row does not say, before any other. `network_note` may
// name the network ("Omni-Path"), `assumptions` a "500 W power limit" and "HBM2e (2.4 TB/s)".
// Twice the catalogue's bandwidth inside a node is taken as that of both directions. Adds to `assumed` that, the entry
// where another figure than the name decided, and what it took from the catalogue because the row is silent. Throws
// Error "gpu" for a GPU that the catalogue does not have, "missing-value", "range" for a memory that no such GPU has, and
// "nodes" where GPUs do not fill the nodes.
Cluster cluster_of(const MeasuredRun& run, std::vector<Assumption>& assumed);

// An MI250X is two devices, which are what a cluster has and what ranks run on. Rows that count cards, which their memory
// or nodes of four tell, are made to count devices; `assumed` says so. Others stay.
void count_devices(MeasuredRun& run, std::vector<Assumption>& assumed);

// Throws Error "range" where the row's measured memory is more than its GPU has.
void check_measured_memory(const MeasuredRun& run, const Cluster& cluster);

// The value of a column that nothing can stand for; throws Error "missing-value" where it is empty.
std::int64_t require(const std::optional<std::int64_t>& value, const char* column);

}  // namespace shardscope
