#include <gtest/gtest.h>

#include "tests/gui/support/application.h"

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    const shardscope::gui::test::OffscreenApplication application(argc, argv);
    return RUN_ALL_TESTS();
}
