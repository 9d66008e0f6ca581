# NCCL: NCCL_FOUND, NCCL_VERSION, and the target NCCL::nccl. Looks in $NCCL_ROOT, beside the toolkit
# (SHARDSCOPE_CUDA_ROOT), in the system's folders and in pip's wheel, which has no link libnccl.so.

include(CudaWheels)
include(FindPackageHandleStandardArgs)

shardscope_wheel_folders(nccl_wheels nvidia.nccl)
set(nccl_hints ${NCCL_ROOT} $ENV{NCCL_ROOT} ${SHARDSCOPE_CUDA_ROOT} ${nccl_wheels})
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${nccl_hints} PATH_SUFFIXES include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${nccl_hints} PATH_SUFFIXES lib lib64)
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)

if(NCCL_INCLUDE_DIR)
    file(STRINGS ${NCCL_INCLUDE_DIR}/nccl.h nccl_numbers
         REGEX "^#define NCCL_(MAJOR|MINOR|PATCH) +[0-9]+")
    string(REGEX MATCHALL "[0-9]+" nccl_numbers "${nccl_numbers}")
    list(JOIN nccl_numbers "." NCCL_VERSION)
endif()
# 2.18 has ncclCommSplit, 2.14 non-blocking communicators.
if(NOT NCCL_FIND_VERSION)
    set(NCCL_FIND_VERSION 2.18)
endif()
find_package_handle_standard_args(
    NCCL
    REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR
    VERSION_VAR NCCL_VERSION)

if(NCCL_FOUND AND NOT TARGET NCCL::nccl)
    add_library(NCCL::nccl UNKNOWN IMPORTED)
    set_target_properties(NCCL::nccl PROPERTIES IMPORTED_LOCATION ${NCCL_LIBRARY}
                                                INTERFACE_INCLUDE_DIRECTORIES ${NCCL_INCLUDE_DIR})
endif()
