// Embeddings and losses.
#include "backends/cuda/check/kernel_case.h"

namespace shardscope::cuda {
namespace {

struct EmbeddingShape {
    std::int64_t rows, seq, vocab, hidden;
    int ranks = 1;  // vocabulary-parallel: vocab is each rank's
    std::int64_t position_offset = 0, position_rows = 0;
    double scale = 1.0;
    bool positions = true;
};

void add_embedding(Cases& cases, const EmbeddingShape& s, int rank) {
    const bool parallel = s.ranks > 1;
    const std::int64_t n = s.rows * s.hidden;
    const std::int64_t position_rows = s.position_rows > 0 ? s.position_rows : s.seq;
    const auto tokens = integers(s.rows, s.vocab * s.ranks);
    KernelCase like;
    like.tensor_index = rank;
    const std::string shape = "rows " + std::to_string(s.rows) + ", vocabulary " +
                              std::to_string(s.vocab) + ", hidden " + std::to_string(s.hidden) +
                              (parallel ? ", rank " + std::to_string(rank) : "");
    add_case(cases,
             Embedding{s.rows, s.seq, s.vocab, s.hidden, parallel, s.position_offset, s.scale},
             shape,
             {tokens, normal(s.vocab * s.hidden),
              s.positions ? normal(position_rows * s.hidden) : absent(), written(n)},
             like);
    for (const bool accumulate : {false, true}) {
        const auto gradient = [&](std::int64_t rows) {
            return accumulate ? normal(rows * s.hidden) : written(rows * s.hidden);
        };
        add_case(cases,
                 EmbeddingGrad{s.rows, s.seq, s.vocab, s.hidden, accumulate, accumulate, parallel,
                               s.position_rows, s.position_offset, s.scale},
                 shape + (accumulate ? ", accumulate" : ""),
                 {tokens, normal(n), gradient(s.vocab),
                  s.positions ? gradient(position_rows) : absent()},
                 like);
    }
}

void add_embeddings(Cases& cases) {
    add_embedding(cases, {.rows = 12, .seq = 6, .vocab = 11, .hidden = 24}, 0);
    add_embedding(cases,
                  {.rows = 10,
                   .seq = 5,
                   .vocab = 7,
                   .hidden = 13,
                   .position_offset = 2,
                   .position_rows = 9,
                   .scale = 3.5},
                  0);
    for (const int rank : {0, 1, 2})
        add_embedding(cases,
                      {.rows = 20, .seq = 10, .vocab = 5, .hidden = 16, .ranks = 3, .scale = 2.0},
                      rank);
    add_embedding(cases, {.rows = 1, .seq = 1, .vocab = 3, .hidden = 1, .positions = false}, 0);
    // Lists that a block sorts, and one longer than that.
    add_embedding(cases, {.rows = 150, .seq = 50, .vocab = 2, .hidden = 8}, 0);
    add_embedding(cases, {.rows = 2300, .seq = 2300, .vocab = 1, .hidden = 8, .positions = false},
                  0);
}

void add_losses(Cases& cases) {
    struct Shape {
        std::int64_t rows, classes;
        int displaced;
    };
    for (const auto& [rows, classes, displaced] :
         {Shape{5, 100, 0}, {3, 1003, 0}, {1, 1, 0}, {70, 10, 0}, {4, 33, 1}})
        for (const bool accumulate : {false, true}) {
            KernelCase like;
            like.displaced = displaced;
            add_case(cases, SoftmaxCrossEntropy{rows, classes, 0.125, accumulate},
                     "rows " + std::to_string(rows) + ", classes " + std::to_string(classes) +
                         (accumulate ? ", accumulate" : ""),
                     {normal(rows * classes, 3), integers(rows, classes),
                      accumulate ? normal(1) : written(1)},
                     like);
        }
    // Wider than the shared memory of a block.
    add_case(cases, SoftmaxCrossEntropy{1, 120000, 1.0, false}, "rows 1, classes 120000",
             {normal(120000, 2), integers(1, 120000), written(1)});
}

// Ranks of a group of three; the last has padding, a fourth would have nothing else.
void add_vocabulary_losses(Cases& cases) {
    constexpr std::int64_t kRows = 6, kColumns = 21, kVocab = 50, kAll = kRows * kColumns;
    for (const int rank : {0, 1, 2, 3}) {
        KernelCase like;
        like.tensor_index = rank;
        const std::string shape = "rows 6, columns 21 of 50, rank " + std::to_string(rank);
        const auto targets = integers(kRows, kVocab);
        add_case(cases, VocabularyMax{kRows, kColumns, kVocab}, shape,
                 {normal(kAll, 3), written(kRows)}, like);
        add_case(cases, VocabularySum{kRows, kColumns, kVocab}, shape,
                 {normal(kAll, 2), uniform(kRows, 4, 6), targets, written(2 * kRows)}, like);
        add_case(cases, VocabularyLoss{kRows, kColumns, kVocab, 0.25}, shape,
                 {uniform(kAll, 0, 1), uniform(2 * kRows, 5, 9), targets, normal(1)}, like);
    }
}

}  // namespace

void add_token_cases(Cases& cases) {
    add_embeddings(cases);
    add_losses(cases);
    add_vocabulary_losses(cases);
}

}  // namespace shardscope::cuda
