# Language, output folders, and the interface target `shardscope_settings` with the flags that all
# our code, and only our code, is compiled with.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
# Loadable modules of backends.
set(SHARDSCOPE_MODULE_DIR ${PROJECT_BINARY_DIR}/lib/shardscope)
set(CMAKE_INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}/shardscope")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
# -O1 rather than -O0: Eigen and the simulator are unusably slow without inlining.
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")
if(SHARDSCOPE_SANITIZE)
    # Reports need functions and lines; the rest costs a quarter of the time to compile, -O1 nearly half of it.
    set(CMAKE_CXX_FLAGS_DEBUG "-Og -g1")
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

add_library(shardscope_settings INTERFACE)
set(shardscope_cxx_options
    # a·b + c is never fused behind our back: the same source gives the same bits everywhere.
    -ffp-contract=off
    -Wall
    -Wextra
    -Wpedantic
    -Wshadow
    -Wconversion
    -Wnon-virtual-dtor
    -Woverloaded-virtual
    -Wold-style-cast
    -Wcast-align
    # clang counts it to -Wconversion, GCC does not.
    -Wno-sign-conversion
    # GCC 12 reports it falsely in std::string's operator+ (GCC bug 105329).
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
    $<$<BOOL:${SHARDSCOPE_WERROR}>:-Werror>)
# nvcc's own generated code would not pass the rest of the warnings.
set(shardscope_cuda_options -Xcompiler=-ffp-contract=off,-Wall --expt-relaxed-constexpr)
target_compile_options(
    shardscope_settings
    INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${shardscope_cxx_options}>"
              "$<$<COMPILE_LANGUAGE:CUDA>:${shardscope_cuda_options}>")
target_link_options(shardscope_settings INTERFACE -Wl,--as-needed)

if(SHARDSCOPE_SANITIZE)
    target_compile_options(
        shardscope_settings
        INTERFACE -fsanitize=${SHARDSCOPE_SANITIZE}
                  -fno-sanitize-recover=all
                  # Left out, as they check every access and take a third of the time to compile: null pointers
                  # and objects too small are found by AddressSanitizer anyway; alignment and casts are not checked.
                  -fno-sanitize=null,alignment,object-size,vptr
                  -fno-omit-frame-pointer
                  # GCC reports false positives once sanitizer checks split the control flow.
                  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    # An index past a vector's end lies within what it has reserved, which AddressSanitizer does not see.
    target_compile_definitions(shardscope_settings INTERFACE _GLIBCXX_ASSERTIONS)
    target_link_options(shardscope_settings INTERFACE -fsanitize=${SHARDSCOPE_SANITIZE})
endif()
