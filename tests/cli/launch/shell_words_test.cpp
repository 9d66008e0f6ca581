#include "cli/launch/shell_words.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

using Words = std::vector<std::string>;

TEST(ShellWords, AreSplitAsAShellDoes) {
    const auto split = [](const char* text) { return split_words(text, "--option"); };
    EXPECT_EQ(split(""), Words{});
    EXPECT_EQ(split("  --mca  btl\ttcp "), (Words{"--mca", "btl", "tcp"}));
    EXPECT_EQ(split("'a b' \"c 'd'\" e\\ f"), (Words{"a b", "c 'd'", "e f"}));
    EXPECT_EQ(split("'' x''y"), (Words{"", "xy"}));
    EXPECT_EQ(split(R"("a\"b" "c\d" 'e\f')"), (Words{"a\"b", "c\\d", "e\\f"}));
    for (const char* open : {"'a", "\"a", "a\\"}) EXPECT_THROW(split(open), Error) << open;
}

TEST(ShellWords, AreQuotedSoThatTheySplitTheSameWay) {
    const Words words{"plain", "", "two words", "it's", "$HOME", "a\\b", "x=1,2:3@h", "\"q\""};
    EXPECT_EQ(split_words(shell_line(words), "--option"), words);
    EXPECT_EQ(shell_line({"run", "a b", "--steps=3"}), "run 'a b' --steps=3");
}

}  // namespace
}  // namespace shardscope
