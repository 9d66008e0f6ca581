// How a training run is spread over ranks: one plain struct of orthogonal numbers (DESIGN.md).
//
// Presets (`ddp`, `zero-1` …) are only names for values of it; hybrids are the normal case.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/strategy/runtime_profile.h"
#include "core/units.h"

namespace shardscope {

// When gradients are reduced across data-parallel ranks.
enum class ReduceAt {
    by_stage,  // what the ZeRO stage implies: stages 0 and 1 at the boundary, 2 and 3 every micro-batch
    boundary,     // once per step, after the last micro-batch (refused with zero ≥ 2)
    micro_batch,  // after every micro-batch
};

// In which order a pipeline stage works on its micro-batches.
enum class Schedule {
    gpipe,        // all forwards, then all backwards (Huang et al. 2019)
    one_f_one_b,  // one forward, one backward after the warm-up (PipeDream-Flush, Narayanan 2021);
                  // interleaved where virtual_stages > 1
    zero_bubble,  // ZB-H1 (Qi et al. 2024): 1F1B whose weight gradients fill the bubbles
    zero_bubble_v,  // ZB-V (Qi et al. 2024): two chunks per stage, down the stages and up again, so that
                    // the first stage has the model's first and last layers
};

// How layers are divided over pipeline stages.
struct Partition {
    enum class Kind {
        blocks,   // transformer blocks evenly, what surrounds them goes along; layer lists: uniform
        uniform,  // every layer counts one
        parameters,  // every layer counts its parameters
        pattern,     // layers whose name matches `pattern` (ECMAScript, anywhere) count one
        counts,      // `counts`: layers of each chunk, in model order
    } kind = Kind::blocks;
    std::string pattern;
    std::vector<std::int64_t> counts;
    bool operator==(const Partition&) const = default;
};

// Which activations the backward pass computes again instead of keeping.
struct Recompute {
    enum class Kind {
        none,
        selective,  // the core of attention: its statistics (or probabilities) are not kept
        full,  // of every `every` blocks in a row `blocks` keep only their input, spread evenly
    } kind = Kind::none;
    int every = 1;
    int blocks = 1;
    // Of a model's blocks, counted from 0; of kind full.
    bool has(std::int64_t block) const { return block * blocks % every < blocks; }
    bool operator==(const Recompute&) const = default;
};

enum class AttentionKind : std::uint8_t {
    flash,    // never stores the score matrix (Dao et al. 2022); statistics: log-sum-exp per query
    unfused,  // stores the probabilities, [samples, heads, seq, seq]
};

// How attention meets the keys and values of a context-parallel group's other ranks.
enum class ContextKind : std::uint8_t {
    ring,  // they go round, a rank's at a time, beside the attention to those before (Liu et al. 2023)
    all_gather,  // every rank gathers all of them for the layer (Llama 3, section 3.3.2)
    ulysses,     // all-to-all: a rank has all tokens of 1/cp of the heads (Jacobs et al. 2023)
};

// What tensor parallelism's collectives go on beside.
enum class TensorOverlap : std::uint8_t {
    none,
    // In the backward pass: the gather of a layer's saved rows beside its input gradient, and the sum of that
    // beside its weight gradient (Megatron's LinearWithGradAccumulationAndAsyncCommunication).
    gradients,
    // Besides, with sequence parallelism: multiplies in tp pieces, each as soon as its rows have come, or while
    // the piece before is on its way (Transformer Engine's --tp-comm-overlap, PyTorch's async TP).
    pieces,
};

// How tokens come to the ranks of their experts and back.
enum class Dispatcher : std::uint8_t {
    all_to_all,  // each to each of its experts, by NCCL's all-to-all (Megatron's alltoall)
    all_gather,  // all to all ranks, which take what is theirs; outputs are reduce-scattered (Megatron's allgather)
    // Each once to every rank with an expert of it, and once to every other node, where it is passed on (DeepEP,
    // Megatron's flex).
    deepep,
};

// As what they travel there. Back they always are as they are stored.
enum class DispatchPrecision : std::uint8_t {
    stored,
    fp8,  // one byte per element, and a scale in fp32 per kDispatchBlock of them (DeepSeek-V3, section 3.3.3)
};
constexpr std::int64_t kDispatchBlock = 128;

// Where something lies that would else be on the device.
enum class OffloadTo : std::uint8_t { none, cpu, nvme };

// ZeRO-Offload and ZeRO-Infinity (Ren et al. 2021, Rajbhandari et al. 2021). Simulated only.
struct Offload {
    OffloadTo optimizer = OffloadTo::none;   // states, master weights and gradients; the host steps
    OffloadTo parameters = OffloadTo::none;  // zero 3: shards, fetched before they are gathered
    OffloadTo activations = OffloadTo::none;  // recompute: full: what is kept of recomputed blocks
    bool any() const { return *this != Offload{}; }
    // Whether anything lies on NVMe.
    bool on_nvme() const {
        return optimizer == OffloadTo::nvme || parameters == OffloadTo::nvme ||
               activations == OffloadTo::nvme;
    }
    bool operator==(const Offload&) const = default;
};

struct Strategy {
    std::string name;  // unique within a scenario
    int tp = 1;        // tensor-parallel degree
    int cp = 1;        // context-parallel degree: ranks that divide each sample's tokens
    std::optional<ContextKind> cp_kind;  // empty: what the profile does (context_kind)
    int pp = 1;                          // pipeline stages
    int ep = 1;                          // expert-parallel degree: so many ranks share the experts
    // Expert-tensor-parallel degree: ranks that divide each expert, a divisor of tp; empty: tp. Where it is less
    // than tp, tensor-parallel ranks are among those that share the experts (Megatron-Core's parallel folding).
    std::optional<int> etp;
    // Of experts that several ranks share.
    Dispatcher dispatcher = Dispatcher::all_to_all;
    DispatchPrecision dispatch_precision = DispatchPrecision::stored;
    // Shared experts are computed while tokens are on their way. Megatron's --moe-shared-expert-overlap.
    bool overlap_shared_experts = false;
    std::optional<int> dp;     // data-parallel degree; empty: world size / (tp · cp · pp)
    std::optional<int> ranks;  // ranks this strategy uses; empty: all of the cluster's
    int zero = 0;  // ZeRO stage 0 … 3 (1 optimizer states, 2 + gradients, 3 + parameters)
    // Ranks that ZeRO shards over: among so many neighbours of those that hold the same parameters; between
    // such groups gradients are all-reduced (FSDP's HSDP, MiCS). 0: all of them; kWholeNode: those of a node.
    int shard_group = 0;
    static constexpr int kWholeNode = -1;
    // ZeRO++ (Wang et al. 2023), zero 3, simulated only: parameters are gathered as int8 (qwZ); so many
    // neighbours keep the parameters of the forward pass among them and gather them for the backward pass, 0:
    // nobody does (hpZ); gradients are reduced as int4, within nodes and then between them (qgZ).
    bool quantized_weights = false;
    int secondary_shard = 0;
    bool quantized_gradients = false;
    std::optional<std::int64_t>
        micro_batch;  // samples per rank and micro-batch; empty: training.micro_batch
    // Gradients are reduced in buckets of at least this size; empty: the profile's (bucket_size). Zero 3 reduces
    // and gathers layer by layer.
    std::optional<Bytes> bucket;
    int prefetch = 1;  // zero 3: layers gathered ahead of the one that computes
    ReduceAt reduce_at = ReduceAt::by_stage;
    // Gradients are reduced beside the backward pass; empty: as the profile does. Megatron's
    // --overlap-grad-reduce.
    std::optional<bool> overlap_reduce;
    // zero 1 and 2: updated parameters are gathered beside the next step's first forward pass, not at the end
    // of the step. Megatron's --overlap-param-gather.
    bool overlap_gather = false;
    bool sequence_parallel =
        false;  // tp > 1: norms and residuals on 1/tp of the rows (Korthikanti 2022)
    std::optional<TensorOverlap> tp_overlap;  // empty: as the profile does (tensor_overlap)
    Schedule schedule = Schedule::one_f_one_b;
    int virtual_stages = 1;  // model chunks per pipeline stage; > 1 with schedule 1f1b: interleaved
    Partition partition;
    Recompute recompute;
    AttentionKind attention = AttentionKind::flash;
    Offload offload;
    // Of products: PyTorch's caching allocator has expandable segments; empty: as the product is started.
    std::optional<bool> expandable_segments;
    RuntimeProfile profile = RuntimeProfile::shardscope;
    std::string place;  // "scenario.yaml:12:5" for messages, empty without a file; not a value

    // Model chunks of a stage. ZB-V has two of its own.
    int chunks_per_stage() const {
        return pp > 1 && schedule == Schedule::zero_bubble_v ? 2 : virtual_stages;
    }
    bool reduces_every_micro_batch() const {
        return reduce_at == ReduceAt::micro_batch || (reduce_at == ReduceAt::by_stage && zero >= 2);
    }
};

// Takes on the profile. shardscope's has no segments to be expandable.
void set_profile(Strategy& strategy, RuntimeProfile profile);

// The strategy's buckets: its own word, or the profile's default_bucket.
Bytes bucket_size(const Strategy& strategy);

// What the strategy's context parallelism is: its own word, or the profile's. Megatron passes keys and
// values round (--cp-comm-type p2p), FSDP's stack, torchtitan, gathers them, DeepSpeed has Ulysses.
ContextKind context_kind(const Strategy& strategy);

// The strategy's overlap of tensor-parallel collectives: its own word, or the profile's. Megatron has
// `gradients`, the others none.
TensorOverlap tensor_overlap(const Strategy& strategy);

// Of the values: `place` does not count.
bool operator==(const Strategy& a, const Strategy& b);

// "dp4 zero3", "tp2 sp pp4 dp8 zero1 1f1b v2, recompute full" – the layout column of reports.
std::string layout_of(const Strategy& strategy, int dp);

// The words that scenarios use: "1f1b", "zb-h1", …
std::string_view schedule_name(Schedule schedule);
std::string_view name_of(ContextKind kind);  // "all-gather"
std::string_view name_of(TensorOverlap overlap);
std::string_view name_of(OffloadTo to);                 // "cpu"
std::string_view name_of(Dispatcher dispatcher);        // "alltoall"
std::string_view name_of(DispatchPrecision precision);  // "fp8"

// ", deepep dispatch in fp8, overlapped shared experts"; empty: all of it is as usual.
std::string dispatch_text(const Strategy& strategy);

// " qwz hpz8 qgz", in ZeRO++'s words; empty: nothing of it.
std::string zero_plus_plus_text(const Strategy& strategy);

// "offload optimizer to nvme, parameters to cpu"; empty: nothing is offloaded.
std::string offload_text(const Offload& offload);
// "none", "selective", "full", "every 2", "3 of 4".
std::string recompute_text(const Recompute& recompute);

}  // namespace shardscope
