# cuBLASLt: CublasLt_FOUND, and the target CublasLt::cublasLt. CMake's own module knows the toolkit's layout only; this one also
# looks in pip's wheels, where the library's name ends in its version.

include(CudaWheels)
include(FindPackageHandleStandardArgs)

shardscope_wheel_folders(cublas_wheels nvidia.cu13 nvidia.cublas)
set(cublas_hints ${SHARDSCOPE_CUDA_ROOT} ${SHARDSCOPE_CUDA_ROOT}/targets/x86_64-linux ${cublas_wheels})
find_path(CublasLt_INCLUDE_DIR cublasLt.h HINTS ${cublas_hints} PATH_SUFFIXES include)
find_library(
    CublasLt_LIBRARY
    NAMES cublasLt libcublasLt.so.13 libcublasLt.so.12
    HINTS ${cublas_hints}
    PATH_SUFFIXES lib64 lib)
mark_as_advanced(CublasLt_INCLUDE_DIR CublasLt_LIBRARY)
find_package_handle_standard_args(CublasLt REQUIRED_VARS CublasLt_LIBRARY CublasLt_INCLUDE_DIR)

if(CublasLt_FOUND AND NOT TARGET CublasLt::cublasLt)
    add_library(CublasLt::cublasLt UNKNOWN IMPORTED)
    set_target_properties(
        CublasLt::cublasLt PROPERTIES IMPORTED_LOCATION ${CublasLt_LIBRARY}
                                      INTERFACE_INCLUDE_DIRECTORIES ${CublasLt_INCLUDE_DIR})
endif()
