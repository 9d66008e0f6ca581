#include "tests/cuda/device_call.h"

#include <cmath>
#include <string>

#include <cuda_runtime.h>

#include "core/program/operand_types.h"
#include "tests/backends/kernels/stored_operand.h"
#include "tests/host_device/control.h"

namespace shardscope::test {
namespace {

// A copy of an operand on the device, `shift` bytes after the allocation's beginning.
class DeviceOperand {
public:
    DeviceOperand(StoredOperand& stored, std::size_t shift) : stored_(stored), shift_(shift) {
        const auto bytes = stored_.bytes();
        if (bytes.empty()) return;
        EXPECT_EQ(cudaMalloc(&memory_, bytes.size() + shift), cudaSuccess);
        EXPECT_EQ(cudaMemcpy(address(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice),
                  cudaSuccess);
    }
    ~DeviceOperand() { cudaFree(memory_); }
    DeviceOperand(const DeviceOperand&) = delete;
    DeviceOperand& operator=(const DeviceOperand&) = delete;

    std::byte* address() const { return memory_ ? memory_ + shift_ : nullptr; }
    void read_back() {
        const auto bytes = stored_.bytes();
        if (!bytes.empty()) {
            EXPECT_EQ(cudaMemcpy(bytes.data(), address(), bytes.size(), cudaMemcpyDeviceToHost),
                      cudaSuccess);
        }
    }

private:
    StoredOperand& stored_;
    std::size_t shift_;
    std::byte* memory_ = nullptr;
};

}  // namespace

std::vector<Values> device_call(
    const Kernel& kernel, const DeviceStorage& storage, const std::vector<Tensor>& operands,
    const std::function<void(const Addresses&, const cuda::LaunchContext&)>& run) {
    Compute instruction;
    instruction.kernel = kernel;
    instruction.dtype = storage.dtype;
    instruction.gradient = storage.gradient;
    const auto access = accesses(kernel);
    const auto types = operand_dtypes(instruction);
    std::vector<StoredOperand> stored;
    for (std::size_t i = 0; i < operands.size(); ++i)
        stored.emplace_back(operands[i], types[i], access[i] == Access::write);
    std::vector<std::unique_ptr<DeviceOperand>> on_device;
    Addresses addresses{};
    for (std::size_t i = 0; i < stored.size(); ++i) {
        const auto shift = static_cast<std::size_t>(storage.shift * size_of(types[i]));
        on_device.push_back(std::make_unique<DeviceOperand>(stored[i], shift));
        addresses[i] = on_device.back()->address();
    }

    cuda::LaunchContext context;
    context.device = {132, 90, 227 << 10};
    // Enough for small operands, and a thirtieth of what a real context has: filling it takes the time.
    context.scratch_bytes = cuda::kScratchBytes / 32;
    EXPECT_EQ(cudaMalloc(&context.scratch, static_cast<std::size_t>(context.scratch_bytes)),
              cudaSuccess);
    EXPECT_EQ(cudaStreamCreate(&context.stream), cudaSuccess);
    run(addresses, context);
    EXPECT_EQ(cudaStreamSynchronize(context.stream), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(context.stream), cudaSuccess);
    cudaFree(context.scratch);
    EXPECT_TRUE(host_device::problems().empty()) << host_device::problems().front();

    std::vector<Values> after;
    for (std::size_t i = 0; i < stored.size(); ++i) {
        on_device[i]->read_back();
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

::testing::AssertionResult close_in_norm(const Values& got, const Values& want, double tolerance) {
    if (got.size() != want.size())
        return ::testing::AssertionFailure() << got.size() << " values, not " << want.size();
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        difference += (got[i] - want[i]) * (got[i] - want[i]);
        norm += want[i] * want[i];
    }
    const double relative = std::sqrt(difference) / std::max(std::sqrt(norm), 1e-30);
    if (relative <= tolerance) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "the difference's norm is " << relative << " of the values', above " << tolerance;
}

Values stored_as(DType dtype, Values values) {
    return dtype == DType::bf16 ? as_bf16(std::move(values)) : as_float(std::move(values));
}

}  // namespace shardscope::test
