// How many points of a search fall on each pixel of a chart.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gui/models/search_map.h"

namespace shardscope::gui {

class Density {
public:
    // What part of the chart is shown, and by how many pixels. Rows count from the highest throughput
    // down, as pixels do.
    struct View {
        double first_gib = 0, last_gib = 1;
        double first_throughput = 0, last_throughput = 1;
        int width = 0, height = 0;
        bool operator==(const View&) const = default;
    };

    // Counts what the map has new, or all of it where the view or the map is another one. Returns
    // whether a count has changed.
    bool update(const SearchMap& map, const View& view);

    const View& view() const { return view_; }
    std::span<const std::uint32_t> row(int y) const;  // of `width` counts
    std::uint32_t largest() const { return largest_; }
    std::uint64_t shown() const { return shown_; }  // points in the view

private:
    View view_;
    const SearchMap* map_ = nullptr;
    std::uint64_t generation_ = 0;
    std::size_t counted_ = 0;  // points of the map
    std::vector<std::uint32_t> counts_;
    std::uint32_t largest_ = 0;
    std::uint64_t shown_ = 0;
};

}  // namespace shardscope::gui
