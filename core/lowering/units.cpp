#include "core/lowering/units.h"

#include <algorithm>

#include "core/checked.h"

namespace shardscope {
namespace {

// Lays out layers [first, last] (in forward order) as one unit.
Unit make_unit(const Model& model, std::size_t first, std::size_t last, bool sharded, int dp) {
    Unit unit;
    for (std::size_t l = first; l <= last; ++l) {
        for (ParameterId p : model.layers[l].parameters) {
            unit.entries.push_back({p, unit.elements});
            unit.elements = checked_add(unit.elements, model.parameters[p.index()].elements(),
                                        "a parameter bucket");
        }
    }
    unit.name = model.layers[first].name;
    if (first != last) unit.name += " … " + model.layers[last].name;
    unit.shard = sharded ? round_up((unit.elements + dp - 1) / dp, kShardAlignment) : unit.elements;
    unit.padded = sharded ? checked_mul(unit.shard, dp, "a parameter bucket") : unit.elements;
    return unit;
}

}  // namespace

std::vector<Unit> make_units(const Model& model, const Strategy& strategy, int dp, DType gradient) {
    const bool sharded = strategy.zero >= 1 && dp > 1;
    const std::int64_t enough = strategy.zero == 3 ? 0 : strategy.bucket.value;
    std::vector<Unit> units;
    std::int64_t filled = 0;                // bytes in the open bucket
    std::size_t end = model.layers.size();  // one past the open bucket's last layer
    for (std::size_t l = model.layers.size(); l-- > 0;) {
        std::int64_t bytes = 0;
        for (ParameterId p : model.layers[l].parameters)
            bytes += model.parameters[p.index()].elements() * size_of(gradient);
        filled += bytes;
        if (filled > 0 && (filled >= enough || l == 0)) {
            units.push_back(make_unit(model, l, end - 1, sharded, dp));
            filled = 0;
            end = l;
        } else if (filled == 0) {
            end = l;  // layers without parameters belong to no unit
        }
    }
    std::reverse(units.begin(), units.end());
    return units;
}

std::vector<Place> places_of(const Model& model, const std::vector<Unit>& units) {
    std::vector<Place> places(model.parameters.size());
    for (std::size_t u = 0; u < units.size(); ++u)
        for (const auto& entry : units[u].entries)
            places[entry.parameter.index()] = {UnitId(u), entry.offset};
    return places;
}

}  // namespace shardscope
