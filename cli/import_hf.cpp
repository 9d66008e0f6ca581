#include "cli/arguments.h"
#include "cli/import.h"
#include "core/yaml_reader.h"
#include "core/yaml_text.h"

namespace shardscope {

int import_hf(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    std::string file;
    parser.app().add_option("FILE", file, "config.json of a model")->required();
    if (!parser.parse(words, environment)) return 0;
    const YamlMap map =
        YamlMap::open(YamlValue::parse(read_text_file(file, "configuration"), file));
    environment.out << map.require("model_type").name() << '\n';
    return 0;
}

}  // namespace shardscope
