#include "cli/progress.h"

#include <cmath>

#include <fmt/format.h>

namespace shardscope {

std::string duration_text(Seconds time) {
    const auto seconds = static_cast<std::int64_t>(std::ceil(std::max(0.0, time.value)));
    if (seconds < 100) return fmt::format("{} s", seconds);
    if (seconds < 6000) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
    return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
}

std::string remaining_text(Seconds elapsed, double fraction) {
    constexpr double kEnoughToTell = 0.02;
    if (!(fraction >= kEnoughToTell)) return "";
    return duration_text(elapsed * ((1 - fraction) / fraction)) + " left";
}

void Progress::update(const std::string& text) {
    using namespace std::chrono_literals;
    const auto now = std::chrono::steady_clock::now();
    if (!environment_.interactive || (visible_ && now - drawn_ < 100ms)) return;
    environment_.err << "\r\033[K" << text << std::flush;
    drawn_ = now;
    visible_ = true;
}

void Progress::done(const std::string& text) {
    if (environment_.interactive) note(text);
}

void Progress::note(const std::string& text) {
    clear();
    environment_.err << text << std::endl;
}

void Progress::clear() {
    if (visible_) environment_.err << "\r\033[K" << std::flush;
    visible_ = false;
}

}  // namespace shardscope
