#include "tests/support/tiny.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/scenario_io.h"

namespace shardscope::test {

ModelSpec tiny_mlp() {
    using Item = LayerListSpec::Item;
    using Kind = LayerListSpec::Kind;
    return {"mlp", LayerListSpec{{Item{Kind::linear, 20, 32, true}, Item{Kind::gelu, 0, 0, true},
                                  Item{Kind::linear, 32, 17, true}, Item{Kind::relu, 0, 0, true},
                                  Item{Kind::linear, 17, 7, true}}}};
}

ModelSpec tiny_gpt() {
    GptSpec spec;
    spec.layers = 3;
    spec.hidden = 24;
    spec.heads = 4;
    spec.vocab = 50;
    spec.seq = 16;
    return {"gpt", spec};
}

ModelSpec tiny_llama() {
    LlamaSpec spec;
    spec.layers = 3;
    spec.hidden = 24;
    spec.heads = 4;
    spec.kv_heads = 2;
    spec.ffn = 36;
    spec.vocab = 50;
    spec.seq = 16;
    return {"llama", spec};
}

TransformerSpec tiny_transformer() {
    TransformerSpec spec;
    spec.layers = 3;
    spec.hidden = 24;
    spec.heads = 4;
    spec.kv_heads = 2;
    spec.ffn = 36;
    spec.vocab = 50;
    spec.seq = 16;
    return spec;
}

ModelSpec deep_gpt() {
    ModelSpec spec = tiny_gpt();
    spec.name = "deep gpt";
    std::get<GptSpec>(spec.kind).layers = 6;
    return spec;
}

ModelSpec deep_llama() {
    ModelSpec spec = tiny_llama();
    spec.name = "deep llama";
    std::get<LlamaSpec>(spec.kind).layers = 6;
    return spec;
}

std::vector<ModelSpec> tiny_models() { return {tiny_mlp(), tiny_gpt(), tiny_llama()}; }

Scenario tiny_scenario(const ModelSpec& model, int ranks) {
    Scenario s;
    s.name = "tiny " + model.name;
    s.model = model;
    s.data = SyntheticData{};
    s.training.global_batch = 24;
    s.training.micro_batch = 24 / ranks;
    s.training.steps = 20;
    s.training.optimizer.lr = 3e-3;
    s.training.optimizer.weight_decay = 0.01;
    s.cluster.name = "this machine";
    s.cluster.this_machine = true;
    s.cluster.device.kind = DeviceKind::cpu;
    s.cluster.device.memory = Bytes(std::int64_t{1} << 30);
    s.cluster.cores = 2;
    s.cluster.gpus_per_node = ranks;
    Strategy ddp;
    ddp.name = "ddp";
    s.strategies.push_back(ddp);
    return s;
}

Plan lower_tiny(const Scenario& scenario, std::size_t index) {
    const auto model = std::make_shared<const Model>(build_model(scenario.model));
    return lower(scenario, model, scenario.strategies.at(index),
                 ExecutionTarget::of(scenario.cluster.device));
}

std::string refusal_of(const std::string& scenario) {
    try {
        const Scenario s = parse_scenario(scenario, "test.yaml", {});
        lower(s, std::make_shared<const Model>(build_model(s.model)), s.strategies[0], {});
    } catch (const Error& e) {
        EXPECT_EQ(e.exit_code(), 3);
        return e.what();
    }
    return "no error";
}

std::int64_t saved_by_a_block(const Plan& plan) {
    const RoleProgram& role = plan.program.roles[0];
    const auto lives = lifetimes(role);
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < role.buffers.size(); ++i) {
        const std::string& name = role.buffers[i].name;
        const bool mine = name.starts_with("blocks.1.") && name != "blocks.1.output";
        if ((mine || name == "blocks.0.output") && lives[i].carried)
            sum += role.buffers[i].size().value;
    }
    return sum;
}

std::string describe(const Scenario& scenario, const Strategy& strategy) {
    const Layout layout = layout_for(scenario, strategy);
    const char* recompute[] = {"none", "selective", "full"};
    return fmt::format(
        "{} tp{}{} pp{} {} v{} dp{} zero{} {} × {} samples prefetch {} bucket {} recompute {} "
        "every {} "
        "attention {} clip {} {}",
        scenario.model.name, layout.tp, strategy.sequence_parallel ? " sp" : "", layout.pp,
        schedule_name(strategy.schedule), strategy.virtual_stages, layout.dp, strategy.zero,
        layout.micro_batches, layout.micro_batch, strategy.prefetch, bucket_size(strategy).value,
        recompute[static_cast<int>(strategy.recompute.kind)], strategy.recompute.every,
        static_cast<int>(strategy.attention), scenario.training.clip,
        name_of(scenario.training.precision));
}

}  // namespace shardscope::test
