// What this folder's tests share: values in device memory.
#pragma once

#include <cstdint>
#include <vector>

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "tests/host_device/control.h"

namespace shardscope::test {

// Device memory that starts from `values`, and its values once everything issued so far on the null stream
// is done.
template <class T>
class OnDevice {
public:
    explicit OnDevice(const std::vector<T>& values) : size_(values.size()) {
        EXPECT_EQ(cudaMalloc(&data_, size_ * sizeof(T)), cudaSuccess);
        EXPECT_EQ(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice),
                  cudaSuccess);
    }
    ~OnDevice() { cudaFree(data_); }
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;

    T* data() { return data_; }
    std::vector<T> values() const {
        std::vector<T> result(size_);
        EXPECT_EQ(cudaMemcpy(result.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost),
                  cudaSuccess);
        return result;
    }

private:
    std::size_t size_;
    T* data_ = nullptr;
};

inline host_device::Settings with_seed(std::uint64_t seed) {
    host_device::Settings settings;
    settings.seed = seed;
    return settings;
}

// Every test has the machine to itself, as it is by default.
class HostDeviceTest : public ::testing::Test {
protected:
    void SetUp() override { host_device::reset(); }
    void TearDown() override { host_device::reset(); }
};

}  // namespace shardscope::test
