# The header-only cudnn-frontend with cuDNN's own headers: the imported target CudnnFrontend::CudnnFrontend,
# which loads libcudnn at run time and links nothing but dl. Cudnn_LIBRARY is where that library is, if it
# was found.
#
# Looked for in CUDNN_FRONTEND_ROOT and CUDNN_ROOT (CMake or environment variables), in the CUDA toolkit, and
# where pip puts the packages nvidia-cudnn-frontend and nvidia-cudnn-cu13.

include(CudaWheels)
include(FindPackageHandleStandardArgs)

# The frontend's wheel has its headers beside its packages, in site-packages/include.
shardscope_wheel_folders(cudnn_frontend_wheel cudnn)
list(TRANSFORM cudnn_frontend_wheel APPEND /..)
find_path(
    CudnnFrontend_INCLUDE_DIR cudnn_frontend.h
    HINTS ${CUDNN_FRONTEND_ROOT} ENV CUDNN_FRONTEND_ROOT ${cudnn_frontend_wheel}
          ${SHARDSCOPE_CUDA_ROOT}
    PATH_SUFFIXES include)

shardscope_wheel_folders(cudnn_wheel nvidia.cudnn)
set(cudnn_hints ${CUDNN_ROOT} ENV CUDNN_ROOT ${SHARDSCOPE_CUDA_ROOT} ${cudnn_wheel})
find_path(Cudnn_INCLUDE_DIR cudnn.h HINTS ${cudnn_hints} PATH_SUFFIXES include)
find_library(
    Cudnn_LIBRARY
    NAMES cudnn libcudnn.so.9
    HINTS ${cudnn_hints}
    PATH_SUFFIXES lib64 lib)
mark_as_advanced(CudnnFrontend_INCLUDE_DIR Cudnn_INCLUDE_DIR Cudnn_LIBRARY)

if(CudnnFrontend_INCLUDE_DIR)
    file(STRINGS ${CudnnFrontend_INCLUDE_DIR}/cudnn_frontend_version.h cudnn_frontend_lines
         REGEX "#define CUDNN_FRONTEND_(MAJOR|MINOR|PATCH)_VERSION")
    string(REGEX REPLACE "[^0-9;]" "" cudnn_frontend_numbers "${cudnn_frontend_lines}")
    list(JOIN cudnn_frontend_numbers "." CudnnFrontend_VERSION)
endif()
find_package_handle_standard_args(
    CudnnFrontend
    REQUIRED_VARS CudnnFrontend_INCLUDE_DIR Cudnn_INCLUDE_DIR
    VERSION_VAR CudnnFrontend_VERSION)

if(CudnnFrontend_FOUND AND NOT TARGET CudnnFrontend::CudnnFrontend)
    add_library(CudnnFrontend::CudnnFrontend INTERFACE IMPORTED)
    set_target_properties(
        CudnnFrontend::CudnnFrontend
        PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${CudnnFrontend_INCLUDE_DIR};${Cudnn_INCLUDE_DIR}"
                   INTERFACE_COMPILE_DEFINITIONS NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
                   INTERFACE_LINK_LIBRARIES "${CMAKE_DL_LIBS}")
endif()
