// Functions that run on the host and on GPUs.
#pragma once

// Before a function: nvcc compiles it for both; other compilers know only the host.
#ifdef __CUDACC__
#define SHARDSCOPE_HD __host__ __device__
#else
#define SHARDSCOPE_HD
#endif
