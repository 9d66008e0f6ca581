#include "simulator/cost_model.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "simulator/calibration_names.h"

namespace shardscope {
namespace {

Compute compute(Kernel kernel, DType dtype = DType::fp32) {
    Compute c;
    c.kernel = std::move(kernel);
    c.dtype = c.gradient = dtype;
    return c;
}

Device gpu() {
    Device device;
    device.name = "test gpu";
    device.peak[MathType::fp32] = FlopsPerSecond(100e12);
    device.matmul_efficiency = 0.8;
    device.memory_bandwidth = BytesPerSecond(2e12);
    device.memory_efficiency = 0.9;
    device.kernel_overhead = Seconds(2e-6);
    return device;
}

double seconds(const Device& device, const Compute& c) { return CostModel(device).kernel(c).value; }

TEST(CostModel, MemoryBoundKernelsMoveTheirBytes) {
    const double expected = 3 * 4 * 1e8 / (2e12 * 0.9) + 2e-6;
    EXPECT_NEAR(seconds(gpu(), compute(Add{100'000'000})), expected, 1e-12);
}

TEST(CostModel, LargeMultipliesReachTheAttainableRate) {
    const Compute c = compute(Linear{16384, 8192, 16384});
    const double flops = 2.0 * 16384 * 8192 * 16384;
    // 1 %: the last wave of tiles is not full.
    EXPECT_NEAR(seconds(gpu(), c), flops / (100e12 * 0.8), 0.01 * flops / (100e12 * 0.8));
}

TEST(CostModel, ThinMultipliesAreBoundByMemory) {
    const Compute c = compute(Linear{1, 8192, 8192});
    const double bytes =
        static_cast<double>(cost_of(c.kernel, DType::fp32, DType::fp32).moved().value);
    EXPECT_NEAR(seconds(gpu(), c), bytes / (2e12 * 0.9) + 2e-6, 1e-9);
}

TEST(CostModel, MultipliesOfCpusAreTheRoofline) {
    Device cpu = gpu();
    cpu.kind = DeviceKind::cpu;
    EXPECT_NEAR(seconds(cpu, compute(Linear{1000, 1000, 1000})), 2e9 / (100e12 * 0.8) + 2e-6,
                1e-12);
}

// A hidden size that is no multiple of 8 costs more, although it is less work.
TEST(CostModel, RowsThatTensorCoresCannotLoadWholeAreSlower) {
    Device device = gpu();
    device.peak[MathType::bf16] = FlopsPerSecond(400e12);
    const auto time = [&](std::int64_t out) {
        return seconds(device, compute(Linear{8192, 4096, out}, DType::bf16));
    };
    EXPECT_GT(time(50257), 1.5 * time(50304));
    EXPECT_NEAR(time(50304 - 8), time(50304), 1e-3 * time(50304)) << "the same tiles";
}

// In bf16 whatever the model trains in; what is not a multiply, two passes and the waves of tiles, is less than 5 %
// of so large a matrix.
TEST(CostModel, NewtonSchulzIsFifteenMultiplies) {
    Device device = gpu();
    device.peak[MathType::bf16] = FlopsPerSecond(400e12);
    const Compute c = compute(Orthogonalise{1, 24576, 8192});
    const double flops = 5 * (4.0 * 8192 * 8192 * 24576 + 2.0 * 8192 * 8192 * 8192);
    EXPECT_EQ(cost_of(c.kernel, DType::fp32, DType::fp32).matmul, Flops(flops));
    const double ideal = flops / (400e12 * 0.8);
    EXPECT_GT(seconds(device, c), ideal);
    EXPECT_NEAR(seconds(device, c), ideal, 0.05 * ideal);
    EXPECT_EQ(seconds(device, c), seconds(device, compute(Orthogonalise{1, 8192, 24576})));
    device.kind = DeviceKind::cpu;
    EXPECT_NEAR(seconds(device, c), ideal, 0.05 * ideal);
}

// Beside gradient, master and parameter both moments are read and written, a byte each and two scales per block.
TEST(CostModel, StatesOfEightBitsMoveFewerBytes) {
    OptimizerSpec spec;
    spec.kind = OptimizerKind::adam_8bit;
    const std::int64_t n = 1 << 20;
    const KernelCost cost =
        cost_of(OptimizerStep{n, spec, 0, true, n / 256}, DType::bf16, DType::bf16);
    EXPECT_EQ(cost.read, Bytes(n * (2 + 4 + 2) + 2 * n / 256 * 4));
    EXPECT_EQ(cost.written, Bytes(n * (2 + 4 + 2) + 2 * n / 256 * 4));
}

TEST(CostModel, FormatsOfFewerBitsHaveTheirOwnPeak) {
    Device device = gpu();
    device.peak[MathType::bf16] = FlopsPerSecond(400e12);
    device.peak[MathType::fp8] = FlopsPerSecond(800e12);
    device.matmul_efficiencies[MathType::fp8] = 0.7;
    Compute c = compute(Linear{16384, 16384, 16384}, DType::bf16);
    const double half = seconds(device, c);
    c.math = MathType::fp8;
    const double eight = seconds(device, c);
    EXPECT_GT(half / eight, 1.5) << "twice the peak, 7/8 of the efficiency, and casts";
    EXPECT_LT(half / eight, 1.75);
    c.math = MathType::fp8_rowwise;
    EXPECT_GT(seconds(device, c), 1.3 * eight);
    c.math = MathType::nvfp4;
    EXPECT_THROW(seconds(device, c), Error);
}

TEST(CostModel, ThreadsDivideAKernelUnlessItIsTooShort) {
    Device cpu = gpu();
    cpu.kind = DeviceKind::cpu;
    cpu.calibration.fork_join = Seconds(5e-6);
    const CostModel model(cpu);
    const Compute large = compute(Add{100'000'000}), small = compute(Add{1000});
    const double alone = model.kernel(large).value;
    EXPECT_EQ(model.kernel(large, 1).value, alone);
    EXPECT_NEAR(model.kernel(large, 2).value, alone / 2 + 5e-6, 1e-12);
    EXPECT_NEAR(model.kernel(large, 4).value, alone / 4 + 5e-6, 1e-12);
    EXPECT_EQ(model.kernel(small, 2).value, model.kernel(small).value);
}

TEST(CostModel, MonotoneInDeviceAndShape) {
    Device faster = gpu(), wider = gpu();
    faster.peak[MathType::fp32] = FlopsPerSecond(200e12);
    wider.memory_bandwidth = BytesPerSecond(4e12);
    for (std::int64_t rows = 1; rows < 10000; rows = rows * 3 / 2 + 1) {
        const Compute c = compute(Linear{rows, 1024, 4096}),
                      more = compute(Linear{rows + 1, 1024, 4096});
        EXPECT_LE(seconds(faster, c), seconds(gpu(), c));
        EXPECT_LE(seconds(wider, c), seconds(gpu(), c));
        EXPECT_LE(seconds(gpu(), c), seconds(gpu(), more));
    }
}

TEST(CostModel, MissingPeakIsNamed) {
    Device device = gpu();
    device.name.clear();
    try {
        seconds(device, compute(Linear{64, 64, 64}, DType::bf16));
        FAIL() << "no rate, no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, "device-peak");
        EXPECT_EQ(error.message, "the device states no peak rate for bf16");
        EXPECT_NE(error.fix.find("choose a precision that it states (fp32"), std::string::npos)
            << error.fix;
    }
    EXPECT_GT(seconds(gpu(), compute(Add{64}, DType::bf16)), 0) << "only multiplies need a peak";
}

Device measured_cpu() {
    Device device;
    device.kind = DeviceKind::cpu;
    device.peak[MathType::fp32] = FlopsPerSecond(100e9);
    device.memory_bandwidth = BytesPerSecond(10e9);
    auto& calibration = device.calibration;
    calibration.matmul.push_back({DType::fp32, 64, 128, 256, FlopsPerSecond(50e9)});
    calibration.matmul.push_back({DType::fp32, 1024, 1024, 1024, FlopsPerSecond(90e9)});
    calibration.kernels.push_back({"add", DType::fp32, 12e3, 40e9});
    calibration.kernels.push_back({"add", DType::fp32, 12e6, 10e9});
    calibration.kernels.push_back({"linear.bias", DType::fp32, 1e5, 20e9});
    return device;
}

TEST(CostModel, MeasuredMultipliesAtTheSampleAndBetween) {
    const double flops = 2.0 * 64 * 128 * 256;
    // rows, in, out: C[m = rows, n = out] over k = in; the gradients permute the three.
    EXPECT_NEAR(seconds(measured_cpu(), compute(Linear{64, 256, 128})), flops / 50e9, 1e-9);
    EXPECT_NEAR(seconds(measured_cpu(), compute(LinearInputGrad{64, 128, 256})), flops / 50e9,
                1e-9);
    EXPECT_NEAR(seconds(measured_cpu(), compute(LinearWeightGrad{256, 128, 64})), flops / 50e9,
                1e-9);
    const double between =
        2.0 * 256 * 256 * 256 / seconds(measured_cpu(), compute(Linear{256, 256, 256}));
    EXPECT_GT(between, 50e9);
    EXPECT_LT(between, 90e9);
}

TEST(CostModel, EpilogueIsAddedToAMeasuredMultiply) {
    const double plain = seconds(measured_cpu(), compute(Linear{64, 256, 128}));
    const double with_bias = seconds(measured_cpu(), compute(Linear{64, 256, 128, true}));
    EXPECT_NEAR(with_bias - plain, 2 * 64 * 128 * 4 / 20e9, 1e-12);
    const double unmeasured = seconds(measured_cpu(), compute(Linear{64, 256, 128, false, true}));
    EXPECT_NEAR(unmeasured - plain, 2 * 64 * 128 * 4 / 10e9, 1e-12) << "memory bandwidth otherwise";
}

TEST(CostModel, MeasuredKernelsFollowTheirCurve) {
    EXPECT_NEAR(seconds(measured_cpu(), compute(Add{1000})), 12e3 / 40e9, 1e-15);
    EXPECT_NEAR(seconds(measured_cpu(), compute(Add{1'000'000})), 12e6 / 10e9, 1e-12);
    EXPECT_NEAR(seconds(measured_cpu(), compute(Add{10'000'000})), 12e7 / 10e9, 1e-9);
    double last = 0;
    for (std::int64_t n = 1; n < 100'000'000; n = n * 5 / 4 + 1) {
        const double time = seconds(measured_cpu(), compute(Add{n}));
        EXPECT_GE(time, last);
        last = time;
    }
}

TEST(CalibrationNames, VariantsWhereTheCostPerByteDiffers) {
    EXPECT_EQ(calibration_name(Add{1}), "add");
    EXPECT_EQ(calibration_name(Norm{1, 1, NormKind::rms_norm}), "norm.rms_norm");
    EXPECT_EQ(calibration_name(Activate{1, Activation::gelu}), "activate.gelu");
    const Attention attention{3, 64, 4, 4, 32, AttentionKind::flash};
    EXPECT_EQ(calibration_name(attention), "attention.d32");
    // Probabilities that go through memory have no part in a measurement of those that do not.
    EXPECT_EQ(calibration_name(AttentionGrad{3, 64, 4, 4, 128, AttentionKind::unfused}),
              "attention_grad.unfused.d128");
    const CalibrationWork work = calibration_work(compute(attention));
    EXPECT_EQ(work.parts, 3 * 4) << "samples and heads";
    EXPECT_EQ(work.work * work.parts,
              cost_of(Kernel(attention), DType::fp32, DType::fp32).matmul.value);
}

}  // namespace
}  // namespace shardscope
