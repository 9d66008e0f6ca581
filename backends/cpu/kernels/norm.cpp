// LayerNorm and RMSNorm, a row at a time.
#include "backends/cpu/kernels/column_sums.h"
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

// What forward saves of a row; the mean is 0 for rms_norm.
template <class R>
struct RowStats {
    R mean = 0;
    R inverse = 0;  // 1/σ or 1/rms
};

template <class R>
SHARDSCOPE_INLINE RowStats<R> load(NormKind kind, const R* stats, std::int64_t row) {
    if (kind == NormKind::rms_norm) return {R(0), stats[row]};
    return {stats[2 * row], stats[2 * row + 1]};
}
template <class R>
SHARDSCOPE_INLINE void store(NormKind kind, RowStats<R> of, R* stats, std::int64_t row) {
    if (kind == NormKind::rms_norm) {
        stats[row] = of.inverse;
    } else {
        stats[2 * row] = of.mean;
        stats[2 * row + 1] = of.inverse;
    }
}

template <class T>
SHARDSCOPE_CLONES void forward(const Norm& k, Share share, const T* x, const T* w, const T* b, T* y,
                               Real<T>* stats) {
    using R = Real<T>;
    for (std::int64_t r = share.first; r < share.last; ++r) {
        const T* in = x + r * k.hidden;
        T* out = y + r * k.hidden;
        RowStats<R> s;
        if (k.kind == NormKind::layer_norm)
            s.mean = lane_sum<R>(k.hidden, [in](std::int64_t i) { return R(in[i]); }) / R(k.hidden);
        const R mean = s.mean;
        const R square = lane_sum<R>(k.hidden, [in, mean](std::int64_t i) {
            const R d = in[i] - mean;
            return d * d;
        });
        s.inverse = R(1) / std::sqrt(square / R(k.hidden) + R(k.epsilon));
        store(k.kind, s, stats, r);
        if (b) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.hidden; ++i)
                out[i] = (in[i] - s.mean) * s.inverse * w[i] + b[i];
        } else {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.hidden; ++i)
                out[i] = (in[i] - s.mean) * s.inverse * w[i];
        }
    }
}

// With n = (x − mean)/σ and g = dy·w: dx = (g − avg(g) − n·avg(g·n))/σ; rms_norm has no avg(g).
template <class T>
SHARDSCOPE_CLONES void backward_input(const NormInputGrad& k, Share share, const T* dy, const T* x,
                                      const Real<T>* stats, const T* w, const T* dresidual, T* dx) {
    using R = Real<T>;
    for (std::int64_t r = share.first; r < share.last; ++r) {
        const RowStats<R> s = load(k.kind, stats, r);
        const T *in = x + r * k.hidden, *d = dy + r * k.hidden;
        T* out = dx + r * k.hidden;
        R average = 0;
        if (k.kind == NormKind::layer_norm)
            average =
                lane_sum<R>(k.hidden, [d, w](std::int64_t i) { return d[i] * w[i]; }) / R(k.hidden);
        const R along = lane_sum<R>(k.hidden,
                                    [=](std::int64_t i) {
                                        return d[i] * w[i] * ((in[i] - s.mean) * s.inverse);
                                    }) /
                        R(k.hidden);
        if (dresidual) {
            const T* add = dresidual + r * k.hidden;
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.hidden; ++i) {
                const R n = (in[i] - s.mean) * s.inverse;
                out[i] = (d[i] * w[i] - average - n * along) * s.inverse + add[i];
            }
        } else {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.hidden; ++i) {
                const R n = (in[i] - s.mean) * s.inverse;
                out[i] = (d[i] * w[i] - average - n * along) * s.inverse;
            }
        }
    }
}

// dw (+)= Σ_rows dy·n, db (+)= Σ_rows dy.
template <class T, class G>
SHARDSCOPE_CLONES void backward_weight(const NormWeightGrad& k, Share share, const T* dy,
                                       const T* x, const Real<T>* stats, G* dw, G* db) {
    const std::int64_t hidden = k.hidden;
    const NormKind kind = k.kind;
    column_sums(k.rows, share, k.accumulate, dw, [=](std::int64_t r, std::int64_t c) {
        const RowStats<Real<T>> s = load(kind, stats, r);
        return dy[r * hidden + c] * ((x[r * hidden + c] - s.mean) * s.inverse);
    });
    if (db)
        column_sums(k.rows, share, k.accumulate, db,
                    [=](std::int64_t r, std::int64_t c) { return Real<T>(dy[r * hidden + c]); });
}

}  // namespace

template <class T>
void run(const Norm& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, k.hidden, [&](const Share& share) {
        forward(k, share, as<const T>(at[0]), as<const T>(at[1]), as<const T>(at[2]), as<T>(at[3]),
                as<Real<T>>(at[4]));
    });
}
template <class T>
void run(const NormInputGrad& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, k.hidden, [&](const Share& share) {
        backward_input(k, share, as<const T>(at[0]), as<const T>(at[1]), as<const Real<T>>(at[2]),
                       as<const T>(at[3]), as<const T>(at[4]), as<T>(at[5]));
    });
}
template <class T, class G>
void run(const NormWeightGrad& k, const Addresses& at, Team& team) {
    team.divide(k.hidden, kColumnShare, [&](const Share& share) {
        backward_weight(k, share, as<const T>(at[0]), as<const T>(at[1]), as<const Real<T>>(at[2]),
                        as<G>(at[3]), as<G>(at[4]));
    });
}

SHARDSCOPE_INSTANTIATE(Norm);
SHARDSCOPE_INSTANTIATE(NormInputGrad);
SHARDSCOPE_INSTANTIATE_GRADIENT(NormWeightGrad);

}  // namespace shardscope::cpu
