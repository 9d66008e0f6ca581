// Everything a user chose: model, data, training, cluster, strategies. Plain values with defaults
// resolved; the parser (scenario_io.h) is the only producer from text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/cluster/cluster.h"
#include "core/dtype.h"
#include "core/model/model_spec.h"
#include "core/published.h"
#include "core/strategy/strategy.h"

namespace shardscope {

struct TextData {
    std::string path;
    bool operator==(const TextData&) const = default;
};  // bytes as tokens
struct TokenData {
    std::string path;
    bool operator==(const TokenData&) const = default;
};  // llm.c .bin: 256-int32 header, then uint16 tokens
struct IdxData {
    std::string images, labels;
    bool operator==(const IdxData&) const = default;
};  // MNIST idx files
// Counter-based random samples.
struct SyntheticData {
    std::int64_t samples = 0;  // different ones, used over and over; 0: as many as are asked for
    bool operator==(const SyntheticData&) const = default;
};
using DataSpec = std::variant<SyntheticData, TextData, TokenData, IdxData>;

// How weights are stepped; the last four as their papers have them:
//   adam_8bit  AdamW whose two moments are kept in 8 bits, with one fp32 scale per block (Dettmers et al.
//              2022, arXiv:2110.02861)
//   lion       the sign of a mean of gradients (Chen et al. 2023, arXiv:2302.06675)
//   adafactor  second moments of a matrix as one number per row and per column (Shazeer & Stern 2018,
//              arXiv:1804.04235)
//   muon       matrices of hidden layers by their orthogonalised momentum, all else by AdamW (Jordan et al.
//              2024; Liu et al. 2025, arXiv:2502.16982)
enum class OptimizerKind { adamw, adam, sgd, adam_8bit, lion, adafactor, muon };
inline constexpr std::array kOptimizerKinds = {
    OptimizerKind::adamw, OptimizerKind::adam,      OptimizerKind::sgd, OptimizerKind::adam_8bit,
    OptimizerKind::lion,  OptimizerKind::adafactor, OptimizerKind::muon};

// What scenarios call it: "adam-8bit".
constexpr std::string_view name_of(OptimizerKind kind) {
    constexpr std::string_view kNames[] = {"adamw", "adam",      "sgd", "adam-8bit",
                                           "lion",  "adafactor", "muon"};
    return kNames[static_cast<std::size_t>(kind)];
}

// Defaults are PyTorch's; Adam's weight decay is L2, that of all others but SGD decoupled; all parameters
// decay.
struct OptimizerSpec {
    OptimizerKind kind = OptimizerKind::adamw;
    double lr = 1e-3;
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    double weight_decay = 0.0;  // the parser's default is that of the kind
    double momentum = 0.0;      // sgd, muon

    // State tensors with an element per parameter. Beside them Adafactor keeps its rows and columns, and
    // the 8-bit states their scales; Muon's count is that of its matrices.
    int states() const {
        switch (kind) {
            case OptimizerKind::sgd:
                return momentum != 0.0 ? 1 : 0;
            case OptimizerKind::adafactor:
                return beta1 != 0.0 ? 1 : 0;
            case OptimizerKind::lion:
            case OptimizerKind::muon:
                return 1;
            case OptimizerKind::adamw:
            case OptimizerKind::adam:
            case OptimizerKind::adam_8bit:
                break;
        }
        return 2;
    }
    bool operator==(const OptimizerSpec&) const = default;
};

// What training.precision can be.
inline constexpr std::array kTrainingPrecisions = {
    MathType::bf16, MathType::fp32,        MathType::fp64,  MathType::fp16, MathType::tf32,
    MathType::fp8,  MathType::fp8_rowwise, MathType::mxfp8, MathType::nvfp4};

struct TrainingSpec {
    std::int64_t global_batch = 0;  // samples per optimizer step over all ranks
    std::int64_t micro_batch =
        0;  // samples per rank and micro-batch; 0: as large as global_batch/dp allows
    std::int64_t steps = 20;
    double tokens =
        0;  // of the whole training run, for what it costs; 0: `steps` steps are the run
    std::optional<Seconds> checkpoint_interval;  // empty: the best one (core/report/goodput.h)
    DType precision =
        DType::fp32;  // storage: fp32, fp64, or bf16 and fp16 with master weights in fp32
    // What the linear layers of transformer blocks multiply in; empty: as they are stored. Other than
    // that can be simulated, not run.
    std::optional<MathType> math;
    // Empty: as the strategy's profile has it (core/lowering/profile_rules.h), for ours same as precision.
    std::optional<DType> gradient_dtype;
    OptimizerSpec optimizer;
    double clip = 0.0;  // global-norm clipping threshold; 0: off
    std::uint64_t seed = 1;

    MathType arithmetic() const { return math.value_or(math_of(precision)); }
    // Stores and multiplies as `arithmetic` says.
    void set_precision(MathType arithmetic) {
        precision = storage_of(arithmetic);
        math.reset();
        if (math_of(precision) != arithmetic) math = arithmetic;
    }
    bool operator==(const TrainingSpec&) const = default;
};

struct Scenario {
    std::string name;
    std::string file;  // where it was read from; data paths in it are already resolved
    ModelSpec model;
    DataSpec data;
    TrainingSpec training;
    Cluster cluster;
    std::vector<Strategy> strategies;
    std::vector<PublishedFigure> published;  // of these strategies, to be shown beside ours

    bool operator==(const Scenario&) const = default;
};

}  // namespace shardscope
