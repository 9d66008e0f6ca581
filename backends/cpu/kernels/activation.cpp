// Activations that stand alone.
#include "backends/cpu/kernels/activation_functions.h"
#include "backends/cpu/kernels/kernels.h"

namespace shardscope::cpu {
namespace {

template <class T>
SHARDSCOPE_CLONES void forward(const Activate& k, Share share, const T* x, T* y) {
    activate(k.activation, x + share.first, y + share.first, share.count());
}

template <class T>
SHARDSCOPE_CLONES void backward(const ActivateGrad& k, Share share, const T* dy, const T* x,
                                T* dx) {
    const std::int64_t at = share.first;
    activate_grad(k.activation, dy + at, x + at, dx + at, share.count());
}

}  // namespace

template <class T>
void run(const Activate& k, const Addresses& at, Team& team) {
    divide_elements(team, k.elements, [&](const Share& share) {
        forward(k, share, as<const T>(at[0]), as<T>(at[1]));
    });
}
template <class T>
void run(const ActivateGrad& k, const Addresses& at, Team& team) {
    divide_elements(team, k.elements, [&](const Share& share) {
        backward(k, share, as<const T>(at[0]), as<const T>(at[1]), as<T>(at[2]));
    });
}

SHARDSCOPE_INSTANTIATE(Activate);
SHARDSCOPE_INSTANTIATE(ActivateGrad);

}  // namespace shardscope::cpu
