// Whatever a file holds, parsing ends with a scenario or with an Error that names place, rule and fix.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

const std::string kGood =
    "name: good\n"
    "model: {gpt: {layers: 2, hidden: 64, heads: 4, vocab: 256, seq: 16}}\n"
    "data: {text: a.txt}\n"
    "training: {global_batch: 8, micro_batch: 2, steps: 3, precision: fp32,\n"
    "           optimizer: {adamw: {lr: 3e-4, betas: [0.9, 0.95]}}, clip: 1.0, seed: 7}\n"
    "cluster: {gpu: h100-sxm, nodes: 1, gpus_per_node: 4}\n"
    "strategies:\n"
    "  - ddp\n"
    "  - {name: z, zero: 2, bucket: 25MiB, reduce_at: micro_batch}\n"
    "  - {tp: 2, pp: 2, schedule: 1f1b, partition: [3, 1], recompute: {every: 2}}\n";

// As another seed for mutations: layer lists and a cluster written out, with measured rows.
const std::string kWrittenOut =
    "model: {layers: [{linear: [4, 8]}, relu, {layer_norm: 8}, {linear: {in: 8, out: 2, bias: "
    "false}}]}\n"
    "training: {global_batch: 8, optimizer: sgd}\n"
    "cluster:\n"
    "  nodes: 1\n"
    "  gpus_per_node: 2\n"
    "  cores: 2\n"
    "  device: {kind: cpu, memory: 8GB, peak: {fp32: 1e11}, memory_bandwidth: 10GB/s, host_cost: "
    "1us}\n"
    "  calibration:\n"
    "    matmul:\n"
    "      - [fp32, 1, 2, 3, 1e9]\n"
    "    kernels: [[gelu, fp32, 100, 1e9]]\n"
    "    collectives: [[all_reduce, 2, 1024, 1e-5]]\n";

Scenario parsed_bad(const std::string& text) { return parse_scenario(text, "bad.yaml", {}); }

// kGood with the first `from` replaced; `from` must be there.
std::string good_with(const std::string& from, const std::string& to) {
    std::string text = kGood;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

// A transformer with `more` keys beside some that are required.
std::string transformer(const std::string& more) {
    return good_with("{gpt: {layers: 2, hidden: 64, heads: 4, vocab: 256, seq: 16}}",
                     "{transformer: {layers: 1, hidden: 16, heads: 4, vocab: 9, seq: 4" +
                         (more.empty() ? "" : ", " + more) + "}}");
}

std::string nested(int depth) {
    return "model: " + std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']') + "\n";
}

// "Billion laughs": ten aliases to ten aliases …, 10^9 values in a few hundred bytes.
std::string laughs() {
    std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 9; ++i) {
        const std::string last = "*a" + std::to_string(i - 1);
        text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
        for (int k = 1; k < 10; ++k) text += ", " + last;
        text += "]\n";
    }
    return text;
}

struct BadInput {
    std::string name, text, rule;
    std::string shown;  // part of what is printed: the position, the number or the suggestion
};

void PrintTo(const BadInput& bad, std::ostream* out) { *out << bad.name; }

// Whether a message starts with "bad.yaml:LINE:COLUMN: ".
bool names_a_place(const std::string& message) {
    int line = 0, column = 0, length = 0;
    const int read = std::sscanf(message.c_str(), "bad.yaml:%d:%d: %n", &line, &column, &length);
    return read == 2 && length > 0 && line > 0 && column > 0;
}

class BadInputTest : public testing::TestWithParam<BadInput> {};

TEST_P(BadInputTest, NamesPlaceRuleAndFix) {
    const BadInput& bad = GetParam();
    try {
        parsed_bad(bad.text);
        FAIL() << "accepted:\n" << bad.text;
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, bad.rule) << e.what();
        EXPECT_TRUE(names_a_place(e.message)) << e.message;
        EXPECT_NE(std::string(e.what()).find(bad.shown), std::string::npos) << e.what();
        EXPECT_FALSE(e.fix.empty());
        EXPECT_EQ(e.exit_code(), 3);
    }
}

const BadInput kBadInputs[] = {
    // Not a scenario at all.
    {"Empty", "", "empty-file", "scenarios/"},
    {"OnlyComments", "# nothing\n\n", "empty-file", "1:1"},
    {"NullDocument", "~\n", "empty-file", ""},
    {"TwoDocuments", kGood + "---\n" + kGood, "yaml", "second document"},
    {"Scalar", "hello\n", "type", "must be a map"},
    {"List", "[1, 2]\n", "type", "must be a map"},
    {"NulByte", std::string("name: a\0b\n", 10), "encoding", "1:8"},
    {"Latin1", "name: caf\xE9\n", "encoding", "0xE9"},
    {"Overlong", "name: \xC0\xAF\n", "encoding", "0xC0"},
    {"Surrogate", "name: \xED\xA0\x80\n", "encoding", "0xED"},
    {"Utf16", std::string("\xFF\xFEn\0a\0", 6), "encoding", "0xFF"},
    {"Escape", "name: \x1B[2J\n", "encoding", "0x1B"},
    {"UnclosedBracket", "model: {gpt: {layers: 2\n", "yaml", "bad.yaml:"},
    {"TabIndent", "model:\n\tgpt: 1\n", "yaml", ""},
    {"Tag", "name: !!python/object x\n", "yaml", "tag"},
    // Structure.
    {"UnknownTopKey", good_with("training:", "trainning:"), "unknown-key", "use \"training\""},
    {"UnknownTrainingKey", good_with("global_batch", "globl_batch"), "unknown-key", "4:12"},
    {"UnknownFarKey", good_with("clip", "qqqq"), "unknown-key", "use one of global_batch"},
    {"UnknownStrategyKey", good_with("bucket", "buckets"), "unknown-key", "9:24"},
    {"ShortFormOfAKey", good_with("zero: 2", "sp: true"), "unknown-key",
     "use \"sequence_parallel\""},
    {"ShortFormWithItsNumber", good_with("zero: 2", "v2: 1"), "unknown-key",
     "use \"virtual_stages: 2\""},
    {"LayoutsWord", good_with("zero: 2", "dp4: "), "unknown-key", "use \"dp: 4\""},
    {"PresetOfNoStage", good_with("zero: 2", "preset: zero-4"), "unknown-name",
     "use one of single, ddp, zero-1, zero-2 or zero-3, or a map"},
    {"MisspeltOptimizer", good_with("{adamw: {lr: 3e-4, betas: [0.9, 0.95]}}", "adam8bit"),
     "unknown-name", "adam-8bit"},
    {"MisspeltOptimizerMap", good_with("adamw: {lr: 3e-4, betas: [0.9, 0.95]}", "lionn: {}"),
     "unknown-key", "use \"lion\""},
    {"KeyOfAnotherOptimizer",
     good_with("adamw: {lr: 3e-4, betas: [0.9, 0.95]}", "lion: {epsilon: 1}"), "unknown-key",
     "epsilon"},
    {"DuplicateKey", good_with("steps: 3", "global_batch: 3"), "duplicate-key", "line 4"},
    {"DuplicateTopKey", kGood + "name: again\n", "duplicate-key", "line 1"},
    {"DuplicateStrategy", good_with("name: z", "name: ddp"), "duplicate-name", "8:5"},
    {"MissingModel", "training: {global_batch: 1}\n", "missing-key", "\"model\""},
    {"MissingBatch", good_with("global_batch: 8, ", ""), "missing-key", "\"global_batch\""},
    {"MissingSize", good_with("hidden: 64, ", ""), "missing-key", "model.gpt has no \"hidden\""},
    {"EmptyValue", good_with("steps: 3", "steps: "), "type", "training.steps is empty"},
    {"AliasLoop", "model: &a [*a]\n", "alias-loop", "1:12"},
    {"AliasLoopInMap", "model: &a {gpt: {layers: *a}}\n", "alias-loop", "contains it"},
    {"UnknownAlias", "model: *nobody\n", "yaml", "not defined"},
    {"DeepNesting", nested(100), "too-large", "nested deeper"},
    {"AbsurdNesting", nested(100'000), "too-large", "nested deeper"},
    {"BillionLaughs", laughs(), "too-large", "values"},
    {"ListAsKey", "[a, b]: 1\n", "yaml", "key"},
    {"NullKey", "~: 1\n", "yaml", "key"},
    // Types and ranges.
    {"TextForNumber", good_with("steps: 3", "steps: three"), "type", "whole number"},
    {"QuotedNumber", good_with("steps: 3", "steps: \"3\""), "type", "in quotes"},
    {"QuotedQuantityWithoutUnit",
     good_with("gpus_per_node: 4}", "gpus_per_node: 4, inter_node: {bandwidth: \"400\"}}"), "type",
     "in quotes"},
    {"BandwidthWithoutUnit",
     good_with("gpus_per_node: 4}", "gpus_per_node: 4, inter_node: {bandwidth: 400}}"), "range",
     "write 400GB/s"},
    {"FractionForWhole", good_with("steps: 3", "steps: 2.5"), "type", "\"2.5\""},
    {"MapForNumber", good_with("steps: 3", "steps: {a: 1}"), "type", "a map"},
    {"ListForMap", good_with("{adamw: {lr: 3e-4, betas: [0.9, 0.95]}}", "{adamw: [1]}"), "type",
     "a list"},
    {"Zero", good_with("steps: 3", "steps: 0"), "range", "from 1"},
    {"Negative", good_with("micro_batch: 2", "micro_batch: -2"), "range", "-2"},
    {"ZeroBatch", good_with("global_batch: 8", "global_batch: 0"), "range", "global_batch is 0"},
    {"TooManyLayers", good_with("layers: 2", "layers: 1000000000000000000"), "range", "10000"},
    {"BeyondInt64", good_with("layers: 2", "layers: 99999999999999999999999"), "range", "10000"},
    {"NegativeBeyondInt64", good_with("layers: 2", "layers: -99999999999999999999999"), "range",
     ""},
    {"NaN", good_with("lr: 3e-4", "lr: .nan"), "type", "finite"},
    {"NaNWord", good_with("lr: 3e-4", "lr: nan"), "type", "finite"},
    {"Infinity", good_with("lr: 3e-4", "lr: .inf"), "type", "finite"},
    {"Overflow", good_with("lr: 3e-4", "lr: 1e999"), "type", "finite"},
    {"NegativeRate", good_with("lr: 3e-4", "lr: -1"), "range", "lr is -1"},
    {"BetaOne", good_with("0.95", "1.0"), "range", "betas[1]"},
    {"ThreeBetas", good_with("0.95", "0.95, 0.99"), "type", "3 items"},
    {"NegativeClip", good_with("clip: 1.0", "clip: -1.0"), "range", "clip"},
    {"NegativeSeed", good_with("seed: 7", "seed: -7"), "range", "2^64"},
    {"ZeroStageFour", good_with("zero: 2", "zero: 4"), "range", "from 0 to 3"},
    {"ZeroTensorParallel", good_with("zero: 2", "tp: 0"), "range", "tp is 0"},
    {"ZeroVirtualStages", good_with("zero: 2", "virtual_stages: 0"), "range",
     "virtual_stages is 0"},
    {"ContextKind", good_with("zero: 2", "cp_kind: rings"), "unknown-name", "ring"},
    {"ZeroContextParallel", good_with("zero: 2", "cp: 0"), "range", "cp is 0"},
    {"WordForGroup", good_with("zero: 2", "shard_group: nodes"), "type", "whole number"},
    {"WordForFlag", good_with("zero: 2", "sequence_parallel: 1"), "type", "true or false"},
    {"EmptyChunk", good_with("zero: 2", "partition: [3, 0]"), "range", "partition[1] is 0"},
    {"WordForCount", good_with("zero: 2", "partition: [3, some]"), "type", "whole number"},
    {"BrokenPattern", good_with("zero: 2", "partition: {pattern: 'a('}"), "pattern",
     "partition.pattern is not a regular expression"},
    {"EmptyPattern", good_with("zero: 2", "partition: {pattern: ''}"), "type", "must be a text"},
    {"NoPattern", good_with("zero: 2", "partition: {}"), "missing-key", "pattern"},
    {"PartitionKey", good_with("zero: 2", "partition: {patern: a}"), "unknown-key", "pattern"},
    {"MoreBlocksThanThereAre", good_with("zero: 2", "recompute: {every: 2, blocks: 3}"), "range",
     "blocks is 3"},
    {"EveryZeroth", good_with("zero: 2", "recompute: {every: 0}"), "range", "every is 0"},
    {"RecomputeKey", good_with("zero: 2", "recompute: {each: 2}"), "unknown-key", "every"},
    {"ZeroBucket", good_with("25MiB", "0"), "range", "bucket"},
    {"WrongUnit", good_with("25MiB", "25parsec"), "type", "25MiB"},
    {"HugeBucket", good_with("25MiB", "1e30"), "range", "bucket"},
    {"LongName", good_with("name: good", "name: " + std::string(200, 'x')), "type", "100 bytes"},
    {"NameOfTwoLines", good_with("name: good", "name: \"a\\nb\""), "type", "one line"},
    // Names.
    {"UnknownGpu", good_with("h100-sxm", "h100-smx"), "unknown-name", "use \"h100-sxm\""},
    {"UnknownModel", "model: llama-3-8\ntraining: {global_batch: 1}\n", "unknown-name",
     "llama-3-8b"},
    {"UnknownPrecision", good_with("fp32", "fp33"), "unknown-name", "fp32"},
    {"UnknownOptimizer", good_with("adamw", "adamx"), "unknown-key", "adam"},
    {"UnknownPreset", good_with("- ddp", "- dpd"), "unknown-name", "ddp"},
    {"UnknownReduceAt", good_with("reduce_at: micro_batch", "reduce_at: never"), "unknown-name",
     "boundary"},
    {"UnknownSchedule", good_with("zero: 2", "schedule: 1f2b"), "unknown-name", "use \"1f1b\""},
    {"UnknownPartition", good_with("zero: 2", "partition: block"), "unknown-name",
     "use \"blocks\""},
    {"UnknownRecompute", good_with("zero: 2", "recompute: all"), "unknown-name", "selective"},
    {"UnknownAttention", good_with("zero: 2", "attention: fused"), "unknown-name", "flash"},
    {"UnknownLayer", "model: {layers: [{linear: [2, 2]}, rely]}\n", "unknown-name", "\"relu\""},
    {"TransformerWithoutWidth", transformer(""), "missing-key", "ffn"},
    {"TransformerUnknownMlp", transformer("ffn: 8, mlp: swigloo"), "unknown-name", "swiglu"},
    {"TransformerRotaryTooWide", transformer("ffn: 8, rotary_dim: 10"), "heads", "rotary_dim 10"},
    {"TransformerRotaryOdd", transformer("ffn: 8, rotary_dim: 3"), "heads", "rotary_dim 3 is odd"},
    {"TransformerThetaOfLearned", transformer("ffn: 8, positions: learned, rope_theta: 1e4"),
     "positions", "remove \"rope_theta\""},
    {"TransformerFewPositions", transformer("ffn: 8, positions: learned, position_rows: 3"),
     "positions", "use a seq of at most 3"},
    {"TransformerUnknownScaling", transformer("ffn: 8, rope_scaling: {linaer: {factor: 2}}"),
     "unknown-key", "linear"},
    {"TransformerScalingFactors",
     transformer("ffn: 8, rope_scaling: {llama3: {factor: 2, low_frequency_factor: 4}}"),
     "positions", "is not above low_frequency_factor 4"},
    {"TransformerScale", transformer("ffn: 8, embedding_scale: 0"), "range", "above 0"},
    {"HfIsNoFile",
     good_with("{gpt: {layers: 2, hidden: 64, heads: 4, vocab: 256, seq: 16}}", "{hf: []}"), "type",
     "must be a text"},
    {"TwoModels", good_with("model: {gpt:", "model: {catalogue: gpt2-124m, gpt:"), "one-of",
     "both"},
    {"NoModel", "model: {}\n", "one-of", "gpt, llama"},
    {"LinearWithoutSizes", "model: {layers: [linear]}\n", "type", "[IN, OUT]"},
    {"NoLayers", "model: {layers: []}\n", "range", "0 layers"},
    {"SeqOfLayers", "model: {catalogue: mlp-784-128-10, seq: 3}\n", "unknown-key", "seq"},
    // Values that do not go together.
    {"HeadsDoNotDivide", good_with("heads: 4", "heads: 5"), "heads", "2:8"},
    {"WidthsDoNotMatch", "model: {layers: [{linear: [4, 8]}, {linear: [4, 2]}]}\n", "layer-shape",
     "1:8"},
    {"SizesOverflow",
     "model: {gpt: {layers: 10000, hidden: 16777216, heads: 1, vocab: 2, seq: 2}}\n",
     "size-overflow", "1:8"},
    {"WideGradients", good_with("clip: 1.0", "gradient_dtype: fp64"), "gradient-dtype", "fp32"},
    {"BothBetas", good_with("lr: 3e-4", "lr: 3e-4, beta1: 0.9"), "one-of", "beta1"},
    {"NoStrategies",
     "model: gpt2-124m\ntraining: {global_batch: 1}\ncluster: h200\nstrategies: []\n", "range",
     "0 strategies"},
    {"TextWithoutFile", good_with("{text: a.txt}", "{text: }"), "type", "data.text"},
    {"OneIdxFile", good_with("{text: a.txt}", "{idx: [a]}"), "type", "1 items"},
    // Clusters.
    {"NoCluster", good_with("cluster: {gpu: h100-sxm, nodes: 1, gpus_per_node: 4}\n", ""),
     "missing-key", "cluster"},
    {"NoClusterForm", good_with("gpu: h100-sxm, ", ""), "one-of", "gpu"},
    {"TooManyGpus", good_with("nodes: 1", "nodes: 1000000"), "range", "4000000"},
    {"ZeroNodes", good_with("nodes: 1", "nodes: 0"), "range", "cluster.nodes"},
    {"RanksMissing", good_with("{gpu: h100-sxm, nodes: 1, gpus_per_node: 4}", "{this_machine: {}}"),
     "missing-key", "ranks"},
    {"MixedForms", good_with("{gpu:", "{this_machine: {ranks: 2}, gpu:"), "one-of", "both"},
    {"SizedMachine", good_with("{gpu: h100-sxm,", "{this_machine: {ranks: 2},"), "unknown-key",
     "nodes"},
    {"MachineWithoutRanks",
     "model: gpt2-124m\ntraining: {global_batch: 1}\ncluster: {this_machine: 2}\n", "type",
     "must be a map"},
    {"NoMemory", good_with("gpu: h100-sxm", "device: {peak: {bf16: 1e12}}"), "missing-key",
     "device.memory"},
};

INSTANTIATE_TEST_SUITE_P(Table, BadInputTest, testing::ValuesIn(kBadInputs),
                         [](const auto& each) { return each.param.name; });

// A missing file, a directory: exit code 2.
TEST(BadFile, IsAnInputOutputError) {
    for (const std::string path : {"no/such/file.yaml", "."}) {
        try {
            load_scenario(path, {});
            FAIL() << path;
        } catch (const Error& e) {
            EXPECT_EQ(e.rule, "file");
            EXPECT_EQ(e.exit_code(), 2);
            EXPECT_TRUE(e.message.starts_with(path + ": ")) << e.message;
            EXPECT_FALSE(e.fix.empty());
        }
    }
}

TEST(BadFile, MissingClusterFileIsNamedFromTheScenariosFolder) {
    const std::string text =
        good_with("{gpu: h100-sxm, nodes: 1, gpus_per_node: 4}", "{file: none.yaml}");
    try {
        parse_scenario(text, "some/folder/s.yaml", {});
        FAIL();
    } catch (const Error& e) {
        EXPECT_EQ(e.exit_code(), 2);
        EXPECT_TRUE(e.message.starts_with("some/folder/none.yaml: ")) << e.message;
    }
}

TEST(BadFile, EndlessFilesAreRefused) {
    if (!std::filesystem::exists("/dev/zero")) GTEST_SKIP() << "no /dev/zero here";
    EXPECT_THROW(load_scenario("/dev/zero", {}), Error);
}

// Either parses or throws Error; anything else fails the test.
void survive_scenario(const std::string& text) {
    try {
        parsed_bad(text);
    } catch (const Error& e) {
        EXPECT_FALSE(e.rule.empty());
        EXPECT_FALSE(e.fix.empty()) << e.what();
    } catch (const std::exception& e) {
        ADD_FAILURE() << "not an Error: " << e.what() << "\n" << text;
    }
}

TEST(Mutated, TruncatedAnywhere) {
    for (const std::string& text : {kGood, kWrittenOut}) {
        for (std::size_t length = 0; length < text.size(); ++length)
            survive_scenario(text.substr(0, length));
        parsed_bad(text);
    }
}

// Set SHARDSCOPE_FUZZ_SEED to repeat a failing run, SHARDSCOPE_FUZZ_ROUNDS for a longer one.
std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::string mutated(std::string text, std::mt19937_64& random) {
    static const std::vector<std::string> kPieces = {"{",
                                                     "}",
                                                     "[",
                                                     "]",
                                                     ":",
                                                     ": ",
                                                     ",",
                                                     "- ",
                                                     "\n",
                                                     "  ",
                                                     "\t",
                                                     "&a ",
                                                     "*a",
                                                     "!",
                                                     "!!int ",
                                                     "|",
                                                     ">",
                                                     "?",
                                                     "? ",
                                                     "'",
                                                     "\"",
                                                     "#",
                                                     "%",
                                                     "@",
                                                     "`",
                                                     "~",
                                                     "null",
                                                     "0",
                                                     "-1",
                                                     "1e18",
                                                     ".nan",
                                                     ".inf",
                                                     "---",
                                                     "...",
                                                     "<<: ",
                                                     "\\x",
                                                     "\xEF\xBB\xBF",
                                                     "\xC3\xA9",
                                                     "true",
                                                     "auto",
                                                     "9999",
                                                     "&a [*a]"};
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    for (std::size_t i = 0, edits = 1 + below(4); i < edits; ++i) {
        const std::size_t at = below(text.size()), length = std::min(below(20), text.size() - at);
        switch (below(5)) {
            case 0:
                text[at] = static_cast<char>(random());
                break;
            case 1:
                text[at] = static_cast<char>(text[at] ^ (1 << below(7)));
                break;
            case 2:
                text.insert(at, kPieces[below(kPieces.size())]);
                break;
            case 3:
                text.replace(at, length, kPieces[below(kPieces.size())]);
                break;
            default:
                text.insert(below(text.size()), text.substr(at, length));
                break;
        }
        if (text.empty()) break;
    }
    return text;
}

TEST(Mutated, AtRandom) {
    const std::uint64_t seed = from_environment("SHARDSCOPE_FUZZ_SEED", std::random_device{}());
    const std::uint64_t rounds = from_environment("SHARDSCOPE_FUZZ_ROUNDS", 3000);
    SCOPED_TRACE("SHARDSCOPE_FUZZ_SEED=" + std::to_string(seed));
    RecordProperty("seed", std::to_string(seed));
    std::mt19937_64 random(seed);
    for (std::uint64_t i = 0; i < rounds; ++i)
        survive_scenario(mutated(i % 2 == 0 ? kGood : kWrittenOut, random));
}

}  // namespace
}  // namespace shardscope
