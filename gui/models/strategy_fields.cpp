#include "gui/models/strategy_fields.h"

#include <algorithm>

namespace shardscope::gui {
namespace {

using Kind = StrategyField::Kind;

constexpr int kMostRanks = 1'000'000;
constexpr int kMostBucket = 1 << 20;  // MiB: strategy_limits.h
constexpr int kMostSamples = 1'000'000;

QStringList profile_names() {
    QStringList names;
    for (const RuntimeProfile profile : kRuntimeProfiles)
        names << QString::fromUtf8(name_of(profile).data());
    return names;
}

// Choices of which the first is the profile's own.
template <class Value>
int index_of(const std::optional<Value>& value) {
    return value ? static_cast<int>(*value) + 1 : 0;
}

template <class Value>
std::optional<Value> value_at(int index) {
    return index > 0 ? std::optional(static_cast<Value>(index - 1)) : std::nullopt;
}

StrategyField offload_field(const char* name, const char* noun, const char* label, const char* hint,
                            int (*value)(const Strategy&), void (*set)(Strategy&, int)) {
    return {Kind::choice, name, noun, label, hint, value, set, {"no", "to the CPU", "to NVMe"}};
}

void add_degrees(std::vector<StrategyField>& fields) {
    fields.push_back({.kind = Kind::number,
                      .name = "tp",
                      .noun = "tensor parallel",
                      .label = "&Tensor parallel",
                      .hint = "Ranks that every layer is cut into",
                      .value = [](const Strategy& s) { return s.tp; },
                      .set = [](Strategy& s, int value) { s.tp = value; },
                      .least = 1,
                      .most = kMostRanks});
    fields.push_back({.kind = Kind::number,
                      .name = "pp",
                      .noun = "pipeline parallel",
                      .label = "&Pipeline parallel",
                      .hint = "Stages that the layers are divided over",
                      .value = [](const Strategy& s) { return s.pp; },
                      .set = [](Strategy& s, int value) { s.pp = value; },
                      .least = 1,
                      .most = kMostRanks});
    fields.push_back({Kind::choice,
                      "zero",
                      "ZeRO stage",
                      "&ZeRO stage",
                      "What the data-parallel ranks divide instead of each keeping all of it",
                      [](const Strategy& s) { return s.zero; },
                      [](Strategy& s, int value) { s.zero = value; },
                      {"0 – replicate all", "1 – shard optimizer states", "2 – and gradients",
                       "3 – and parameters"}});
}

void add_memory(std::vector<StrategyField>& fields) {
    fields.push_back(
        {.kind = Kind::number,
         .name = "micro_batch",
         .noun = "micro-batch",
         .label = "Micro-&batch",
         .hint = "Samples per rank and micro-batch; auto: the scenario's",
         .value = [](const Strategy& s) { return static_cast<int>(s.micro_batch.value_or(0)); },
         .set =
             [](Strategy& s, int value) {
                 s.micro_batch = value > 0 ? std::optional<std::int64_t>(value) : std::nullopt;
             },
         .most = kMostSamples,
         .words = {{0, "auto"}}});
    fields.push_back({Kind::choice,
                      "recompute",
                      "recomputation",
                      "&Recompute",
                      "Which activations the backward pass computes again",
                      [](const Strategy& s) { return static_cast<int>(s.recompute.kind); },
                      [](Strategy& s, int value) {
                          const auto kind = static_cast<Recompute::Kind>(value);
                          if (s.recompute.kind != kind) s.recompute = {kind, 1};
                      },
                      {"none", "selective", "full"}});
    fields.push_back(
        {.kind = Kind::number,
         .name = "blocks",
         .noun = "recomputed blocks",
         .label = "  blocks",
         .hint = "Full recomputation of so many blocks of every k in a row",
         .value = [](const Strategy& s) { return s.recompute.blocks; },
         .set =
             [](Strategy& s, int value) {
                 s.recompute.blocks = value;
                 s.recompute.every = std::max(s.recompute.every, value);
             },
         .least = 1,
         .most = 10'000,
         .applies = [](const Strategy& s) { return s.recompute.kind == Recompute::Kind::full; }});
    fields.push_back(
        {.kind = Kind::number,
         .name = "every",
         .noun = "blocks in a row",
         .label = "of every",
         .hint = "The k blocks in a row of which so many are recomputed in full",
         .value = [](const Strategy& s) { return s.recompute.every; },
         .set =
             [](Strategy& s, int value) {
                 s.recompute.every = value;
                 s.recompute.blocks = std::min(s.recompute.blocks, value);
             },
         .least = 1,
         .most = 10'000,
         .applies = [](const Strategy& s) { return s.recompute.kind == Recompute::Kind::full; },
         .beside = true});
}

void add_schedule(std::vector<StrategyField>& fields) {
    fields.push_back({Kind::choice,
                      "schedule",
                      "schedule",
                      "Sche&dule",
                      "In which order pipeline stages work on their micro-batches",
                      [](const Strategy& s) { return static_cast<int>(s.schedule); },
                      [](Strategy& s, int value) { s.schedule = static_cast<Schedule>(value); },
                      {"gpipe", "1f1b", "zb-h1", "zb-v"}});
    fields.push_back({.kind = Kind::number,
                      .name = "virtual_stages",
                      .noun = "virtual stages",
                      .label = "&Virtual stages",
                      .hint = "Chunks of layers per stage (interleaved 1F1B)",
                      .value = [](const Strategy& s) { return s.virtual_stages; },
                      .set = [](Strategy& s, int value) { s.virtual_stages = value; },
                      .least = 1,
                      .most = 1000});
    fields.push_back({Kind::flag,
                      "sequence_parallel",
                      "sequence parallel",
                      "Se&quence parallel",
                      "Norms and residuals on the rank's part of the rows",
                      [](const Strategy& s) { return int{s.sequence_parallel}; },
                      [](Strategy& s, int value) { s.sequence_parallel = value != 0; },
                      {"norms on 1/TP of the rows"}});
    fields.push_back(
        {Kind::choice,
         "attention",
         "attention",
         "&Attention",
         "unfused stores the score matrix",
         [](const Strategy& s) { return static_cast<int>(s.attention); },
         [](Strategy& s, int value) { s.attention = static_cast<AttentionKind>(value); },
         {"flash", "unfused"}});
}

void add_product(std::vector<StrategyField>& fields) {
    fields.push_back({Kind::choice, "profile", "profile", "Profile",
                      "Whose way of training is simulated; only shardscope's can be run",
                      [](const Strategy& s) { return static_cast<int>(s.profile); },
                      [](Strategy& s, int value) {
                          set_profile(s, kRuntimeProfiles[static_cast<std::size_t>(value)]);
                      },
                      profile_names()});
    fields.push_back(
        {.kind = Kind::number,
         .name = "bucket",
         .noun = "bucket",
         .label = "Bucket",
         .hint = "Gradients are reduced in buckets of at least this size (ZeRO 0 to 2)",
         .value =
             [](const Strategy& s) {
                 if (!s.bucket) return 0;
                 return static_cast<int>(std::max<std::int64_t>(1, s.bucket->value / kMiB));
             },
         .set =
             [](Strategy& s, int value) {
                 s.bucket = value > 0 ? std::optional(Bytes(value * kMiB)) : std::nullopt;
             },
         .most = kMostBucket,
         .unit = "MiB",
         .words = {{0, "auto"}}});
    fields.push_back({.kind = Kind::number,
                      .name = "prefetch",
                      .noun = "prefetch",
                      .label = "Prefetch",
                      .hint = "ZeRO 3: layers gathered ahead of the one that computes",
                      .value = [](const Strategy& s) { return s.prefetch; },
                      .set = [](Strategy& s, int value) { s.prefetch = value; },
                      .most = 1000});
    fields.push_back(
        {.kind = Kind::number,
         .name = "ranks",
         .noun = "ranks",
         .label = "Ranks",
         .hint = "How many of the cluster's",
         .value = [](const Strategy& s) { return s.ranks.value_or(0); },
         .set = [](Strategy& s,
                   int value) { s.ranks = value > 0 ? std::optional<int>(value) : std::nullopt; },
         .most = kMostRanks,
         .words = {{0, "all"}}});
}

void add_context_and_experts(std::vector<StrategyField>& fields) {
    fields.push_back({.kind = Kind::number,
                      .name = "cp",
                      .noun = "context parallel",
                      .label = "Context parallel",
                      .hint = "Ranks that divide each sample's tokens",
                      .value = [](const Strategy& s) { return s.cp; },
                      .set = [](Strategy& s, int value) { s.cp = value; },
                      .least = 1,
                      .most = kMostRanks});
    fields.push_back({Kind::choice,
                      "cp_kind",
                      "kind of context parallel",
                      "  keys and values",
                      "How attention meets the other ranks' keys and values",
                      [](const Strategy& s) { return index_of(s.cp_kind); },
                      [](Strategy& s, int value) { s.cp_kind = value_at<ContextKind>(value); },
                      {"as the profile", "ring", "all-gather", "Ulysses"},
                      0,
                      0,
                      {},
                      {},
                      [](const Strategy& s) { return s.cp > 1; }});
    fields.push_back({.kind = Kind::number,
                      .name = "ep",
                      .noun = "expert parallel",
                      .label = "Expert parallel",
                      .hint = "Ranks that share a layer's experts",
                      .value = [](const Strategy& s) { return s.ep; },
                      .set = [](Strategy& s, int value) { s.ep = value; },
                      .least = 1,
                      .most = kMostRanks});
    fields.push_back(
        {.kind = Kind::number,
         .name = "etp",
         .noun = "expert tensor parallel",
         .label = "  of TP … each",
         .hint = "Expert tensor parallel: ranks that divide each expert",
         .value = [](const Strategy& s) { return s.etp.value_or(0); },
         .set = [](Strategy& s,
                   int value) { s.etp = value > 0 ? std::optional<int>(value) : std::nullopt; },
         .most = kMostRanks,
         .words = {{0, "all"}},
         .applies = [](const Strategy& s) { return s.tp > 1; }});
}

void add_dispatch(std::vector<StrategyField>& fields) {
    fields.push_back({Kind::choice,
                      "dispatcher",
                      "dispatcher",
                      "  tokens travel by",
                      "How tokens travel to the ranks of their experts and back",
                      [](const Strategy& s) { return static_cast<int>(s.dispatcher); },
                      [](Strategy& s, int value) { s.dispatcher = static_cast<Dispatcher>(value); },
                      {"all-to-all", "all-gather", "DeepEP"}});
    fields.push_back({Kind::flag,
                      "dispatch_precision",
                      "dispatch precision",
                      "",
                      "What tokens travel to experts in; back they are as stored",
                      [](const Strategy& s) { return static_cast<int>(s.dispatch_precision); },
                      [](Strategy& s, int value) {
                          s.dispatch_precision = static_cast<DispatchPrecision>(value);
                      },
                      {"there in fp8"}});
    fields.push_back({Kind::flag,
                      "overlap_shared_experts",
                      "overlapped shared experts",
                      "",
                      "Shared experts are computed while tokens travel",
                      [](const Strategy& s) { return int{s.overlap_shared_experts}; },
                      [](Strategy& s, int value) { s.overlap_shared_experts = value != 0; },
                      {"beside shared experts"}});
}

void add_sharding(std::vector<StrategyField>& fields) {
    fields.push_back(
        {.kind = Kind::number,
         .name = "shard_group",
         .noun = "group of shards",
         .label = "ZeRO shards over",
         .hint = "Neighbours that shards are divided over; between such groups they are copies "
                 "(HSDP, MiCS)",
         .value = [](const Strategy& s) { return s.shard_group; },
         .set = [](Strategy& s, int value) { s.shard_group = value; },
         .least = Strategy::kWholeNode,
         .most = kMostRanks,
         .words = {{Strategy::kWholeNode, "a node"}, {0, "all"}},
         .applies = [](const Strategy& s) { return s.zero > 0; }});
    fields.push_back({Kind::flag,
                      "quantized_weights",
                      "quantized gathers",
                      "ZeRO++",
                      "ZeRO 3: parameters are gathered as int8 (qwZ)",
                      [](const Strategy& s) { return int{s.quantized_weights}; },
                      [](Strategy& s, int value) { s.quantized_weights = value != 0; },
                      {"gathers in 8 bits"}});
    fields.push_back({Kind::flag,
                      "quantized_gradients",
                      "quantized reduction",
                      "",
                      "ZeRO 3: gradients are reduced as int4 (qgZ)",
                      [](const Strategy& s) { return int{s.quantized_gradients}; },
                      [](Strategy& s, int value) { s.quantized_gradients = value != 0; },
                      {"reduces in 4 bits"}});
    fields.push_back(
        {.kind = Kind::number,
         .name = "secondary_shard",
         .noun = "second copy",
         .label = "  second copy over",
         .hint = "ZeRO 3: so many neighbours keep the forward pass's parameters among them (hpZ)",
         .value = [](const Strategy& s) { return s.secondary_shard; },
         .set = [](Strategy& s, int value) { s.secondary_shard = value; },
         .least = Strategy::kWholeNode,
         .most = kMostRanks,
         .words = {{Strategy::kWholeNode, "a node"}, {0, "none"}}});
}

void add_overlap(std::vector<StrategyField>& fields) {
    fields.push_back({Kind::choice,
                      "overlap_reduce",
                      "overlapped reduction",
                      "Reduce gradients",
                      "Beside the backward pass, or after it",
                      [](const Strategy& s) { return index_of(s.overlap_reduce); },
                      [](Strategy& s, int value) { s.overlap_reduce = value_at<bool>(value); },
                      {"as the profile", "after the backward pass", "beside it"}});
    fields.push_back({Kind::flag,
                      "overlap_gather",
                      "overlapped gather",
                      "Gather parameters",
                      "ZeRO 1 and 2: beside the next step's first forward pass",
                      [](const Strategy& s) { return int{s.overlap_gather}; },
                      [](Strategy& s, int value) { s.overlap_gather = value != 0; },
                      {"beside the next step"}});
    fields.push_back({Kind::choice,
                      "tp_overlap",
                      "tensor-parallel overlap",
                      "TP collectives",
                      "What tensor parallelism's collectives go on beside",
                      [](const Strategy& s) { return index_of(s.tp_overlap); },
                      [](Strategy& s, int value) { s.tp_overlap = value_at<TensorOverlap>(value); },
                      {"as the profile", "beside nothing", "beside gradients", "in pieces"}});
}

void add_allocator(std::vector<StrategyField>& fields) {
    fields.push_back(
        {.kind = Kind::choice,
         .name = "expandable_segments",
         .noun = "segments",
         .label = "Allocator's segments",
         .hint = "Of products: PyTorch's expandable_segments",
         .value = [](const Strategy& s) { return index_of(s.expandable_segments); },
         .set = [](Strategy& s, int value) { s.expandable_segments = value_at<bool>(value); },
         .choices = {"as the profile", "fixed", "expandable"},
         .applies = [](const Strategy& s) { return s.profile != RuntimeProfile::shardscope; }});
}

void add_offload(std::vector<StrategyField>& fields) {
    fields.push_back(offload_field(
        "offload_optimizer", "offloaded optimizer", "Offload optimizer",
        "States, master weights and gradients",
        [](const Strategy& s) { return static_cast<int>(s.offload.optimizer); },
        [](Strategy& s, int value) { s.offload.optimizer = static_cast<OffloadTo>(value); }));
    fields.push_back(offload_field(
        "offload_parameters", "offloaded parameters", "  parameters", "ZeRO 3: the shards",
        [](const Strategy& s) { return static_cast<int>(s.offload.parameters); },
        [](Strategy& s, int value) { s.offload.parameters = static_cast<OffloadTo>(value); }));
    fields.push_back(offload_field(
        "offload_activations", "offloaded activations", "  activations",
        "What is kept of recomputed blocks",
        [](const Strategy& s) { return static_cast<int>(s.offload.activations); },
        [](Strategy& s, int value) { s.offload.activations = static_cast<OffloadTo>(value); }));
}

}  // namespace

std::vector<StrategyField> usual_fields() {
    std::vector<StrategyField> fields;
    add_degrees(fields);
    add_memory(fields);
    add_schedule(fields);
    add_product(fields);
    return fields;
}

std::vector<StrategyField> more_fields() {
    std::vector<StrategyField> fields;
    add_context_and_experts(fields);
    add_dispatch(fields);
    add_sharding(fields);
    add_overlap(fields);
    add_offload(fields);
    add_allocator(fields);
    return fields;
}

int fields_set(const std::vector<StrategyField>& fields, const Strategy& strategy) {
    const Strategy usual;
    return static_cast<int>(std::ranges::count_if(fields, [&](const StrategyField& field) {
        return field.value(strategy) != field.value(usual);
    }));
}

}  // namespace shardscope::gui
