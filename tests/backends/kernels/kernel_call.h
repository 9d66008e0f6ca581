// Calls one kernel with operands given as plain numbers, whatever the storage type.
//
// Each call also checks what core/program/kernel.h promises: operands that `accesses` calls written
// are filled with NaN first (so none of them may be read), those it calls read must not change, and
// the bytes behind every operand must stay as they are.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/dtype.h"
#include "core/program/kernel.h"

namespace shardscope::test {

inline constexpr Activation kActivations[] = {Activation::none, Activation::relu, Activation::gelu,
                                              Activation::gelu_erf};

using Values = std::vector<double>;

// One operand; core/program/operand_types.h says how it is stored.
struct Tensor {
    bool present = false;
    Values values;
};
inline Tensor absent() { return {}; }
inline Tensor tensor(Values values) { return {true, std::move(values)}; }
inline Tensor tokens(Values values) { return tensor(std::move(values)); }
inline Tensor scalar(double value = 0) { return tensor({value}); }
// A tensor whose content before the call does not matter.
Tensor space(std::int64_t elements);
// What an attention kernel, forward or backward, works in.
template <class Kernel>
Tensor attention_workspace(const Kernel& k) {
    const std::int64_t n = attention_workspace_elements(k);
    return n == 0 ? absent() : space(n);
}

struct CallOptions {
    std::int64_t step = 0;  // 0-based
    int data_index = 0, tensor_index = 0;
    std::optional<DType> gradient = {};  // empty: as the call's dtype
    int threads = 1;
};

// The operands' values after the call, rounded to the types they are stored in before and after.
std::vector<Values> call(const Kernel& kernel, DType dtype, const std::vector<Tensor>& operands,
                         const CallOptions& options = {});

// Random numbers of one test. The seed is another one every run; trace() prints it on failure and
// --gtest_random_seed=N repeats it.
class Random {
public:
    Random();
    std::string trace() const;
    Values normal(std::int64_t count, double deviation = 1.0);
    Values integers(std::int64_t count, std::int64_t below);

private:
    std::uint32_t seed_;
    std::mt19937 engine_;
};

// Values as fp32 or bf16 stores them, so that a run in fp64 starts from the same numbers.
Values as_float(Values values);
Values as_bf16(Values values);

// Largest |got − want| over the largest |want|, at least 1: the tests' numbers are near 1, and a
// single output may be small by cancellation. Not-a-number and unequal sizes never pass.
::testing::AssertionResult close(const Values& got, const Values& want, double tolerance);

double dot(const Values& a, const Values& b);

// Moves every value at least 0.01 away from zero, where relu has no derivative.
Values off_zero(Values values);

// Compares `gradient` with central differences of `function` at x, along random directions and
// along some single coordinates. With h = 1e-5 and values near 1, truncation (h²) and rounding
// (2⁻⁵³/h) both stay near 1e-10; the tolerance leaves two digits.
template <class Function>
void expect_gradient(Random& random, const Function& function, const Values& x,
                     const Values& gradient, double tolerance = 2e-8) {
    constexpr double h = 1e-5;
    ASSERT_EQ(x.size(), gradient.size());
    const double scale = std::sqrt(dot(gradient, gradient)) + 1.0;
    for (std::size_t direction = 0; direction < 12; ++direction) {
        Values d = random.normal(static_cast<std::int64_t>(x.size()));
        if (direction >= 4) {
            d.assign(x.size(), 0.0);
            d[static_cast<std::size_t>(
                random.integers(1, static_cast<std::int64_t>(x.size()))[0])] = 1;
        }
        Values plus = x, minus = x;
        for (std::size_t i = 0; i < x.size(); ++i) {
            plus[i] += h * d[i];
            minus[i] -= h * d[i];
        }
        const double numeric = (function(plus) - function(minus)) / (2 * h);
        EXPECT_NEAR(dot(gradient, d), numeric, tolerance * scale) << "direction " << direction;
    }
}

}  // namespace shardscope::test
