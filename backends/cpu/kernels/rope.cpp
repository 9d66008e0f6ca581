// Rotary positions. Angles are made in double: exact at every kBlock-th position, turned on by one
// position in between, because sines cost more than the rotation itself.
#include <algorithm>

#include "backends/arithmetic/rotation.h"
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

constexpr std::int64_t kPairs = 128;  // pairs handled at a time, bounds the tables below
constexpr std::int64_t kBlock = 16;

// Cosines and sines of the angles of a range of pairs at one position.
struct Angles {
    double cosine[kPairs];
    double sine[kPairs];
};

// Turns the pairs (first[i], second[i]) by the angles.
template <class T>
SHARDSCOPE_INLINE void rotate(const Angles& angles, std::int64_t pairs, T* first, T* second) {
    using R = Real<T>;
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = 0; i < pairs; ++i) {
        const R c = static_cast<R>(angles.cosine[i]), s = static_cast<R>(angles.sine[i]);
        const Pair<R> turned = rotated<R>(first[i], second[i], c, s);
        first[i] = turned.first;
        second[i] = turned.second;
    }
}

struct Range {
    std::int64_t first = 0, count = 0;  // pairs
};

template <class T>
SHARDSCOPE_CLONES void rotate_position(const Rope& k, Range range, const Angles& angles,
                                       std::int64_t position, T* qkv) {
    const std::int64_t stride = (k.heads + 2 * k.kv_heads) * k.head_dim;
    for (std::int64_t row = position; row < k.rows; row += k.seq)
        for (std::int64_t head = 0; head < k.heads + k.kv_heads; ++head) {
            T* first = qkv + row * stride + head * k.head_dim + range.first;
            rotate(angles, range.count, first, first + k.turned() / 2);
        }
}

// `to` = the angles times `position`.
void set(const Rope& k, Range range, double position, Angles& to) {
    for (std::int64_t i = 0; i < range.count; ++i) {
        const double exponent =
            -2.0 * static_cast<double>(range.first + i) / static_cast<double>(k.turned());
        const double frequency = scaled_frequency(k.scaling, std::pow(k.theta, exponent));
        const double angle = (k.inverse ? -position : position) * frequency;
        to.cosine[i] = std::cos(angle);
        to.sine[i] = std::sin(angle);
    }
}

}  // namespace

template <class T>
void run(const Rope& k, const Addresses& at, Team& team) {
    Angles one;
    const std::int64_t pairs = k.turned() / 2;
    for (std::int64_t first = 0; first < pairs; first += kPairs) {
        const Range range{first, std::min(kPairs, pairs - first)};
        set(k, range, 1.0, one);
        team.divide(std::min(k.seq, k.rows), kBlock, [&](const Share& block) {
            Angles here;
            set(k, range, static_cast<double>(block.first), here);
            for (std::int64_t position = block.first; position < block.last; ++position) {
                if (position > block.first) rotate(one, range.count, here.cosine, here.sine);
                rotate_position(k, range, here, position, as<T>(at[0]));
            }
        });
    }
}

SHARDSCOPE_INSTANTIATE(Rope);

}  // namespace shardscope::cpu
