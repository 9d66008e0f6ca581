#include "gui/models/document.h"

#include <gtest/gtest.h>

namespace shardscope::gui {
namespace {
TEST(Document, Opens) {
    Document d({});
    d.open(SHARDSCOPE_SOURCE_DIR "/scenarios/gpt-13b-16-gpus.yaml");
    EXPECT_FALSE(d.modified());
}
}  // namespace
}  // namespace shardscope::gui
