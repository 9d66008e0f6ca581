// Indices as types: a buffer's number cannot be passed where a stream's is wanted.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace shardscope {

// An index into a vector that the tag names. Default is "none".
template <class Tag>
struct Id {
    std::int32_t value = -1;

    constexpr Id() = default;
    constexpr explicit Id(std::int32_t v) : value(v) {}
    constexpr explicit Id(std::size_t v) : value(static_cast<std::int32_t>(v)) {}

    constexpr bool valid() const { return value >= 0; }
    constexpr std::size_t index() const { return static_cast<std::size_t>(value); }
    constexpr auto operator<=>(const Id&) const = default;
};

using Rank = Id<struct RankTag>;              // position in the world, 0 … world size − 1
using BufferId = Id<struct BufferTag>;        // RoleProgram::buffers
using BodyId = Id<struct BodyTag>;            // RoleProgram::bodies
using EventId = Id<struct EventTag>;          // 0 … RoleProgram::events − 1
using GroupId = Id<struct GroupTag>;          // Program::groups
using UnitId = Id<struct UnitTag>;            // UnitLayout list of a plan
using ParameterId = Id<struct ParameterTag>;  // Model::parameters

}  // namespace shardscope
