#include "core/published_io.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace shardscope {
namespace {

constexpr NumberRange kValue{0, 1e30, true};
constexpr IntegerRange kRank{0, 999'999};

bool is_memory(PublishedQuantity quantity) { return quantity >= PublishedQuantity::model_states; }

std::string read_unit(const YamlMap& map, PublishedQuantity quantity) {
    std::vector<std::string_view> names;
    for (const PublishedUnit& unit : units_of(quantity)) names.push_back(unit.name);
    const auto unit = map.find("unit");
    return std::string(names[unit ? unit->choice(names, "unit") : 0]);
}

std::string read_strategy_name(const YamlMap& map, const std::vector<Strategy>& strategies) {
    const auto name = map.find("strategy");
    if (!name)
        return strategies.size() == 1 ? strategies.front().name : map.require("strategy").name();
    std::vector<std::string_view> names;
    for (const Strategy& strategy : strategies) names.emplace_back(strategy.name);
    return std::string(names[name->choice(names, "strategy")]);
}

PublishedFigure read_figure(const YamlValue& value, const std::vector<Strategy>& strategies) {
    const YamlMap map(value, {"strategy", "quantity", "value", "unit", "rank", "source"});
    PublishedFigure figure;
    figure.strategy = read_strategy_name(map, strategies);
    figure.quantity = static_cast<PublishedQuantity>(
        map.require("quantity").choice(kPublishedQuantities, "quantity"));
    figure.value = map.require("value").number(kValue);
    figure.unit = read_unit(map, figure.quantity);
    if (const auto rank = map.find("rank")) {
        if (!is_memory(figure.quantity))
            rank->fail("published", "only memory is that of one rank", "remove the key");
        figure.rank = Rank(static_cast<std::int32_t>(rank->integer(kRank)));
    }
    figure.source = map.require("source").text();
    return figure;
}

}  // namespace

std::vector<PublishedFigure> read_published(const YamlValue& value,
                                            const std::vector<Strategy>& strategies) {
    std::vector<PublishedFigure> figures;
    for (const YamlValue& item : value.items()) figures.push_back(read_figure(item, strategies));
    return figures;
}

nlohmann::ordered_json published_to_json(const std::vector<PublishedFigure>& figures) {
    auto out = nlohmann::ordered_json::array();
    for (const PublishedFigure& figure : figures) {
        nlohmann::ordered_json json;
        json["strategy"] = figure.strategy;
        json["quantity"] = kPublishedQuantities[static_cast<std::size_t>(figure.quantity)];
        json["value"] = figure.value;
        json["unit"] = figure.unit;
        if (figure.rank) json["rank"] = figure.rank->value;
        json["source"] = figure.source;
        out.push_back(std::move(json));
    }
    return out;
}

}  // namespace shardscope
