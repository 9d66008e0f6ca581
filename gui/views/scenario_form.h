// What all strategies have in common: the model, the cluster, the batch.
#pragma once

#include <QWidget>

#include "gui/session/session.h"
#include "gui/views/theme.h"

class QComboBox;
class QFormLayout;
class QLabel;
class QSlider;
class QSpinBox;

namespace shardscope::gui {

class ScenarioForm : public QWidget {
    Q_OBJECT

public:
    ScenarioForm(Session& session, QWidget* parent);
    void set_theme(const Theme& theme);
    // What could not be done (a model without a sequence, a file that cannot be read), below the fields.
    void show_problem(const Error& error);

signals:
    void config_wanted();   // a model from a Hugging Face config.json
    void cluster_wanted();  // a cluster from a file

private:
    void show_scenario();
    void show_parameters();
    void add_model(QFormLayout& layout);
    void add_cluster(QFormLayout& layout);
    void add_training(QFormLayout& layout);
    void choose_model(int index);
    void choose_cluster(int index);
    void set_size();
    void set_sequence_length(std::int64_t tokens, const QString& merge);
    // Runs an edit that may throw; shows what it throws.
    void attempt(const std::function<void()>& edit);

    Session& session_;
    Theme theme_ = Theme::light();
    QComboBox *model_, *cluster_, *precision_;
    QSpinBox *nodes_, *per_node_, *sequence_, *global_batch_, *micro_batch_;
    QSlider* slider_;
    QLabel *parameters_, *problem_;
    bool showing_ = false;
};

// The slider's positions: lengths that models are trained with, each a quarter to a half above the last.
std::int64_t sequence_at(int position);
int position_of_sequence(std::int64_t tokens);  // the nearest
constexpr int kSequencePositions = 41;

}  // namespace shardscope::gui
