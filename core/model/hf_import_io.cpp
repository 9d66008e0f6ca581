// The JSON half of hf_import.h.
#include <nlohmann/json.hpp>

#include "core/model/hf_import.h"
#include "core/model/model_io.h"

namespace shardscope {

std::string hf_import_to_json(const HfImport& imported, const Model& model) {
    using Json = nlohmann::ordered_json;
    Json out = {{"model_type", imported.model_type},
                {"parameters", model.parameter_count()},
                {"seq", model.seq}};
    if (model.has_experts()) out["active_parameters"] = model.active_parameter_count();
    out["model"] = model_to_json(imported.model);
    for (const char* list : {"parts", "read", "notes"}) out[list] = Json::array();
    for (const ParameterPart& part : parts_of(model))
        out["parts"].push_back({{"name", part.name},
                                {"shape", part.shape},
                                {"copies", part.copies},
                                {"parameters", part.parameters}});
    for (const HfImport::Read& read : imported.read)
        out["read"].push_back({{"key", read.key},
                               {"value", read.value},
                               {"from", read.in_file ? "file" : "default"}});
    for (const HfImport::Note& note : imported.notes)
        out["notes"].push_back({{"key", note.key}, {"note", note.text}});
    return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace shardscope
