#include "gui/models/density.h"

#include <algorithm>

namespace shardscope::gui {

bool Density::update(const SearchMap& map, const View& view) {
    const bool same = map_ == &map && generation_ == map.generation() && view_ == view;
    if (!same) {
        map_ = &map;
        generation_ = map.generation();
        view_ = view;
        counted_ = 0;
        counts_.assign(static_cast<std::size_t>(view.width) * static_cast<std::size_t>(view.height),
                       0);
        largest_ = 0;
        shown_ = 0;
    }
    const auto positions = map.positions();
    const std::uint64_t before = shown_;
    const auto x_scale =
        static_cast<float>(view.width / std::max(1e-30, view.last_gib - view.first_gib));
    const auto y_scale = static_cast<float>(
        view.height / std::max(1e-30, view.last_throughput - view.first_throughput));
    const auto left = static_cast<float>(view.first_gib);
    const auto top = static_cast<float>(view.last_throughput);
    for (; counted_ < positions.size(); ++counted_) {
        const float x = (positions[counted_].gib - left) * x_scale;
        const float y = (top - positions[counted_].throughput) * y_scale;
        if (!(x >= 0 && y >= 0 && x < static_cast<float>(view.width) &&
              y < static_cast<float>(view.height)))
            continue;
        const auto pixel = static_cast<std::size_t>(y) * static_cast<std::size_t>(view.width) +
                           static_cast<std::size_t>(x);
        largest_ = std::max(largest_, ++counts_[pixel]);
        ++shown_;
    }
    return !same || shown_ != before;
}

std::span<const std::uint32_t> Density::row(int y) const {
    const auto width = static_cast<std::size_t>(view_.width);
    return {counts_.data() + static_cast<std::size_t>(y) * width, width};
}

}  // namespace shardscope::gui
