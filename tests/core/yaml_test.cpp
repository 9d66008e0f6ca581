// The small parts below the readers: quantities, suggestions, the YAML writer.
#include <array>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/nearest.h"
#include "core/yaml_number.h"
#include "core/yaml_text.h"
#include "core/yaml_tree.h"
#include "core/yaml_writer.h"

namespace shardscope {
namespace {

TEST(Quantity, ReadsSuffixes) {
    EXPECT_EQ(parse_quantity("80GB", QuantityUnit::bytes), 80e9);
    EXPECT_EQ(parse_quantity("25 MiB", QuantityUnit::bytes), 25.0 * 1024 * 1024);
    EXPECT_EQ(parse_quantity("7", QuantityUnit::bytes), 7);
    EXPECT_EQ(parse_quantity("7B", QuantityUnit::bytes), 7);
    EXPECT_EQ(parse_quantity("400Gbit/s", QuantityUnit::bytes_per_second), 50e9);
    EXPECT_EQ(parse_quantity("3.35TB/s", QuantityUnit::bytes_per_second), 3.35e12);
    EXPECT_EQ(parse_quantity("989TFLOP/s", QuantityUnit::flops_per_second), 989e12);
    EXPECT_EQ(parse_quantity("4.5us", QuantityUnit::seconds), 4.5e-6);
    EXPECT_EQ(parse_quantity("2ms", QuantityUnit::seconds), 2e-3);
    EXPECT_EQ(parse_quantity("1e-3s", QuantityUnit::seconds), 1e-3);
}

TEST(Quantity, RefusesOtherUnitsAndNonsense) {
    for (const char* text :
         {"", "GB", "1GB/s", "1 2", "0x10", "1_000", "nan", "inf", "-inf", "1e400"}) {
        EXPECT_EQ(parse_quantity(text, QuantityUnit::bytes), std::nullopt) << text;
    }
    EXPECT_EQ(parse_quantity("5s", QuantityUnit::none), std::nullopt);
}

TEST(Integer, SaturatesWhereTooLarge) {
    EXPECT_EQ(parse_integer("+12"), 12);
    EXPECT_EQ(parse_integer("99999999999999999999"), INT64_MAX);
    EXPECT_EQ(parse_integer("-99999999999999999999"), INT64_MIN);
    for (const char* text : {"", "+", "-", "+-1", "1.0", "1e3", "12x"}) {
        EXPECT_EQ(parse_integer(text), std::nullopt) << text;
    }
}

TEST(Nearest, FindsMisspelledNames) {
    constexpr std::array<std::string_view, 3> kKnownKeys = {"micro_batch", "global_batch", "seed"};
    EXPECT_EQ(nearest_name("globalbatch", kKnownKeys), "global_batch");
    EXPECT_EQ(nearest_name("micro-batch", kKnownKeys), "micro_batch");
    EXPECT_EQ(nearest_name("sede", kKnownKeys), "seed");
    EXPECT_EQ(nearest_name("micro", kKnownKeys), "micro_batch");
    constexpr std::array<std::string_view, 3> kGpus = {"a100-80gb", "h100-sxm", "h200"};
    EXPECT_EQ(nearest_name("H100", kGpus), "h100-sxm");
    EXPECT_EQ(nearest_name("h300", kGpus), "h200");
    EXPECT_EQ(nearest_name("learning", kKnownKeys), std::nullopt);
    EXPECT_EQ(nearest_name(std::string(100'000, 'x'), kKnownKeys), std::nullopt);
    EXPECT_EQ(suggest_name("x", kKnownKeys), "use one of micro_batch, global_batch or seed");
    constexpr std::array<std::string_view, 3> kH100 = {"h100-sxm", "h100-pcie", "h200"};
    EXPECT_EQ(suggest_name("h100", kH100), "use one of h100-sxm or h100-pcie");
}

TEST(Printable, IsOneShortLine) {
    EXPECT_EQ(printable("a\nb\x1B\xFF"), "a?b??");
    EXPECT_EQ(printable("Ω"), "Ω");
    EXPECT_EQ(printable(std::string(1000, 'x')).size(), 60 + std::string("…").size());
}

TEST(YamlWriter, QuotesWhatYamlWouldReadDifferently) {
    const nlohmann::ordered_json value = {
        {"plain", "two words"}, {"number", "12"},
        {"null", "null"},       {"colon", "a: b"},
        {"comment", "a #b"},    {"empty", ""},
        {"lines", "a\nb\tc"},   {"quote", "\"\\"},
        {"dash", "- a"},        {"space", "a "},
        {"omega", "Ω"},         {"delete", "\x7F"},
        {"double", 0.1},        {"whole", 1.0},
        {"large", 9.89e14},     {"list", {1, "x", true}},
        {"map", {{"a b", 1}}},  {"none", nlohmann::ordered_json::object()}};
    const std::string yaml = json_to_yaml(value);
    SCOPED_TRACE(yaml);
    EXPECT_NE(yaml.find("plain: two words\n"), std::string::npos);
    EXPECT_NE(yaml.find("list: [1, x, true]\n"), std::string::npos);
    const YamlNodePtr root = parse_yaml(yaml, "f");
    for (const auto& entry : root->entries) {
        const auto& expected = value[entry.key->text];
        const std::string& text = entry.value->text;
        if (expected.is_string()) {
            EXPECT_EQ(text, expected.get<std::string>());
        } else if (expected.is_number()) {
            EXPECT_EQ(parse_number(text), expected.get<double>());
        }
    }
}

TEST(YamlWriter, BreaksLongLines) {
    nlohmann::ordered_json value;
    for (int i = 0; i < 30; ++i) value["rows"].push_back({"fp32", i, 1024, 1024, 1e9 / 3});
    const std::string yaml = json_to_yaml(value);
    EXPECT_TRUE(yaml.starts_with("rows:\n  - [fp32, 0, 1024, 1024, 333333333.3333333]\n")) << yaml;
    EXPECT_EQ(parse_yaml(yaml, "f")->entries[0].value->items.size(), 30u);
}

TEST(YamlWriter, StartsMapsBesideTheirDash) {
    nlohmann::ordered_json value;
    value["list"].push_back({{"name", "/a/b"}, {"text", std::string(100, 'x')}});
    EXPECT_EQ(json_to_yaml(value),
              "list:\n  - name: /a/b\n    text: " + std::string(100, 'x') + "\n");
}

}  // namespace
}  // namespace shardscope
