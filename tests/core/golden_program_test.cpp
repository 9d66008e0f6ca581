// One golden Program and MemoryPlan per strategy dimension, small enough to be read: a change of
// lowering shows as a difference of text.
#include <gtest/gtest.h>

#include "tests/support/golden.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

struct Case {
    const char* file;
    int ranks = 2, zero = 0;
    std::int64_t micro_batch = 12;
    double clip = 0;
    DType precision = DType::fp32;
    ReduceAt reduce_at = ReduceAt::by_stage;
};

void expect_program(const ModelSpec& model, const Case& c) {
    Scenario s = test::tiny_scenario(model, c.ranks);
    s.training.micro_batch = c.micro_batch;
    s.training.clip = c.clip;
    s.training.precision = c.precision;
    s.strategies[0].zero = c.zero;
    s.strategies[0].bucket = Bytes(3000);
    s.strategies[0].reduce_at = c.reduce_at;
    const Plan plan = test::lower_tiny(s);
    test::expect_golden(c.file, to_text(plan.program) + "\nmemory\n" +
                                    to_text(plan.program.roles[0], plan.memory[0]));
}

TEST(GoldenProgram, Mlp) {
    using enum ReduceAt;
    for (const Case& c :
         {Case{"mlp_one_rank.program", 1, 0, 24}, Case{"mlp_ddp.program"},
          Case{"mlp_ddp_accumulation_clip.program", 2, 0, 4, 1.0},
          Case{"mlp_ddp_reduce_every_micro_batch.program", 2, 0, 6, 0, DType::fp32, micro_batch},
          Case{"mlp_zero1.program", 2, 1}, Case{"mlp_zero2_accumulation.program", 2, 2, 4},
          Case{"mlp_zero3_clip.program", 2, 3, 12, 1.0},
          Case{"mlp_zero3_bf16.program", 2, 3, 12, 0, DType::bf16}})
        expect_program(test::tiny_mlp(), c);
}

TEST(GoldenProgram, Transformers) {
    expect_program(test::tiny_gpt(), {"gpt_one_rank.program", 1, 0, 24});
    expect_program(test::tiny_gpt(), {"gpt_zero3.program", 2, 3});
    expect_program(test::tiny_llama(), {"llama_zero2.program", 2, 2});
}

}  // namespace
}  // namespace shardscope
