#include "gui/models/edits.h"

#include <QDir>
#include <QFile>
#include <QTemporaryDir>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/yaml_reader.h"

namespace shardscope::gui {
namespace {

const QString kSource = SHARDSCOPE_SOURCE_DIR "/";

class Edits : public testing::Test {
protected:
    Edits() { document_.open(kSource + "scenarios/gpt-13b-16-gpus.yaml"); }
    const Scenario& scenario() const { return document_.scenario(); }
    QString file(const QString& name, const char* text) const {
        QFile file(folder_.filePath(name));
        EXPECT_TRUE(file.open(QIODevice::WriteOnly));
        file.write(text);
        return file.fileName();
    }
    // The rule of what the edit throws; the document is then as it was.
    std::string refused(const std::function<void()>& edit) const {
        const Scenario before = scenario();
        try {
            edit();
        } catch (const Error& error) {
            EXPECT_EQ(scenario(), before);
            EXPECT_FALSE(error.fix.empty());
            return error.rule;
        }
        return "done";
    }

    QTemporaryDir folder_;
    Document document_{{}};
};

TEST_F(Edits, ModelsAreOfTheCatalogueWhateverTheirLength) {
    for (const QString& name : catalogue_models()) {
        set_model(document_, name);
        EXPECT_EQ(catalogue_name_of(scenario().model), name);
        if (sequence_of(scenario().model) == 0) {
            EXPECT_EQ(refused([&] { set_sequence(document_, 128); }), "sequence");
            continue;
        }
        set_sequence(document_, 128);
        EXPECT_EQ(sequence_of(scenario().model), 128);
        EXPECT_EQ(catalogue_name_of(scenario().model), name);
        document_.undo();
    }
    EXPECT_EQ(refused([&] { set_model(document_, "gpt5"); }), "unknown-name");
}

TEST_F(Edits, ClustersHaveTheirSize) {
    set_cluster(document_, "h100-sxm", 3, 4);
    EXPECT_EQ(scenario().cluster.world_size(), 12);
    EXPECT_EQ(catalogue_name_of(scenario().cluster), "h100-sxm");
    set_cluster_size(document_, 2, 8);
    EXPECT_EQ(scenario().cluster.world_size(), 16);
    EXPECT_EQ(catalogue_name_of(scenario().cluster), "h100-sxm");
    EXPECT_EQ(refused([&] { set_cluster_size(document_, 0, 8); }), "range");
    EXPECT_EQ(refused([&] { set_cluster_size(document_, 1'000'000, 4096); }), "range");
    EXPECT_EQ(refused([&] { set_cluster(document_, "h1000", 1, 1); }), "unknown-name");
    set_this_machine(document_, 4);
    EXPECT_TRUE(scenario().cluster.this_machine);
    EXPECT_EQ(catalogue_name_of(scenario().cluster), "");
    EXPECT_EQ(refused([&] { set_cluster_size(document_, 2, 4); }), "range");
    set_cluster_size(document_, 1, 2);
    EXPECT_EQ(scenario().cluster.world_size(), 2);
    open_cluster(document_, kSource + "scenarios/clusters/h200.yaml");
    EXPECT_EQ(scenario().cluster.device.name, "NVIDIA H200 SXM");
}

TEST_F(Edits, TrainingIsOneStepEach) {
    const Scenario before = scenario();
    set_global_batch(document_, 32);
    set_micro_batch(document_, 2);
    set_precision(document_, MathType::fp32);
    EXPECT_EQ(scenario().training.global_batch, 32);
    EXPECT_EQ(scenario().training.micro_batch, 2);
    EXPECT_EQ(scenario().training.precision, DType::fp32);
    // The result can be saved: gradients go with the precision.
    EXPECT_NE(scenario().training.gradient_dtype, DType::bf16);
    for (int i = 0; i < 3; ++i) document_.undo();
    EXPECT_EQ(scenario(), before);
    EXPECT_EQ(refused([&] { set_global_batch(document_, 0); }), "range");
    EXPECT_EQ(refused([&] { set_micro_batch(document_, -1); }), "range");
}

TEST_F(Edits, ADeepSpeedFileBecomesAStrategy) {
    const QString path = kSource + "scenarios/tutorial/ds_zero2.json";
    document_.open(kSource + "scenarios/gpt2-h100.yaml");
    const Scenario before = scenario();
    const QString small =
        file("mine.json",
             "{\n  // as people write it\n  \"zero_optimization\": {\"stage\": 2},\n"
             "  \"bf16\": {\"enabled\": true},\n  \"gradient_clipping\": 1.0,\n"
             "  \"train_micro_batch_size_per_gpu\": 8,\n}\n");
    EXPECT_EQ(file_kind(small), FileKind::deepspeed);
    EXPECT_EQ(file_kind(path), FileKind::deepspeed);
    EXPECT_TRUE(open_file(document_, small));
    EXPECT_EQ(scenario().training, before.training);
    ASSERT_EQ(scenario().strategies.size(), before.strategies.size() + 1);
    EXPECT_EQ(scenario().strategies.back().name, "mine");
    EXPECT_EQ(scenario().strategies.back().zero, 2);
    EXPECT_EQ(scenario().strategies.back().micro_batch, 8);
    add_deepspeed(document_, small);
    EXPECT_EQ(scenario().strategies.back().name, "mine (2)");
    const QString other =
        file("other.json", "{\"train_batch_size\": 1000, \"bf16\": {\"enabled\": true}}");
    EXPECT_EQ(refused([&] { add_deepspeed(document_, other); }), "disagree");
    const QString wrong = file("wrong.json", "{\"zero_optimization\": {\"stagee\": 2}}");
    EXPECT_EQ(refused([&] { open_file(document_, wrong); }), "unknown-key");
}

// What the scenario has at its default the file may set, as in a scenario that does not say it.
TEST_F(Edits, ADeepSpeedFileMaySetWhatIsDefault) {
    document_.open_text(
        "model: gpt2-124m\ntraining: {global_batch: 64}\ncluster: h100-sxm\nstrategies: [ddp]\n",
        "s.yaml", false);
    const QString path =
        file("ds.json", "{\"bf16\": {\"enabled\": true}, \"zero_optimization\": {\"stage\": 1}}");
    add_deepspeed(document_, path);
    EXPECT_EQ(scenario().training.precision, DType::bf16);
    EXPECT_EQ(scenario().training.global_batch, 64);
    EXPECT_EQ(scenario().strategies.back().zero, 1);
    document_.undo();
    EXPECT_EQ(scenario().training.precision, DType::fp32);
}

TEST_F(Edits, AFileIsWhatItContains) {
    EXPECT_EQ(file_kind(kSource + "scenarios/mlp.yaml"), FileKind::scenario);
    EXPECT_EQ(file_kind(kSource + "scenarios/clusters/h200.yaml"), FileKind::cluster);
    EXPECT_EQ(file_kind(file("config.json", "{\"model_type\": \"llama\"}")), FileKind::hf_config);
    EXPECT_EQ(file_kind(file("report.json", "{\"schema_version\": 1, \"scenario\": {}}")),
              FileKind::report);
    EXPECT_EQ(file_kind(file("list.json", "[1, 2]")), FileKind::unknown);
    EXPECT_FALSE(open_file(document_, folder_.filePath("report.json")));
    EXPECT_EQ(refused([&] { open_file(document_, folder_.filePath("list.json")); }), "file-kind");
    EXPECT_EQ(refused([&] { open_file(document_, "/nowhere"); }), "file");
    EXPECT_EQ(refused([&] { open_file(document_, file("broken.json", "{\"a\": [1,")); }), "yaml");
    EXPECT_EQ(refused([&] { open_file(document_, folder_.path()); }), "file");
}

TEST_F(Edits, AModelComesFromAConfigFile) {
    const QString path = kSource + "tests/data/hf/" +
                         QDir(kSource + "tests/data/hf").entryList({"*llama*"}).value(0);
    open_model_config(document_, path.endsWith(".json") ? path : path + "/config.json");
    EXPECT_TRUE(std::holds_alternative<TransformerSpec>(scenario().model.kind));
    EXPECT_EQ(document_.undo_name(), "open model");
    set_sequence(document_, 64);
    EXPECT_EQ(sequence_of(scenario().model), 64);
}

}  // namespace
}  // namespace shardscope::gui
