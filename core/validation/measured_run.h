// Training runs that somebody measured, one row each of a CSV file (docs/validate.md has the columns).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace shardscope {

// What a row says, in the words and units of its columns. What it does not say is empty.
struct MeasuredRun {
    int line = 0;  // of the file
    // Why the row cannot be used: its first cell that is malformed or out of range, "type" or "range" with file:line,
    // the column and what would work. That cell is empty here.
    std::optional<Error> unreadable;
    std::string id, family, source;

    std::string gpu;
    std::optional<double> gpu_memory_gb;
    std::optional<std::int64_t> gpus_per_node, gpus;
    std::optional<double> intra_node_GBps;           // per GPU and direction
    std::optional<double> inter_node_Gbps_per_node;  // of all ports of a node, one direction
    std::string network_note;

    std::string model, mlp;
    std::optional<std::int64_t> layers, hidden, ffn, heads, kv_heads, head_dim, vocab, seq;
    std::optional<bool> tied_embeddings;
    std::optional<std::int64_t> experts, experts_per_token, expert_ffn;

    std::string framework, precision, grad_dtype;
    std::optional<std::int64_t> dp, tp, pp, virtual_stages, cp, ep, etp;
    std::optional<bool> sequence_parallel;
    std::optional<std::int64_t> zero_stage;
    std::string schedule, recompute, recompute_note, attention;
    std::optional<std::int64_t> micro_batch, global_batch;  // samples

    std::optional<double> step_time_s, tokens_per_s_per_gpu, peak_memory_gib;
    std::string memory_kind;
    bool out_of_memory = false;  // the run ended so: it has none of the three measurements
    std::string assumptions;     // what else is known of the run, in words

    // step_time_s, or what tokens_per_s_per_gpu makes of it; empty: not measured.
    std::optional<double> measured_step_time() const;
    // How far tokens_per_s_per_gpu is from what step_time_s makes of it, as a fraction of that; empty: not both are
    // measured.
    std::optional<double> throughput_deviation() const;
};

struct MeasuredRuns {
    std::vector<MeasuredRun> rows;              // in the file's order
    std::vector<std::string> columns_not_read;  // those without a meaning, in the file's order
};

// What a file's text says; columns may be in any order. A cell that cannot be read concerns its row alone, unless it is
// the id. Throws Error with file:line, the column and what would work where the file is not one of runs: "csv",
// "encoding", "missing-column", "missing-value" and "duplicate-id" of ids, "type" of an id, and "unknown-column" for a
// column that seems to be a misspelt one.
MeasuredRuns parse_measured_runs(std::string_view text, const std::string& file);

// The same of a file. Throws Error "file" where it cannot be read.
MeasuredRuns load_measured_runs(const std::string& path);

// The columns that a file may have, and those that it must have.
std::vector<std::string_view> measured_run_columns();
std::vector<std::string_view> required_run_columns();

}  // namespace shardscope
