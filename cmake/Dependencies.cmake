# Everything comes from Debian packages (scripts/dependencies.txt says which and why); nothing is
# downloaded or vendored. Imported targets are system includes, so their headers do not warn.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Python3 REQUIRED COMPONENTS Interpreter)

find_package(fmt CONFIG REQUIRED)
find_package(yaml-cpp CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)

find_package(Eigen3 CONFIG REQUIRED)
find_package(dnnl CONFIG REQUIRED)

# Optional: without it ranks in several processes communicate over TCP only.
if(SHARDSCOPE_MPI)
    find_package(MPI COMPONENTS CXX)
endif()

# The window. Its chart library is Debian's libqcustomplot-dev, built for Qt 6.
set(SHARDSCOPE_GUI FALSE)
if(NOT BUILD_GUI STREQUAL "OFF")
    find_package(Qt6 6.4 QUIET COMPONENTS Core Widgets Svg PrintSupport)
    find_package(QCustomPlotQt6 CONFIG QUIET)
    if(Qt6_FOUND AND TARGET QCustomPlotQt6::QCustomPlotQt6)
        set(SHARDSCOPE_GUI TRUE)
    elseif(BUILD_GUI STREQUAL "ON")
        message(FATAL_ERROR "BUILD_GUI=ON, but Qt 6 or QCustomPlot is missing:\n"
                            "  apt install qt6-base-dev libqt6svg6-dev libqcustomplot-dev libgl-dev")
    else()
        message(STATUS "GUI: skipped, Qt 6 or QCustomPlot is missing (apt install qt6-base-dev "
                       "libqt6svg6-dev libqcustomplot-dev libgl-dev)")
    endif()
endif()

if(SHARDSCOPE_TESTS)
    find_package(GTest CONFIG REQUIRED)
endif()
if(SHARDSCOPE_BENCHMARKS)
    find_package(benchmark CONFIG REQUIRED)
endif()
