#include "cli/arguments.h"
#include "cli/import.h"
#include "core/deepspeed/import.h"
#include "core/deepspeed/summary_io.h"

namespace shardscope {

int import_deepspeed(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    std::string file;
    int world = 1, tp = 0, pp = 1;
    bool json = false;
    const CLI::Validator degree = in_range(1, 1'000'000);
    parser.app().add_option("FILE", file, "DeepSpeed configuration (ds_config.json)")->required();
    parser.app()
        .add_option("--world-size", world, "Ranks in all (default 1)")
        ->type_name("N")
        ->check(degree);
    parser.app()
        .add_option("--tp", tp, "Tensor-parallel ranks among them (default: the file's, or 1)")
        ->type_name("N")
        ->check(degree);
    parser.app()
        .add_option("--pp", pp, "Pipeline stages among them (default 1)")
        ->type_name("N")
        ->check(degree);
    parser.app().add_flag("--json", json, "Print it as JSON");
    if (!parser.parse(words, environment)) return 0;
    const DeepSpeedSummary summary = summarise_deepspeed(load_deepspeed(file), world, tp, pp);
    environment.out << (json ? deepspeed_to_json(summary) : deepspeed_to_text(summary));
    return 0;
}

}  // namespace shardscope
