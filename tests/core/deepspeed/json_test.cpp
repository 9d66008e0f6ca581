// What people write into DeepSpeed configurations, beyond JSON.
#include "core/deepspeed/json.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

YamlMap parsed_json(const std::string& text) {
    return YamlMap::open(parse_deepspeed_json(text, "ds.json"));
}

TEST(DeepSpeedJson, PlainJson) {
    const YamlMap map = parsed_json(
        "{\"a\": 1, \"b\": -2.5e3, \"c\": true, \"d\": null, \"e\": \"x\\n\\u00e9\\ud83d\\ude00\", "
        "\"f\": [1, [2]], \"g\": {}}\n");
    EXPECT_EQ(map.require("a").integer({0, 9}), 1);
    EXPECT_EQ(map.require("b").number({-1e9, 1e9}), -2500);
    EXPECT_TRUE(map.require("c").boolean());
    EXPECT_TRUE(map.require("d").is_null());
    EXPECT_EQ(map.require("e").text(), "x\né😀");
    EXPECT_EQ(map.require("f").items(2)[1].items(1)[0].integer({0, 9}), 2);
    EXPECT_TRUE(YamlMap::open(map.require("g")).keys().empty());
}

TEST(DeepSpeedJson, CommentsCommasAndQuotes) {
    const YamlMap map = parsed_json(
        "# a comment\n"
        "{ // another\n"
        "  \"url\": \"http://x#y\",  # not in a text\n"
        "  /* over\n     lines */ a: 1\n"
        "  'b': 2,\n"
        "  name: some words, to the end\n"
        "  list: [1, 2,],\n"
        "}  // the end\n");
    EXPECT_EQ(map.require("url").text(), "http://x#y");
    EXPECT_EQ(map.require("a").integer({0, 9}), 1);
    EXPECT_EQ(map.require("b").integer({0, 9}), 2);
    EXPECT_EQ(map.require("name").text(), "some words, to the end");
    EXPECT_EQ(map.require("list").items().size(), 2u);
}

TEST(DeepSpeedJson, PlacesAreLinesAndCharacters) {
    const YamlMap map = parsed_json("{\n  \"é\": 0, \"b\": 7\n}");
    EXPECT_EQ(map.require("b").place(), "ds.json:2:16");
    EXPECT_EQ(map.keys()[1].place(), "ds.json:2:11");
}

struct Bad {
    const char* text;
    const char* rule;
    const char* shown;
};

class BadJson : public testing::TestWithParam<Bad> {};

TEST_P(BadJson, NamesPlaceAndFix) {
    try {
        parse_deepspeed_json(GetParam().text, "ds.json");
        FAIL() << "accepted: " << GetParam().text;
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, GetParam().rule) << e.what();
        EXPECT_NE(std::string(e.what()).find(GetParam().shown), std::string::npos) << e.what();
        EXPECT_TRUE(e.message.starts_with("ds.json:")) << e.message;
        EXPECT_FALSE(e.fix.empty());
        EXPECT_EQ(e.exit_code(), 3);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadJson,
    testing::Values(
        Bad{"", "empty-file", "1:1"}, Bad{"  # nothing\n", "empty-file", "1:1"},
        Bad{"[1]", "json", "not a map"}, Bad{"{\"a\": 1", "json", "1:8: the file ends early"},
        Bad{"{\"a\": 1}}", "json", "1:9"}, Bad{"{\"a\" 1}", "json", "no : after the key \"a\""},
        Bad{"{\"a\": 1 \"b\": 2}", "json", "1:9: a comma is missing"},
        Bad{"{\"a\": \"x\" \"b\": 2}", "json", "1:11: a comma"},
        Bad{"{\"a\": }", "json", "} where a value should be"},
        Bad{"{, }", "json", "a key is missing"}, Bad{"{\"a", "json", "does not end"},
        Bad{"{\"a\n\": 1}", "json", "1:2"}, Bad{"{\"a\": \"\\x\"}", "json", "escape"},
        Bad{"{\"a\": \"\\u12\"}", "json", "hexadecimal"},
        Bad{"{\"a\": \"\\ud800\"}", "json", "surrogate"}, Bad{"{\"a\": 08}", "json", "ends early"},
        Bad{"{\"a\": .5}", "json", "ends early"}, Bad{"{\"a\": 1.}", "json", "ends early"},
        Bad{"{\"a\": +1}", "json", "ends early"}, Bad{"/* x", "json", "comment"},
        Bad{"{a: '''x'''}", "json", "multi-line"},
        Bad{"{\"a\": 1,\n \"a\": 2}", "duplicate-key",
            "ds.json:2:2: Duplicate keys in DeepSpeed config: ['a'] (first in line 1)"},
        Bad{"{\"s\": {\"a\": 1, \"a\": 2}}", "duplicate-key", "['a']"},
        Bad{"{\"a\": \"\xff\"}", "encoding", "0xFF"}));

TEST(DeepSpeedJson, DepthAndSizeAreLimited) {
    const auto rule_of = [](const std::string& text) {
        try {
            parse_deepspeed_json(text, "ds.json");
        } catch (const Error& e) {
            return e.rule;
        }
        return std::string();
    };
    EXPECT_EQ(rule_of("{\"a\": " + std::string(100'000, '[')), "too-large");
    std::string many = "{\"a\": [";
    for (int i = 0; i < 1'000'001; ++i) many += "1,";
    EXPECT_EQ(rule_of(many + "]}"), "too-large");
}

}  // namespace
}  // namespace shardscope
