// Which spans a step has, known before it runs.
#include "backends/span_log.h"

#include <gtest/gtest.h>

#include "tests/support/hand_made.h"

namespace shardscope {
namespace {

using namespace std::chrono_literals;
using test::HandMade;

// Waits for the transfers of a pipeline are told apart by the stream that records their event, also
// in another body and before the recording.
TEST(SpanLog, WaitsForOtherStagesAreBubble) {
    HandMade p;
    p.role().events = 2;
    p.body("first").wait(EventId(0), Stream::compute).wait(EventId(1), Stream::compute);
    p.body("second").record(EventId(0), Stream::gradients_in).record(EventId(1), Stream::gather);
    p.role().schedule = {{BodyId(0), 0}, {BodyId(1), 0}};
    SpanLog log(p.role());
    const SpanLog::Clock::time_point start{};
    log.begin_step(start);
    log.add(Stream::compute, Span::Kind::wait, start, start + 2ms);
    log.add(Stream::compute, Span::Kind::wait, start + 2ms, start + 5ms);
    const std::vector<Span>& spans = log.finish_step();
    ASSERT_EQ(spans.size(), 2u);
    EXPECT_EQ(spans[0].kind, Span::Kind::pipeline_wait);
    EXPECT_EQ(spans[1].kind, Span::Kind::wait);
    const StepTime time = cut(spans, Seconds(0.006));
    EXPECT_NEAR(time.exposed_communication.value, 0.003, 1e-12);
    EXPECT_NEAR(time.bubble.value, 0.003, 1e-12);
}

}  // namespace
}  // namespace shardscope
