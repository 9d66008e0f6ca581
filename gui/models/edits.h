// What the forms and menus do to a document, each one step of its history. Files are read first: what
// throws (Error, as the command line prints it) leaves the document as it was.
#pragma once

#include <QStringList>

#include "gui/models/document.h"

namespace shardscope::gui {

// The names of the catalogues, in their order.
QStringList catalogue_models();
QStringList catalogue_clusters();
// The name under which the catalogue has this model, whatever its sequence length; empty: none does.
QString catalogue_name_of(const ModelSpec& model);
// Whatever its size; empty: none. "this machine" is in no catalogue.
QString catalogue_name_of(const Cluster& cluster);

// From the catalogue; keeps nothing of the model before.
void set_model(Document& document, const QString& catalogue_name);
// From a Hugging Face config.json.
void open_model_config(Document& document, const QString& path);

std::int64_t sequence_of(const ModelSpec& model);  // tokens per sample; 0: it has no sequence
// Edits in a row with the same `merge` are one step. Throws "sequence" for a model without one.
void set_sequence(Document& document, std::int64_t tokens, const QString& merge = {});

// From the catalogue, of that size.
void set_cluster(Document& document, const QString& catalogue_name, int nodes, int gpus_per_node);
// The size of the cluster that there is; of this machine, `nodes` must be 1 and the ranks share its memory.
void set_cluster_size(Document& document, int nodes, int gpus_per_node);
void set_this_machine(Document& document, int ranks, int threads = 1);
void open_cluster(Document& document, const QString& path);

void set_global_batch(Document& document, std::int64_t samples, const QString& merge = {});
void set_micro_batch(Document& document, std::int64_t samples);  // 0: auto
void set_precision(Document& document, MathType precision);

// Adds a strategy from a DeepSpeed JSON file (core/deepspeed/strategy_import.h): what the file says of
// batch, optimizer and precision must agree with the scenario ("disagree"), where that is no default.
void add_deepspeed(Document& document, const QString& path);

enum class FileKind { scenario, cluster, report, hf_config, deepspeed, unknown };
// By what a file contains. Throws Error where it cannot be read or is no YAML or JSON.
FileKind file_kind(const QString& path);
// Opens a file as what it is, except for a report (false: that is for the caller). Throws Error
// "file-kind" for a file that is none of these.
bool open_file(Document& document, const QString& path);

}  // namespace shardscope::gui
