// Trace files: the text of a small one, and that simulated ones are complete.
#include "core/report/chrome_trace.h"

#include <algorithm>
#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "simulator/event_runner.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using Json = nlohmann::json;

// Two ranks of one role: a kernel, a collective, and a wait for it.
Plan small_plan() {
    Plan plan;
    auto model = std::make_shared<Model>();
    model->layers.resize(1);
    model->layers[0].name = "a \"layer\"\\\n";
    plan.model = model;
    plan.program.groups = {{"dp", 2, 1}};
    RoleProgram& role = plan.program.roles.emplace_back();
    role.name = "all ranks";
    role.ranks = {Rank(0), Rank(1)};
    role.events = 1;
    role.buffers = {{"weights", 1000, DType::fp32, Category::parameters, Residence::persistent},
                    {"temporary", 500, DType::fp32, Category::workspace, Residence::transient}};
    Compute zero;
    zero.kernel = Zero{500};
    zero.operands[0].buffer = BufferId(1);
    Collective reduce;
    reduce.group = GroupId(0);
    reduce.elements = 1000;
    reduce.recv.buffer = BufferId(0);
    role.bodies = {{"forward",
                    {{reduce, Stream::reduce, Phase::forward, -1},
                     {RecordEvent{EventId(0)}, Stream::reduce, Phase::forward, -1},
                     {zero, Stream::compute, Phase::forward, 0},
                     {WaitEvent{EventId(0)}, Stream::compute, Phase::backward, -1}}}};
    role.schedule = {{BodyId(0), 7}};
    return plan;
}

Span span_of(Span::Kind kind, Stream stream, int instruction, double start, double end) {
    Span span;
    span.kind = kind;
    span.stream = stream;
    span.instruction = instruction;
    span.start = Seconds(start);
    span.end = Seconds(end);
    span.layer = instruction == 2 ? 0 : -1;
    span.phase = instruction == 3 ? Phase::backward : Phase::forward;
    span.micro_batch = 7;
    span.body = BodyId(0);
    return span;
}

Trace small_trace() {
    Trace trace;
    RankTrace& rank = trace.ranks.emplace_back();
    rank.rank = Rank(0);
    rank.multiplicity = 2;
    rank.spans = {span_of(Span::Kind::communication, Stream::reduce, 0, 0, 3.0000005e-3),
                  span_of(Span::Kind::compute, Stream::compute, 2, 0, 1e-6),
                  span_of(Span::Kind::wait, Stream::compute, 3, 1e-6, 3.0000005e-3)};
    return trace;
}

const char* const kSmallTrace =
    R"json({"displayTimeUnit":"ms","traceEvents":[
{"ph":"M","name":"process_name","pid":1,"tid":16,"args":{"name":"simulated rank 0 (stands for 2 ranks)"}},
{"ph":"M","name":"process_sort_index","pid":1,"tid":16,"args":{"sort_index":1}},
{"ph":"M","name":"thread_name","pid":1,"tid":16,"args":{"name":"compute"}},
{"ph":"M","name":"thread_sort_index","pid":1,"tid":16,"args":{"sort_index":0}},
{"ph":"M","name":"thread_name","pid":1,"tid":18,"args":{"name":"reduce"}},
{"ph":"M","name":"thread_sort_index","pid":1,"tid":18,"args":{"sort_index":2}},
{"ph":"X","name":"all_reduce over dp","args":{"bytes":4000,"phase":"forward","body":"forward","micro-batch":7},"pid":1,"tid":18,"ts":0.000,"dur":3000.001},
{"ph":"X","name":"zero","args":{"flops":0,"bytes":2000,"layer":"a \"layer\"\\\u000a","phase":"forward","body":"forward","micro-batch":7},"pid":1,"tid":16,"ts":0.000,"dur":1.000},
{"ph":"X","name":"wait for reduce","args":{"phase":"backward","body":"forward","micro-batch":7},"pid":1,"tid":16,"ts":1.000,"dur":2999.001},
{"ph":"C","name":"planned memory","pid":1,"ts":0.000,"args":{"bytes":6000}},
{"ph":"C","name":"planned memory","pid":1,"ts":1.000,"args":{"bytes":4000}}
]}
)json";

TEST(ChromeTrace, HasOneLinePerEvent) {
    const Plan plan = small_plan();
    const Trace trace = small_trace();
    const TracePart part{"simulated", &trace};
    EXPECT_EQ(chrome_trace(plan, {&part, 1}), kSmallTrace);
}

TEST(ChromeTrace, IsValidWithoutAnySpan) {
    const Plan plan = small_plan();
    Trace trace;
    const TracePart part{"", &trace};
    EXPECT_TRUE(Json::parse(chrome_trace(plan, {&part, 1}))["traceEvents"].empty());
    trace.ranks.emplace_back().rank = Rank(1);
    const Json events = Json::parse(chrome_trace(plan, {&part, 1}))["traceEvents"];
    EXPECT_EQ(events[0]["args"]["name"], "rank 1");
}

Scenario hybrid_scenario(Schedule schedule, int zero) {
    Scenario scenario = test::tiny_scenario(test::tiny_gpt(), 8);
    scenario.training.micro_batch = 1;
    scenario.cluster.device.peak[MathType::fp32] = FlopsPerSecond(1e12);
    scenario.cluster.device.memory_bandwidth = BytesPerSecond(1e11);
    scenario.cluster.intra_node.bandwidth = BytesPerSecond(1e10);
    Strategy& strategy = scenario.strategies[0];
    strategy.tp = 2;
    strategy.pp = 2;
    strategy.zero = zero;
    strategy.schedule = schedule;
    return scenario;
}

void check_events(const Json& events, const Plan& plan, const Trace& trace) {
    std::size_t complete = 0, processes = 0;
    std::map<int, std::int64_t> largest;  // by process: live bytes
    std::map<int, double> end_of_last;    // by thread
    for (const Json& event : events) {
        const std::string kind = event["ph"];
        if (event["name"] == "process_name") ++processes;
        if (kind == "C") {
            std::int64_t& most = largest[event["pid"]];
            most = std::max(most, event["args"]["bytes"].get<std::int64_t>());
        }
        if (kind != "X") continue;
        ++complete;
        double& last = end_of_last[event["tid"]];
        const double start = event["ts"];
        EXPECT_GE(start, last - 1e-6) << event;
        last = start + event["dur"].get<double>();
    }
    std::size_t spans = 0;
    for (const RankTrace& rank : trace.ranks) spans += rank.spans.size();
    EXPECT_EQ(complete, spans);
    EXPECT_EQ(processes, trace.ranks.size());
    for (std::size_t role = 0; role < plan.memory.size(); ++role)
        EXPECT_EQ(largest[static_cast<int>(role) + 1], plan.memory[role].live_peak.value);
}

TEST(ChromeTrace, ShowsEverySpanAndTheMemoryPeak) {
    for (const Schedule schedule :
         {Schedule::gpipe, Schedule::one_f_one_b, Schedule::zero_bubble}) {
        for (const int zero : {0, 3}) {
            const Scenario scenario = hybrid_scenario(schedule, zero);
            SCOPED_TRACE(test::describe(scenario, scenario.strategies[0]));
            const Plan plan = test::lower_tiny(scenario);
            RunOptions options;
            options.record_spans = true;
            const Trace trace = EventRunner().run(scenario, plan, options);
            const TracePart part{"simulated", &trace};
            const Json file = Json::parse(chrome_trace(plan, {&part, 1}));
            check_events(file["traceEvents"], plan, trace);
            EXPECT_EQ(file["traceEvents"][0]["args"]["name"],
                      "simulated rank 0 (stage 0, stands for 4 ranks)");
        }
    }
}

}  // namespace
}  // namespace shardscope
