# The header-only cudnn-frontend with cuDNN's own headers: the imported target CudnnFrontend::CudnnFrontend,
# which loads libcudnn at run time and links nothing but dl.
#
# Looked for in CUDNN_FRONTEND_ROOT and CUDNN_ROOT (CMake or environment variables), the CUDA toolkit, and
# Python's site-packages (pip packages nvidia-cudnn-frontend and nvidia-cudnn-cu*).

find_package(Python3 QUIET COMPONENTS Interpreter)
set(_cudnn_hints "")
if(Python3_EXECUTABLE)
    # The frontend's wheel puts its headers into site-packages/include, cuDNN's into nvidia/cudnn/include.
    execute_process(
        COMMAND
            ${Python3_EXECUTABLE} -c
            "import site, sysconfig
roots = [sysconfig.get_paths()['purelib'], site.getusersitepackages(), *site.getsitepackages()]
print(';'.join(path for root in dict.fromkeys(roots)
               for path in (root + '/include', root + '/nvidia/cudnn/include')), end='')"
        OUTPUT_VARIABLE _cudnn_hints
        ERROR_QUIET)
endif()

find_path(
    CudnnFrontend_INCLUDE_DIR cudnn_frontend.h
    HINTS ${CUDNN_FRONTEND_ROOT} ENV CUDNN_FRONTEND_ROOT ${CUDAToolkit_INCLUDE_DIRS} ${_cudnn_hints}
    PATH_SUFFIXES include)
find_path(
    Cudnn_INCLUDE_DIR cudnn.h
    HINTS ${CUDNN_ROOT} ENV CUDNN_ROOT ${CUDAToolkit_INCLUDE_DIRS} ${_cudnn_hints}
    PATH_SUFFIXES include)
mark_as_advanced(CudnnFrontend_INCLUDE_DIR Cudnn_INCLUDE_DIR)

if(CudnnFrontend_INCLUDE_DIR)
    file(STRINGS ${CudnnFrontend_INCLUDE_DIR}/cudnn_frontend_version.h _cudnn_lines
         REGEX "#define CUDNN_FRONTEND_(MAJOR|MINOR|PATCH)_VERSION")
    string(REGEX REPLACE "[^0-9;]" "" _cudnn_numbers "${_cudnn_lines}")
    string(REPLACE ";" "." CudnnFrontend_VERSION "${_cudnn_numbers}")
endif()

include(FindPackageHandleStandardArgs)
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
