// Predictions beside measurements, run by run: what `shardscope validate` shows.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/report/evaluate.h"
#include "core/validation/error_statistics.h"
#include "core/validation/measured_run.h"
#include "core/validation/run_cluster.h"

namespace shardscope {

constexpr int kValidationSchemaVersion = 1;

// What was predicted for a row. Where `skipped` is set, nothing was.
struct Prediction {
    std::vector<Assumption> assumed;
    std::optional<Error> skipped;
    std::string cluster, layout;  // the catalogue's name; Candidate::report's
    std::string precision;        // of the training, as scenarios have it
    bool fits = false;
    StepTime time;
    // In the terms of the row's memory_kind, or as `allocated` where it has none. Where it cannot be
    // predicted, why not.
    std::optional<Bytes> peak;
    std::optional<Error> no_peak;
};

struct ValidatedRun {
    MeasuredRun run;
    Prediction prediction;

    bool has_time() const;    // predicted and measured
    bool has_memory() const;  // predicted and measured
    // The row's, or what stands for it where there is a measurement: "allocated". Empty where nothing was measured.
    std::string memory_kind() const;
};

struct Validation {
    std::string file;
    std::vector<std::string> columns_not_read;  // of the file
    Context context;
    std::vector<ValidatedRun> runs;  // in the file's order

    std::size_t skipped() const;
};

// What a row's `memory_kind` means, of the rank that has most:
//   allocated  the peak of allocated tensors; our own profile's is its arena
//   reserved   what the product's allocator holds of the device
//   process    that, and context, libraries and communicators: what nvidia-smi shows
// Throws Error "memory-kind" for other words.
Bytes predicted_peak(const std::string& memory_kind, const Plan& plan);

// By which rows are summed up together: all with a measured time, by family; all with a measured memory, by
// memory_kind and family. Groups are in the order of their first row; the last group of each is all of them.
struct ErrorGroup {
    std::string kind;    // memory_kind; empty for times, and for the memory of all kinds
    std::string family;  // empty: all of them
    ErrorStatistics errors;
};
std::vector<ErrorGroup> time_errors(const Validation& validation);
std::vector<ErrorGroup> memory_errors(const Validation& validation);
// Of all kinds together, by family; the last one is all.
std::vector<ErrorGroup> memory_errors_by_family(const Validation& validation);

// Ids of the predicted rows by what is said of them: of those whose run was made, and of those that ran out of memory, of
// which `fits` is the error that costs most.
struct Verdicts {
    std::vector<std::string> fits, does_not_fit;
};
Verdicts verdicts_of_made(const Validation& validation);
Verdicts verdicts_of_out_of_memory(const Validation& validation);

// Why rows have no time, or no memory, beside their measurement; in the order of their first row.
struct SkipGroup {
    std::string reason;  // reason_of()
    std::vector<std::string> ids;
};
std::vector<SkipGroup> skipped_rows(const Validation& validation);
std::vector<SkipGroup> skipped_memory(const Validation& validation);

std::string reason_of(const Error& error);  // "rule: message; fix", as errors are printed

}  // namespace shardscope
