#include "core/data/corpus.h"

#include <fmt/format.h>

namespace shardscope {

void expect_corpus_length(const std::string& path, std::uint64_t count, const Model& model) {
    const auto needed = static_cast<std::uint64_t>(model.seq) + 1;
    if (count >= needed) return;
    if (count == 0) throw data_error("corpus", path, "is empty", "name a file with text or tokens");
    throw data_error("corpus", path,
                     fmt::format("has {} tokens, but one sample needs seq + 1 = {}", count, needed),
                     "use a longer file or a smaller seq");
}

Error token_range_error(const std::string& path, const std::string& what, std::uint64_t position,
                        std::uint64_t value, std::uint64_t largest, std::int64_t vocab) {
    return data_error("token-range", path,
                      fmt::format("{} {} at position {} is not below the vocabulary of {}", what,
                                  value, position, vocab),
                      fmt::format("use vocab {} or more", largest + 1));
}

}  // namespace shardscope
