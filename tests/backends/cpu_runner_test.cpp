// Whole runs on CPU threads: they train, measure what was planned, report, stop and fail cleanly.
// That every strategy trains the same model is tested with the strategies.
#include "backends/cpu/cpu_runner.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/model/initialize.h"
#include "tests/support/training.h"

namespace shardscope {
namespace {

using testing::Contains;
using testing::HasSubstr;

Trace run_on_cpu(const Scenario& scenario, CpuRunnerOptions diagnosis = {},
                 RunOptions options = {}) {
    return CpuRunner(std::move(diagnosis)).run(scenario, test::lower_tiny(scenario), options);
}

// Calls visit(scenario) for models × ranks × ZeRO stages.
template <class Visit>
void for_each_case(Visit visit) {
    for (const ModelSpec& model : test::tiny_models())
        for (const int ranks : {1, 2, 3})
            for (const int zero : {0, 1, 2, 3}) {
                Scenario s = test::tiny_scenario(model, ranks);
                s.training.micro_batch = 24 / ranks / 2;
                s.training.clip = zero % 2 == 0 ? 0.0 : 0.5;
                s.strategies[0].zero = zero;
                s.strategies[0].bucket = Bytes(4000);
                SCOPED_TRACE(test::describe(s, s.strategies[0]));
                visit(s);
            }
}

TEST(CpuRunner, LossFallsAndNormsAreReportedWhenClipping) {
    for_each_case([](const Scenario& s) {
        const Trace trace = run_on_cpu(s);
        ASSERT_EQ(trace.losses.size(), 20u);
        EXPECT_LT(trace.losses.back(), 0.97 * trace.losses.front());
        EXPECT_EQ(trace.gradient_norms.size(), s.training.clip > 0 ? 20u : 0u);
        for (const double norm : trace.gradient_norms) EXPECT_GT(norm, 0);
    });
}

TEST(CpuRunner, PlacedBytesAreThePlannedOnesInEveryCategory) {
    for_each_case([](Scenario s) {
        s.training.steps = 2;
        const Plan plan = test::lower_tiny(s);
        const Trace trace = CpuRunner().run(s, plan, {});
        for (const RankTrace& rank : trace.ranks) {
            const MemoryPlan& memory = plan.memory_of(rank.rank);
            EXPECT_EQ(rank.memory.peak, memory.peak());
            for (std::size_t c = 0; c < kCategories; ++c)
                EXPECT_EQ(rank.memory.categories[c].value, memory.categories[c].value)
                    << category_name(static_cast<Category>(c));
            EXPECT_EQ(rank.memory.peak_phase, memory.peak_phase);
        }
    });
}

TEST(CpuRunnerSlow, MemoryOutsideThePlanIsBounded) {
    for_each_case([](Scenario s) {
        s.training.steps = 5;
        EXPECT_LE(test::memory_of_second_run(s).outside_plan.value, 4 << 20);
    });
}

TEST(CpuRunner, PartsOfAStepSumToItsTimeAndTheWarmUpIsLeftOut) {
    Scenario s = test::tiny_scenario(test::tiny_gpt(), 2);
    s.training.steps = 5;
    const Trace trace = run_on_cpu(s);
    ASSERT_EQ(trace.ranks.size(), 2u);
    for (const RankTrace& rank : trace.ranks) {
        ASSERT_EQ(rank.steps.size(), 4u);
        for (const StepTime& t : rank.steps) {
            EXPECT_GT(t.compute.value, 0);
            EXPECT_GT(t.optimizer.value, 0);
            EXPECT_NEAR(t.wall.value,
                        (t.compute + t.exposed_communication + t.bubble + t.optimizer).value, 1e-9);
            EXPECT_GE(t.bubble.value, 0);
        }
    }
    s.training.steps = 1;
    EXPECT_EQ(run_on_cpu(s).ranks[1].steps.size(), 1u);
}

TEST(CpuRunner, SpansAreInOrderAndOfEveryKind) {
    Scenario s = test::tiny_scenario(test::tiny_gpt(), 2);
    s.training.steps = 2;
    RunOptions options;
    EXPECT_TRUE(run_on_cpu(s).ranks[0].spans.empty());
    options.record_spans = true;
    const Trace trace = run_on_cpu(s, {}, options);
    for (const RankTrace& rank : trace.ranks) {
        int of_kind[3] = {};
        Seconds previous;
        for (const Span& span : rank.spans) {
            ++of_kind[static_cast<int>(span.kind)];
            EXPECT_GE(span.start, previous);
            EXPECT_GE(span.end, span.start);
            EXPECT_LE(span.end, rank.steps.back().wall);
            previous = span.start;
        }
        EXPECT_GT(of_kind[0], 0);
        EXPECT_GT(of_kind[1], 0);
        EXPECT_GT(of_kind[2], 0);
    }
}

TEST(CpuRunner, StopTokenEndsAfterTheCurrentStep) {
    Scenario s = test::tiny_scenario(test::tiny_mlp(), 2);
    std::stop_source source;
    std::vector<std::int64_t> seen;
    RunOptions options;
    options.stop = source.get_token();
    options.on_step = [&](const StepProgress& p) {
        seen.push_back(p.step);
        EXPECT_EQ(p.steps, 20);
        if (p.step == 3) source.request_stop();
    };
    const Trace trace = run_on_cpu(s, {}, options);
    EXPECT_EQ(seen, (std::vector<std::int64_t>{1, 2, 3}));
    EXPECT_EQ(trace.losses.size(), 3u);
    EXPECT_EQ(trace.ranks[0].steps.size(), 2u);
}

TEST(CpuRunner, InspectSeesTheInitialModelOnEveryRank) {
    Scenario s = test::tiny_scenario(test::tiny_llama(), 2);
    s.training.steps = 1;
    s.training.optimizer.lr = 0;  // the weights stay what they were
    s.training.optimizer.weight_decay = 0;
    s.strategies[0].zero = 3;
    const Plan plan = test::lower_tiny(s);
    std::vector<std::atomic<std::int64_t>> seen(plan.model->parameters.size());
    CpuRunnerOptions diagnosis;
    diagnosis.inspect = [&](int, std::int64_t, const RankState& state) {
        for (const ShardSlice& slice : state.slices()) {
            if (slice.tensor != ShardSlice::Tensor::parameter) continue;
            std::vector<double> initial(static_cast<std::size_t>(slice.count));
            initial_values(plan.model->parameters[slice.parameter.index()], s.training.seed,
                           slice.global_first, initial);
            for (double& x : initial) x = static_cast<float>(x);
            EXPECT_EQ(state.read(slice), initial);
            seen[slice.parameter.index()] += slice.count;
        }
    };
    CpuRunner(diagnosis).run(s, plan, {});
    for (std::size_t p = 0; p < seen.size(); ++p)
        EXPECT_EQ(seen[p], plan.model->parameters[p].elements());
}

TEST(CpuRunner, SameSeedGivesTheSameBits) {
    for_each_case([](Scenario s) {
        s.training.steps = 4;
        CpuRunnerOptions slow;
        slow.communication_delay = std::chrono::microseconds(300);
        EXPECT_EQ(run_on_cpu(s).losses, run_on_cpu(s, slow).losses);
    });
}

// The share of rank 0's collectives outside the compute stream during which the compute stream begins a kernel.
double overlapped_share(const Scenario& s, const Plan& plan) {
    CpuRunnerOptions diagnosis;
    // Sleeping takes no core, and is much longer than any kernel here.
    diagnosis.communication_delay = std::chrono::milliseconds(2);
    RunOptions options;
    options.record_spans = true;
    const Trace trace = CpuRunner(diagnosis).run(s, plan, options);
    std::vector<double> kernels;
    for (const Span& span : trace.ranks[0].spans)
        if (span.kind == Span::Kind::compute) kernels.push_back(span.start.value);
    int collectives = 0, overlapped = 0;
    for (const Span& span : trace.ranks[0].spans) {
        if (span.kind != Span::Kind::communication || span.stream == Stream::compute) continue;
        ++collectives;
        overlapped += std::any_of(kernels.begin(), kernels.end(), [&](double start) {
            return start > span.start.value && start < span.end.value;
        });
    }
    EXPECT_GT(collectives, 0);
    return collectives == 0 ? 0 : static_cast<double>(overlapped) / collectives;
}

// A runner that waits for every collective has a share of 0 exactly. With overlap stages 1 and 2 still show
// their gathers of updated weights, half of all collectives, and each stage its last reduction. A loaded
// machine may start the computing thread late, so the best of five attempts counts.
TEST(CpuRunner, CommunicationOverlapsComputation) {
    GptSpec model;
    model.layers = 6;
    model.hidden = 128;
    model.heads = 4;
    model.vocab = 64;
    model.seq = 64;
    for (const int zero : {0, 1, 2, 3}) {
        Scenario s = test::tiny_scenario({"gpt", model}, 2);
        s.training.steps = 2;
        s.strategies[0].zero = zero;
        s.strategies[0].bucket = Bytes(500'000);
        const Plan plan = test::lower_tiny(s);
        double share = 0;
        for (int attempt = 0; attempt < 5 && share < 0.25; ++attempt)
            share = std::max(share, overlapped_share(s, plan));
        EXPECT_GE(share, 0.25) << "zero " << zero;
    }
}

TEST(CpuRunner, AFailingRankEndsAllAndIsNamed) {
    for (const int zero : {0, 3}) {
        Scenario s = test::tiny_scenario(test::tiny_gpt(), 4);
        s.strategies[0].zero = zero;
        CpuRunnerOptions diagnosis;
        diagnosis.inspect = [](int rank, std::int64_t step, const RankState&) {
            if (rank == 2 && step == 1)
                throw Error("test", "went wrong", "nothing", ErrorKind::run_failed);
        };
        try {
            run_on_cpu(s, diagnosis);
            FAIL() << "no error";
        } catch (const Error& e) {
            EXPECT_EQ(e.rule, "test");
            EXPECT_EQ(e.message, "rank 2: went wrong");
        }
    }
}

// What the checks while running find must not depend on the check before it.
CpuRunnerOptions unchecked() {
    CpuRunnerOptions options;
    options.check_program = false;
    return options;
}

// Gives rank 1 of a plan for two ranks a role of its own, a copy, and returns it.
RoleProgram& split_roles(Plan& plan) {
    RoleProgram other = plan.program.roles[0];
    plan.program.roles[0].ranks = {Rank(0)};
    other.ranks = {Rank(1)};
    plan.program.roles.push_back(std::move(other));
    plan.memory.push_back(plan.memory[0]);
    plan.units.push_back(plan.units[0]);
    plan.chunks.push_back(plan.chunks.empty() ? std::vector<LayerRange>() : plan.chunks[0]);
    return plan.program.roles[1];
}

void drop_copies(RoleProgram& role, CopyToHost::What what) {
    for (Body& body : role.bodies)
        std::erase_if(body.instructions, [&](const Instruction& i) {
            const auto* copy = std::get_if<CopyToHost>(&i.operation);
            return copy != nullptr && copy->what == what;
        });
}

// Only some roles know the loss or the norm: whoever has them tells them.
TEST(CpuRunner, ScalarsComeFromTheRolesThatCopyThem) {
    Scenario s = test::tiny_scenario(test::tiny_gpt(), 2);
    s.training.clip = 0.5;
    s.training.steps = 3;
    const Trace whole = run_on_cpu(s);
    std::vector<double> parts(3, 0.0);
    for (const std::size_t silent : {0u, 1u}) {
        Plan plan = test::lower_tiny(s);
        split_roles(plan);
        drop_copies(plan.program.roles[silent], CopyToHost::What::loss);
        drop_copies(plan.program.roles[silent], CopyToHost::What::gradient_norm);
        const Trace trace = CpuRunner().run(s, plan, {});
        EXPECT_EQ(trace.gradient_norms, whole.gradient_norms);
        for (std::size_t i = 0; i < 3; ++i) parts[i] += trace.losses[i];
    }
    for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(parts[i], whole.losses[i], 1e-12);
}

// One rank fails inside a step while the others wait for it in a collective.
TEST(CpuRunner, AProgramThatDiffersBetweenRanksIsAMismatchNotAHang) {
    Scenario s = test::tiny_scenario(test::tiny_mlp(), 2);
    Plan plan = test::lower_tiny(s);
    RoleProgram& other = split_roles(plan);
    bool changed = false;
    for (Body& body : other.bodies)
        for (Instruction& i : body.instructions)
            if (auto* c = std::get_if<Collective>(&i.operation); c != nullptr && !changed) {
                c->elements -= 1;
                changed = true;
            }
    ASSERT_TRUE(changed);
    try {
        CpuRunner(unchecked()).run(s, plan, {});
        FAIL() << "no error";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "collective-mismatch");
        EXPECT_THAT(e.message, HasSubstr("rank "));
    }
}

// Negative control for the account: a plan in which activations share one place.
TEST(CpuRunner, APlanThatOverlapsLiveBuffersIsRefused) {
    const Scenario s = test::tiny_scenario(test::tiny_gpt(), 2);
    Plan plan = test::lower_tiny(s);
    const auto& buffers = plan.program.roles[0].buffers;
    Bytes place(-1);
    for (std::size_t b = 0; b < buffers.size(); ++b) {
        if (buffers[b].residence == Residence::persistent) continue;
        if (place < Bytes(0)) place = plan.memory[0].offset[b];
        if (buffers[b].category == Category::activations) plan.memory[0].offset[b] = place;
    }
    try {
        CpuRunner(unchecked()).run(s, plan, {});
        FAIL() << "no error";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "arena-overlap");
    }
}

TEST(CpuRunner, AnExceptionOfTheCallerEndsTheRun) {
    const Scenario s = test::tiny_scenario(test::tiny_mlp(), 3);
    RunOptions options;
    options.on_step = [](const StepProgress&) { throw std::runtime_error("caller"); };
    EXPECT_THROW(run_on_cpu(s, {}, options), std::runtime_error);
}

TEST(CpuRunner, ALossThatIsNotFiniteIsANote) {
    Scenario s = test::tiny_scenario(test::tiny_gpt(), 2);
    s.training.steps = 3;
    CpuRunnerOptions diagnosis;
    diagnosis.inspect = [](int, std::int64_t step, const RankState& state) {
        const ShardSlice slice = state.slices().front();
        const double nan = std::numeric_limits<double>::quiet_NaN();
        if (step == 0) state.write(slice, std::vector<double>(slice.count, nan));
    };
    const Trace trace = run_on_cpu(s, diagnosis);
    EXPECT_TRUE(std::isfinite(trace.losses[0]));
    EXPECT_FALSE(std::isfinite(trace.losses[1]));
    EXPECT_THAT(trace.notes, Contains("the loss is not finite from step 2 on"));
}

TEST(CpuRunner, GradientsBelowThePrecisionAreRefusedByName) {
    Scenario s = test::tiny_scenario(test::tiny_mlp(), 2);
    s.training.gradient_dtype = DType::bf16;
    try {
        run_on_cpu(s);
        FAIL() << "no error";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "unsupported");
        EXPECT_EQ(e.message, "the cpu backend does not train in fp32 with gradients in bf16");
    }
}

// What only the simulator does is refused by name, not run as something else.
TEST(CpuRunner, RefusesWhatIsOnlySimulated) {
    const auto rule_of = [](const Scenario& scenario) -> std::string {
        try {
            run_on_cpu(scenario);
        } catch (const Error& error) {
            return error.rule;
        }
        return "";
    };
    Scenario s = test::tiny_scenario(test::tiny_models().front(), 2);
    s.strategies[0].profile = RuntimeProfile::megatron;
    EXPECT_EQ(rule_of(s), "simulated-only");
    s.strategies[0].profile = RuntimeProfile::shardscope;
    s.training.math = MathType::tf32;
    EXPECT_EQ(rule_of(s), "simulated-only");
    s.training.math.reset();
    s.training.precision = DType::fp16;
    EXPECT_EQ(rule_of(s), "simulated-only");
    s.training.precision = DType::fp32;
    for (const OptimizerKind kind :
         {OptimizerKind::adam_8bit, OptimizerKind::adafactor, OptimizerKind::muon}) {
        s.training.optimizer.kind = kind;
        EXPECT_EQ(rule_of(s), "simulated-only") << name_of(kind);
    }
    s.training.optimizer = {};
    TransformerSpec spec;
    spec.layers = 2;
    spec.hidden = spec.ffn = spec.vocab = 24;
    spec.heads = 2;
    spec.seq = 8;
    spec.experts = {4, 2, 12};
    s.model = {"experts", spec};
    EXPECT_EQ(rule_of(s), "simulated-only");
    spec.experts = {};
    spec.latent = {8, 0, 4, 4, 4};
    s.model = {"latent attention", spec};
    EXPECT_EQ(rule_of(s), "simulated-only");
    s = test::tiny_scenario(test::tiny_mlp(), 2);
    s.strategies[0].zero = 3;
    s.strategies[0].quantized_weights = true;
    EXPECT_EQ(rule_of(s), "simulated-only");
    s.strategies[0].quantized_weights = false;
    s.strategies[0].offload.optimizer = OffloadTo::cpu;
    EXPECT_EQ(rule_of(s), "offload") << "on CPUs";
    s.cluster = catalogue_cluster("h100-sxm");
    s.cluster.gpus_per_node = 2;
    EXPECT_EQ(rule_of(s), "simulated-only");
}

}  // namespace
}  // namespace shardscope
