// Models from Hugging Face's config.json: docs/import.md says which keys are read and how parameters
// are counted.
//
// Every key of a file is accounted for: it shaped the model (`read`), or a note says why it has no
// effect here. What would change the model and is not supported is an Error: "unsupported-model",
// "unsupported-structure". Other rules are yaml_reader.h's, "heads" and "positions".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/model/model.h"
#include "core/model/model_spec.h"
#include "core/yaml_reader.h"

namespace shardscope {

struct HfOptions {
    // Tokens per sample. Empty: as many as the model has positions for, and no more than its sliding
    // window, beyond which its attention would not be the full causal one.
    std::optional<std::int64_t> seq;
};

struct HfImport {
    struct Read {
        std::string key, value;
        bool in_file = true;  // else transformers' default
    };
    struct Note {
        std::string key, text;
    };

    std::string model_type;  // "llama"
    ModelSpec model;         // a TransformerSpec, named as the type
    std::vector<Read> read;
    std::vector<Note> notes;  // in the file's order
};

HfImport import_hf_config(const YamlValue& config, const HfOptions& options);
// A missing file is an Error of ErrorKind::io.
HfImport load_hf_config(const std::string& path, const HfOptions& options);

// Tensors that all blocks have in common count as one part: its shape, how many there are, and their
// parameters together.
struct ParameterPart {
    std::string name;  // "blocks.*.mlp.up.weight"
    std::vector<std::int64_t> shape;
    std::int64_t copies = 0, parameters = 0;
};
std::vector<ParameterPart> parts_of(const Model& model);

// {model_type, parameters, seq, model, parts, read, notes}: docs/import.md.
std::string hf_import_to_json(const HfImport& imported, const Model& model);

}  // namespace shardscope
