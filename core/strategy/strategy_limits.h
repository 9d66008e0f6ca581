// What the keys of a strategy may be, for all who read them from people.
#pragma once

#include <array>
#include <string_view>

#include "core/strategy/strategy.h"
#include "core/yaml_reader.h"

namespace shardscope {

inline constexpr IntegerRange kDegree{1, 1'000'000};
inline constexpr IntegerRange kZero{0, 3};
inline constexpr IntegerRange kPrefetch{0, 10'000};
inline constexpr IntegerRange kBucket{1, std::int64_t{1} << 40};
inline constexpr IntegerRange kVirtualStages{1, 10'000};
inline constexpr IntegerRange kChunkLayers{1, 1'000'000};
inline constexpr IntegerRange kEvery{1, 10'000};
inline constexpr std::size_t kMostStrategies = 1000;

inline constexpr std::array kSchedules = {Schedule::gpipe, Schedule::one_f_one_b,
                                          Schedule::zero_bubble, Schedule::zero_bubble_v};
inline constexpr std::array kContextKinds = {ContextKind::ring, ContextKind::all_gather,
                                             ContextKind::ulysses};
inline constexpr std::array kTensorOverlaps = {TensorOverlap::none, TensorOverlap::gradients,
                                               TensorOverlap::pieces};
inline constexpr std::array kDispatchers = {Dispatcher::all_to_all, Dispatcher::all_gather,
                                            Dispatcher::deepep};
inline constexpr std::array kDispatchPrecisions = {DispatchPrecision::stored,
                                                   DispatchPrecision::fp8};
inline constexpr std::array kOffloadTo = {OffloadTo::none, OffloadTo::cpu, OffloadTo::nvme};
// In the order of Recompute::Kind.
inline constexpr std::array<std::string_view, 3> kRecomputes = {"none", "selective", "full"};

}  // namespace shardscope
