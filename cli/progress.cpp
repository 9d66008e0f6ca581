#include "cli/progress.h"

namespace shardscope {

void Progress::update(const std::string& text) {
    using namespace std::chrono_literals;
    const auto now = std::chrono::steady_clock::now();
    if (!environment_.interactive || (visible_ && now - drawn_ < 100ms)) return;
    environment_.err << "\r\033[K" << text << std::flush;
    drawn_ = now;
    visible_ = true;
}

void Progress::done(const std::string& text) {
    clear();
    environment_.err << text << std::endl;
}

void Progress::clear() {
    if (visible_) environment_.err << "\r\033[K" << std::flush;
    visible_ = false;
}

}  // namespace shardscope
