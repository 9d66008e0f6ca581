#include "core/model/model_source.h"

#include "core/model/model_io.h"

namespace shardscope {

ModelSpec catalogue_model(const std::string& name) {
    return read_model(YamlValue::parse(name, name), "");
}

std::int64_t* sequence_length(ModelSpec& model) {
    return std::visit(
        [](auto& kind) -> std::int64_t* {
            if constexpr (requires { kind.seq; })
                return &kind.seq;
            else
                return nullptr;
        },
        model.kind);
}

const std::int64_t* sequence_length(const ModelSpec& model) {
    return std::visit(
        [](const auto& kind) -> const std::int64_t* {
            if constexpr (requires { kind.seq; })
                return &kind.seq;
            else
                return nullptr;
        },
        model.kind);
}

}  // namespace shardscope
