#include "core/data/corpus.h"

namespace shardscope {

std::unique_ptr<DataSource> open_text(const TextData& data, const Model& model,
                                      std::uint64_t seed) {
    return std::make_unique<Corpus<std::uint8_t>>(read_file(data.path), data.path, "byte", model,
                                                  seed);
}

}  // namespace shardscope
