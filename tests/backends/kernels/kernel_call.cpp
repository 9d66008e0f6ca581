#include "tests/backends/kernels/kernel_call.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "backends/cpu/kernels/dispatch.h"
#include "backends/cpu/kernels/gemm.h"
#include "core/bf16.h"
#include "core/program/operand_types.h"

namespace shardscope::testing {
namespace {

constexpr std::size_t kGuard = 64;
constexpr std::byte kGuardByte{0x5a};

// One operand in memory: its elements as stored, then the guard.
class Stored {
public:
    Stored(const Tensor& tensor, DType dtype, bool poison) : dtype_(dtype) {
        if (!tensor.present) return;
        count_ = tensor.values.size();
        bytes_.assign(size() + kGuard, kGuardByte);
        for (std::size_t i = 0; i < count_; ++i)
            put(i, poison ? std::numeric_limits<double>::quiet_NaN() : tensor.values[i]);
        before_ = bytes_;
    }

    std::byte* address() { return bytes_.empty() ? nullptr : bytes_.data(); }
    bool unchanged() const { return bytes_ == before_; }
    bool guard_unchanged() const {
        for (std::size_t i = size(); i < bytes_.size(); ++i)
            if (bytes_[i] != kGuardByte) return false;
        return true;
    }
    Values values() const {
        Values out(count_);
        for (std::size_t i = 0; i < count_; ++i) out[i] = get(i);
        return out;
    }

private:
    std::size_t size() const { return count_ * static_cast<std::size_t>(size_of(dtype_)); }
    template <class T>
    void put_as(std::size_t i, T stored) {
        std::memcpy(bytes_.data() + i * sizeof(T), &stored, sizeof(T));
    }
    template <class T>
    T get_as(std::size_t i) const {
        T stored;
        std::memcpy(&stored, bytes_.data() + i * sizeof(T), sizeof(T));
        return stored;
    }
    void put(std::size_t i, double value) {
        switch (dtype_) {
            case DType::int32:
                return put_as(i, std::isnan(value) ? -1 : static_cast<std::int32_t>(value));
            case DType::fp64:
                return put_as(i, value);
            case DType::fp32:
                return put_as(i, static_cast<float>(value));
            case DType::bf16:
                return put_as(i, Bf16(static_cast<float>(value)));
        }
    }
    double get(std::size_t i) const {
        switch (dtype_) {
            case DType::int32:
                return get_as<std::int32_t>(i);
            case DType::fp64:
                return get_as<double>(i);
            case DType::fp32:
                return static_cast<double>(get_as<float>(i));
            case DType::bf16:
                break;
        }
        return static_cast<double>(static_cast<float>(get_as<Bf16>(i)));
    }

    DType dtype_;
    std::size_t count_ = 0;
    std::vector<std::byte> bytes_, before_;
};

}  // namespace

Tensor space(std::int64_t elements) {
    return tensor(Values(static_cast<std::size_t>(elements), 0.0));
}

std::vector<Values> call(const Kernel& kernel, DType dtype, const std::vector<Tensor>& operands,
                         const CallOptions& options) {
    cpu::use_one_thread();
    Compute instruction;
    instruction.kernel = kernel;
    instruction.dtype = dtype;
    instruction.gradient = options.gradient.value_or(dtype);
    const auto access = accesses(kernel);
    const auto types = operand_dtypes(instruction);
    std::vector<Stored> stored;
    for (std::size_t i = 0; i < operands.size(); ++i)
        stored.emplace_back(operands[i], types[i], access[i] == Access::write);
    Addresses addresses{};
    for (std::size_t i = 0; i < stored.size(); ++i) addresses[i] = stored[i].address();

    StepContext context;
    context.step = options.step;
    context.data_index = options.data_index;
    context.tensor_index = options.tensor_index;
    cpu::Team team(options.threads);
    cpu::execute(instruction, addresses, context, team);

    std::vector<Values> after;
    for (std::size_t i = 0; i < stored.size(); ++i) {
        const std::string where =
            std::string(kernel_name(kernel)) + ", operand " + std::to_string(i);
        EXPECT_TRUE(stored[i].guard_unchanged()) << where << " was written past its end";
        if (access[i] == Access::read) {
            EXPECT_TRUE(stored[i].unchanged()) << where << " is read only";
        }
        after.push_back(stored[i].values());
    }
    return after;
}

Random::Random()
    : seed_(static_cast<std::uint32_t>(::testing::UnitTest::GetInstance()->random_seed())),
      engine_(seed_) {}

std::string Random::trace() const { return "random seed " + std::to_string(seed_); }

Values Random::normal(std::int64_t count, double deviation) {
    std::normal_distribution<double> distribution(0.0, deviation);
    Values out(static_cast<std::size_t>(count));
    for (double& v : out) v = distribution(engine_);
    return out;
}

Values Random::integers(std::int64_t count, std::int64_t below) {
    std::uniform_int_distribution<std::int64_t> distribution(0, below - 1);
    Values out(static_cast<std::size_t>(count));
    for (double& v : out) v = static_cast<double>(distribution(engine_));
    return out;
}

Values as_float(Values values) {
    for (double& v : values) v = static_cast<double>(static_cast<float>(v));
    return values;
}

Values as_bf16(Values values) {
    for (double& v : values)
        v = static_cast<double>(static_cast<float>(Bf16(static_cast<float>(v))));
    return values;
}

::testing::AssertionResult close(const Values& got, const Values& want, double tolerance) {
    if (got.size() != want.size())
        return ::testing::AssertionFailure() << got.size() << " values, expected " << want.size();
    double largest = 1;
    for (const double v : want) largest = std::max(largest, std::abs(v));
    for (std::size_t i = 0; i < want.size(); ++i)
        if (!(std::abs(got[i] - want[i]) <= tolerance * largest))
            return ::testing::AssertionFailure()
                   << "element " << i << " is " << got[i] << ", expected " << want[i]
                   << " (difference " << got[i] - want[i] << ", tolerance " << tolerance << " of "
                   << largest << ")";
    return ::testing::AssertionSuccess();
}

Values off_zero(Values values) {
    for (double& v : values) v += v < 0 ? -0.01 : 0.01;
    return values;
}

double dot(const Values& a, const Values& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

}  // namespace shardscope::testing
