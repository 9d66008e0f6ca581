// Writes what a scenario's training starts from, so that another program can train the same:
//
//   export_training SCENARIO STEPS FILE
//
// FILE: a line of JSON {"parameters": [{"name", "shape"}, …], "steps", "batch", "seq"}, then in the
// machine's byte order the initial value of every parameter, in that order, as fp32, then for every step
// the input tokens [batch, seq] and the targets [batch, seq] as int32. Language models only.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/data/data_source.h"
#include "core/error.h"
#include "core/model/initialize.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

template <class T>
void put(std::ostream& out, const std::vector<T>& values) {
    out.write(reinterpret_cast<const char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(T)));
}

void put_parameter(std::ostream& out, const Parameter& parameter, std::uint64_t seed) {
    std::vector<double> values(static_cast<std::size_t>(parameter.elements()));
    initial_values(parameter, seed, 0, values);
    put(out, std::vector<float>(values.begin(), values.end()));
}

void put_batch(std::ostream& out, const DataSource& data, std::int64_t first, std::int64_t batch,
               std::int64_t seq) {
    const auto length = static_cast<std::size_t>(seq);
    std::vector<std::int32_t> inputs, targets, sample(2 * length);
    for (std::int64_t i = 0; i < batch; ++i) {
        const std::span<std::int32_t> both(sample);
        data.tokens(static_cast<std::uint64_t>(first + i), both.first(length), both.last(length));
        inputs.insert(inputs.end(), sample.begin(), sample.begin() + seq);
        targets.insert(targets.end(), sample.begin() + seq, sample.end());
    }
    put(out, inputs);
    put(out, targets);
}

void export_training(const std::string& path, std::int64_t steps, const std::string& to) {
    const Scenario scenario = load_scenario(path, {});
    const Model model = build_model(scenario.model);
    const auto data = open_data(scenario.data, model, scenario.training.seed);
    const std::int64_t batch = scenario.training.global_batch;
    nlohmann::ordered_json header;
    for (const Parameter& p : model.parameters)
        header["parameters"].push_back({{"name", p.name}, {"shape", p.shape}});
    header["steps"] = steps;
    header["batch"] = batch;
    header["seq"] = model.seq;
    std::ofstream out(to, std::ios::binary);
    out << header.dump() << '\n';
    for (const Parameter& p : model.parameters) put_parameter(out, p, scenario.training.seed);
    for (std::int64_t step = 0; step < steps; ++step)
        put_batch(out, *data, step * batch, batch, model.seq);
    if (!out.flush()) throw Error("output", to + " cannot be written", "", ErrorKind::io);
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
    if (argc != 4) {
        std::cerr << "usage: export_training SCENARIO STEPS FILE\n";
        return 2;
    }
    try {
        shardscope::export_training(argv[1], std::atoll(argv[2]), argv[3]);
    } catch (const std::exception& e) {
        std::cerr << "export_training: " << e.what() << '\n';
        return 1;
    }
}
