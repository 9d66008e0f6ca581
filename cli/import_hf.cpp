#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/import.h"
#include "cli/parameters_text.h"
#include "core/model/hf_import.h"
#include "core/report/figures.h"
#include "core/report/text_table.h"

namespace shardscope {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
    std::string text;
    for (const std::int64_t extent : shape)
        text += (text.empty() ? "" : " × ") + format_count(extent);
    return text;
}

std::string parts_text(const Model& model) {
    TextTable table;
    table.add_column("part", TextTable::Align::left);
    for (const char* column : {"shape", "copies", "parameters", "%"}) table.add_column(column);
    const auto total = static_cast<double>(model.parameter_count());
    for (const ParameterPart& part : parts_of(model))
        table.add_row({part.name, shape_text(part.shape), format_count(part.copies),
                       format_count(part.parameters),
                       format_percent(static_cast<double>(part.parameters) / total)});
    table.add_row({"total", "", "", format_count(model.parameter_count()), ""});
    return table.to_string();
}

std::string read_text(const HfImport& imported) {
    TextTable table;
    for (const char* column : {"read", "value", ""})
        table.add_column(column, TextTable::Align::left);
    for (const HfImport::Read& read : imported.read)
        table.add_row({read.key, read.value, read.in_file ? "" : "transformers' default"});
    return table.to_string();
}

std::string notes_text(const HfImport& imported) {
    if (imported.notes.empty()) return "";
    TextTable table;
    for (const char* column : {"note", ""}) table.add_column(column, TextTable::Align::left);
    for (const HfImport::Note& note : imported.notes) table.add_row({note.key, note.text});
    return "\n" + table.to_string();
}

}  // namespace

int import_hf(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    std::string file;
    HfOptions options;
    bool json = false;
    parser.app().add_option("FILE", file, "config.json of a model")->required();
    parser.app()
        .add_option("--seq", options.seq, "Tokens per sample, instead of the model's longest")
        ->type_name("N")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24));
    parser.app().add_flag("--json", json, "Print it as JSON");
    if (!parser.parse(words, environment)) return 0;

    const HfImport imported = load_hf_config(file, options);
    const Model model = build_model(imported.model);
    if (json) {
        environment.out << hf_import_to_json(imported, model);
        return 0;
    }
    environment.out << fmt::format("{}: {}, {} tokens per sample\n\n{}\n{}{}", imported.model_type,
                                   parameters_text(model), format_count(model.seq),
                                   parts_text(model), read_text(imported), notes_text(imported));
    return 0;
}

}  // namespace shardscope
