# Decides whether the CUDA module is built and, if so, enables the language. Sets SHARDSCOPE_CUDA_BUILT.
#
# Needed are nvcc, cuBLASLt and NCCL, in the system's layout or in that of the pip wheels. With AUTO a
# missing one is a line of the configuration's output, with ON an error.

set(SHARDSCOPE_CUDA_BUILT FALSE)

# Every GPU generation that is in data centres and workstations today. The code of the oldest also comes as PTX,
# which the driver compiles for generations that are not listed. The environment's CUDAARCHS, which CMake itself
# reads too, goes before.
set(shardscope_cuda_architectures 80 90-real 100-real 120-real)
if(DEFINED ENV{CUDAARCHS})
    set(shardscope_cuda_architectures "$ENV{CUDAARCHS}")
endif()

# Why the module cannot be built here, in `out`; empty: it can. Sets Nvcc and NCCL's variables.
macro(shardscope_look_for_cuda out)
    set(${out} "")
    find_program(
        SHARDSCOPE_NVCC nvcc
        HINTS $ENV{CUDACXX} $ENV{CUDA_HOME} $ENV{CUDA_PATH} ${CUDAToolkit_ROOT} /usr/local/cuda
        PATH_SUFFIXES bin
        DOC "CUDA's compiler")
    if(NOT SHARDSCOPE_NVCC)
        set(${out} "nvcc was not found (set CUDA_HOME to the toolkit's folder)")
    else()
        cmake_path(GET SHARDSCOPE_NVCC PARENT_PATH nvcc_folder)
        cmake_path(GET nvcc_folder PARENT_PATH SHARDSCOPE_CUDA_ROOT)
        find_package(CublasLt)
        find_package(NCCL)
        if(NOT CublasLt_FOUND)
            set(${out} "cuBLASLt was not found beside ${SHARDSCOPE_NVCC} nor as a wheel")
        elseif(NOT NCCL_FOUND)
            set(${out} "NCCL was not found (set NCCL_ROOT to the folder with include/nccl.h)")
        endif()
    endif()
endmacro()

if(NOT SHARDSCOPE_CUDA MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "SHARDSCOPE_CUDA is \"${SHARDSCOPE_CUDA}\", but must be AUTO, ON or OFF")
elseif(SHARDSCOPE_CUDA STREQUAL "OFF")
    message(STATUS "SHARDSCOPE_CUDA=OFF: no module shardscope_cuda")
elseif(SHARDSCOPE_SANITIZE)
    message(STATUS "The sanitizers do not know CUDA: no module shardscope_cuda")
else()
    shardscope_look_for_cuda(why)
    if(why AND SHARDSCOPE_CUDA STREQUAL "ON")
        message(FATAL_ERROR "SHARDSCOPE_CUDA=ON: ${why}")
    elseif(why)
        message(STATUS "No module shardscope_cuda: ${why}")
    else()
        set(SHARDSCOPE_CUDA_BUILT TRUE)
    endif()
endif()

if(SHARDSCOPE_CUDA_BUILT)
    set(CMAKE_CUDA_COMPILER ${SHARDSCOPE_NVCC} CACHE FILEPATH "CUDA's compiler")
    set(CMAKE_CUDA_ARCHITECTURES
        ${shardscope_cuda_architectures}
        CACHE STRING "GPU generations that the CUDA module has code for; one makes a quick build")
    if(CCACHE_PROGRAM AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
        set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
    endif()
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
    enable_language(CUDA)
    # Debian 12's CMake knows no flag of nvcc's for C++20; newer ones set the same.
    if(NOT "cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
        set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
        set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(CMAKE_CUDA_EXTENSIONS OFF)
    set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
    find_package(CUDAToolkit REQUIRED)
    message(STATUS "CUDA module: ${SHARDSCOPE_NVCC} ${CMAKE_CUDA_COMPILER_VERSION}, "
                   "NCCL ${NCCL_VERSION}, GPUs ${CMAKE_CUDA_ARCHITECTURES}")
endif()
