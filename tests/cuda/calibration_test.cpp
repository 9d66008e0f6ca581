// Measuring a GPU, on the host device: that every measurement runs and gives a number, whatever it says there.
#include "backends/cuda/calibration.h"

#include <gtest/gtest.h>

#include "tests/host_device/control.h"

namespace shardscope {
namespace {

Compute of(Kernel kernel, DType dtype = DType::fp32) {
    Compute compute;
    compute.kernel = std::move(kernel);
    compute.dtype = compute.gradient = dtype;
    return compute;
}

AttentionGrad attention_grad() {
    AttentionGrad k;
    k.samples = 1, k.seq = 16, k.heads = k.kv_heads = 1, k.head_dim = 8;
    return k;
}

TEST(CudaCalibrationSlow, EveryMeasurementGivesANumber) {
    host_device::reset({});
    {
        cuda::Calibration calibration({});
        const GpuRepeats once{1, Seconds(0)};
        Linear linear;
        linear.rows = 8, linear.in = 16, linear.out = 8, linear.bias = true;
        LinearWeightGrad weight;
        weight.rows = 8, weight.in = 16, weight.out = 8, weight.accumulate = true;
        for (const Compute& compute :
             {of(linear, DType::bf16), of(weight), of(attention_grad(), DType::bf16)})
            EXPECT_GT(calibration.time_kernel(compute, once).value, 0)
                << kernel_name(compute.kernel);
        EXPECT_GT(calibration.copy_bandwidth(Bytes(1 << 16), once).value, 0);
        EXPECT_GT(calibration.host_cost().value, 0);
        EXPECT_GT(calibration.kernel_overhead().value, 0);
        EXPECT_GT(calibration.graph_host_cost().value, 0);
        EXPECT_GT(calibration.graph_kernel_overhead().value, 0);
        EXPECT_EQ(calibration.runtime_memory().workspace, Bytes(cuda::kScratchBytes));
    }
    EXPECT_TRUE(host_device::problems().empty());
    EXPECT_EQ(host_device::live(), host_device::Live{}) << "something was not released";
}

}  // namespace
}  // namespace shardscope
