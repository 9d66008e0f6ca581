// CUDA's header for sources that have kernels; see cuda_runtime_api.h.
#pragma once

#include "tests/host_device/include/cuda_runtime_api.h"
#include "tests/host_device/kernel_language.h"
#include "tests/host_device/launch.h"
