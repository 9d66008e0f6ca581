// Optimizer steps and the norm of gradients.
#include "backends/cuda/check/kernel_case.h"

namespace shardscope::cuda {
namespace {

// A learning rate so large that an update which is left out, or made twice, is far beyond the
// tolerance of bf16.
OptimizerSpec spec_of(OptimizerKind kind, double momentum) {
    OptimizerSpec spec;
    spec.kind = kind;
    spec.lr = 0.2;
    spec.weight_decay = 0.1;
    spec.momentum = momentum;
    return spec;
}

void add_step(Cases& cases, std::int64_t n, const OptimizerSpec& spec, double clip, bool master,
              std::int64_t step, int displaced) {
    KernelCase like;
    like.step = step;
    like.displaced = displaced;
    const std::string shape = std::to_string(n) + " elements, " + std::string(name_of(spec.kind)) +
                              (clip > 0 ? ", clip" : "") + (master ? ", master" : "") + ", step " +
                              std::to_string(step) + (displaced ? ", unaligned" : "");
    add_case(cases, OptimizerStep{n, spec, clip, master}, shape,
             {normal(n), clip > 0 ? uniform(1, 5, 50) : absent(), master ? written(n) : normal(n),
              master ? normal(n) : absent(), spec.states() > 0 ? normal(n, 0.1) : absent(),
              spec.states() > 1 ? uniform(n, 0.01, 1) : absent()},
             like);
}

}  // namespace

void add_optimizer_cases(Cases& cases) {
    const OptimizerSpec adamw = spec_of(OptimizerKind::adamw, 0);
    add_step(cases, 1000, adamw, 1.0, true, 0, 0);
    add_step(cases, 1001, adamw, 0.0, false, 9, 0);
    add_step(cases, 37, adamw, 1000.0, true, 1234567, 1);
    add_step(cases, 1, adamw, 0.0, true, 2, 0);
    add_step(cases, 260, spec_of(OptimizerKind::adam, 0), 0.5, true, 3, 0);
    add_step(cases, 517, spec_of(OptimizerKind::lion, 0), 0.5, true, 3, 0);
    add_step(cases, 516, spec_of(OptimizerKind::lion, 0), 0.0, false, 0, 1);
    for (const double momentum : {0.0, 0.9}) {
        add_step(cases, 515, spec_of(OptimizerKind::sgd, momentum), 0.5, true, 0, 0);
        add_step(cases, 515, spec_of(OptimizerKind::sgd, momentum), 0.0, false, 4, 0);
    }

    struct Range {
        std::int64_t first, last;
        int rank;
        bool accumulate;
        int displaced;
    };
    constexpr std::int64_t n = 3001;
    for (const auto& [first, last, rank, accumulate, displaced] : {Range{0, n, 0, false, 0},
                                                                   {5, 2990, 0, true, 0},
                                                                   {2000, 4000, 1, true, 1},
                                                                   {0, 100, 1, false, 0}}) {
        KernelCase like;
        like.data_index = rank;
        like.displaced = displaced;
        add_case(cases,
                 SumSquares{.elements = n,
                            .accumulate = accumulate,
                            .weight = 0.5,
                            .first = first,
                            .last = last,
                            .sharded = rank > 0},
                 std::to_string(n) + " elements, [" + std::to_string(first) + ", " +
                     std::to_string(last) + ") on rank " + std::to_string(rank),
                 {normal(n), accumulate ? uniform(1, 1, 2) : written(1)}, like);
    }
}

}  // namespace shardscope::cuda
