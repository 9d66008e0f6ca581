# The few functions that the folders' CMakeLists.txt are written with.

# Sources are globbed: which folder a file lies in already says which target it belongs to, and the
# folders are small. CONFIGURE_DEPENDS makes a build notice new and removed files by itself.
function(shardscope_glob_sources out)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
    set(${out} ${sources} PARENT_SCOPE)
endfunction()

# A library of ours. One that has no source yet still links, as an empty archive.
function(shardscope_add_library name kind)
    set(sources ${ARGN})
    if(NOT sources)
        set(sources ${PROJECT_BINARY_DIR}/generated/${name}_empty.cpp)
        file(GENERATE OUTPUT ${sources} CONTENT "")
    endif()
    add_library(${name} ${kind} ${sources})
    target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
    target_link_libraries(${name} PRIVATE shardscope_settings)
endfunction()

# Makes the tests of `target` whose names match `filter` known to ctest.
function(shardscope_discover_tests target filter timeout)
    if(SHARDSCOPE_SANITIZE)
        math(EXPR timeout "4 * ${timeout}")
    endif()
    # PRE_TEST: a test binary that crashes on start fails ctest, not the build.
    gtest_discover_tests(
        ${target}
        TEST_FILTER ${filter}
        DISCOVERY_MODE PRE_TEST
        DISCOVERY_TIMEOUT 60
        PROPERTIES TIMEOUT ${timeout} ${ARGN})
endfunction()

# For code that runs once, as that of tests does: builds spend most of their time compiling it.
# What it calls is still checked for undefined behaviour, and itself for wrong accesses to memory.
function(shardscope_compile_quickly name)
    if(SHARDSCOPE_SANITIZE)
        target_compile_options(${name} PRIVATE -O0 -fno-sanitize=undefined)
    else()
        target_compile_options(${name} PRIVATE -O1)
    endif()
endfunction()

# A GoogleTest executable. A name in a suite says how ctest treats it: "Slow" gets more time and the
# label `slow`, which scripts/test leaves out under the sanitizers; "Timing" has the machine to
# itself. `slow_threads` is how many cores a slow test keeps busy: two that train at once take longer than
# one after the other.
function(shardscope_add_tests name slow_threads)
    add_executable(${name} ${ARGN})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
    target_compile_definitions(${name} PRIVATE SHARDSCOPE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    target_link_libraries(
        ${name} PRIVATE shardscope_settings test_support GTest::gtest_main GTest::gmock)
    shardscope_compile_quickly(${name})
    shardscope_discover_tests(${name} "-*Slow*:*Timing*" 120)
    # The longest first.
    shardscope_discover_tests(${name} "*Slow*" 600 LABELS slow COST 10 PROCESSORS ${slow_threads})
    shardscope_discover_tests(${name} "*Timing*" 120 RUN_SERIAL TRUE)
endfunction()
