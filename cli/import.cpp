#include "cli/import.h"

#include <array>

#include <fmt/format.h>

#include "cli/command_description.h"
#include "core/error.h"
#include "core/nearest.h"

namespace shardscope {
namespace {

constexpr std::array<ImportFormat, 2> kFormats{{
    {"hf",
     {"import hf",
      "A model from Hugging Face's config.json: its parameters, and what was read of it",
      "shardscope import hf tests/data/hf/gpt2.json", import_hf}},
    {"deepspeed",
     {"import deepspeed",
      "A DeepSpeed configuration: its batch, optimizer and ZeRO settings, and what they mean here",
      "shardscope import deepspeed scenarios/tutorial/ds_zero2.json --world-size 4",
      import_deepspeed}},
}};

std::string formats_overview(const Command& self) {
    std::string text = fmt::format("{}\n\nUsage: shardscope {} FORMAT FILE [OPTION…]\n\n",
                                   self.summary, self.name);
    for (const ImportFormat& format : kFormats)
        text += fmt::format("  {:<10} {}\n", format.name, format.command.summary);
    return text + fmt::format("\nshardscope {} FORMAT --help says more.\n\nExample:\n  {}\n",
                              self.name, self.example);
}

int describe_formats(const Environment& environment) {
    for (const ImportFormat& format : kFormats)
        format.command.run(format.command, example_words(format.command), environment);
    return 0;
}

}  // namespace

std::span<const ImportFormat> import_formats() { return kFormats; }

int import_file(const Command& self, const Words& words, const Environment& environment) {
    if (environment.describe) return describe_formats(environment);
    if (words.empty())
        throw Error("usage", "no format to import", "see shardscope import --help", ErrorKind::io);
    const std::string& word = words.front();
    if (word == "--help" || word == "-h") {
        environment.out << formats_overview(self);
        return 0;
    }
    std::vector<std::string_view> names;
    for (const ImportFormat& format : kFormats) {
        if (format.name == word)
            return format.command.run(format.command, {words.begin() + 1, words.end()},
                                      environment);
        names.push_back(format.name);
    }
    throw Error("usage", fmt::format("unknown format \"{}\"", word), suggest_name(word, names),
                ErrorKind::io);
}

}  // namespace shardscope
