"""Proves the include rule of ARCHITECTURE.md on every source file, and the size limit of a file.

Which folder may include which of ours is FOLDERS; which headers of other libraries may be included
where is LIBRARIES. A header that is in neither is a violation too, so a new dependency has to be
given its place here. The checker is itself checked first, on includes that must be reported.
"""

import pathlib
import re
import sys

MAX_LINES = 700
SUFFIXES = {".h", ".cpp", ".cu", ".cuh", ".py", ".cmake"}

# Our own folders: the folders that a file in it may include, beside its own.
FOLDERS = {
    "core": [],
    "simulator": ["core"],
    "backends": ["core"],
    "cli": ["core", "simulator", "backends"],
    "gui": ["core", "simulator"],
    "bench": ["core", "simulator", "backends", "cli", "gui", "tests"],  # tests: what they show a window with
    "tests": ["core", "simulator", "backends", "cli", "gui"],
}

# One vendor's folder each; they share backends/ but never include each other.
VENDOR_FOLDERS = ["backends/cpu", "backends/cuda", "backends/mpi"]

# What a vendor's module offers to the program that loads it: headers without any vendor's.
MODULE_INTERFACES = {
    "backends/cuda/check/kernel_check.h",
    "backends/cuda/cuda_options.h",
    "backends/cuda/measurement.h",
    "backends/cuda/module.h",
}

# In core, only files of these names read or write a file format.
PARSERS = r"core/(.*/)?([a-z0-9_]+_io|[a-z0-9_]*(yaml|json|import|export)[a-z0-9_]*)\.(h|cpp)"

# Headers of other libraries; the files (patterns of the whole path) that may include them; and that
# rule in words.
LIBRARIES = [
    (r"fmt/.*", r".*", "everywhere"),
    (
        r"yaml-cpp/.*|nlohmann/.*",
        PARSERS + r"|(tests|bench)/.*",
        "in core's files named *_io, *yaml*, *json*, *import*, *export*, and in tests and bench",
    ),
    (r"CLI/.*", r"cli/.*", "in cli"),
    (r"gtest/.*|gmock/.*", r"tests/.*", "in tests"),
    (r"benchmark/.*", r"bench/.*", "in bench"),
    (
        r"Eigen/.*|unsupported/Eigen/.*|(oneapi/dnnl/)?dnnl.*|omp\.h|cblas\.h",
        r"(backends/cpu|bench)/.*",
        "in backends/cpu, and in bench to compare with",
    ),
    (
        r"cu(da|blas|dnn|rand|pti|solver|sparse).*|nccl.*|nvml.*|nvtx.*|cub/.*",
        r"(backends/cuda|tests/cuda|tests/host_device)/.*",
        "in backends/cuda, and in tests of it",
    ),
    (r"mpi\.h", r"backends/mpi/.*", "in backends/mpi"),
    (
        r"Q(Abstract|Byte|Core|Date|Dir|Elapsed|Event|File|Json|Lib|List|Locale|Map|Meta|Mime|Model|Mutex|Object|Pointer"
        r"|Process|Queue|Regular|Save|Settings|Signal|Socket|Standard|String|Temporary|Text|Thread|Timer|Var)[A-Za-z]*",
        r"gui/.*|(tests|bench)/gui/.*",
        "in gui",
    ),
    (r"Q[A-Za-z/]+|qcustomplot\.h", r"gui/(views/.*|main\.cpp)|(tests|bench)/gui/.*", "in gui/views (models and session: Qt Core)"),
    (
        r"(sys|linux|net|netinet|arpa)/.*|(ifaddrs|unistd|pthread|dlfcn|fcntl|sched|malloc|poll|spawn|link|signal|time|netdb)\.h",
        r".*",
        "everywhere",
    ),
    (
        r"(immintrin|x86intrin|cpuid)\.h|sanitizer/.*",
        r"(backends|bench|tests)/.*",
        "in backends, bench and tests",
    ),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
BACKEND_CONDITION = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif)\b.*\bSHARDSCOPE_(CUDA|MPI|CPU)")
STANDARD_HEADER = re.compile(r"[a-z0-9_]+")


def vendor_folder(path):
    return next((folder for folder in VENDOR_FOLDERS if path.startswith(folder + "/")), None)


def check_own_include(path, header):
    """Why `path` may not include our "header", or None."""
    folder, target = path.split("/")[0], header.split("/")[0]
    if target not in FOLDERS:
        return f'"{header}" is not relative to the repository root'
    if target != folder and target not in FOLDERS[folder]:
        return f'{folder}/ may not include "{header}"'
    vendor = vendor_folder(header)
    if header in MODULE_INTERFACES:
        return None
    if path in MODULE_INTERFACES and vendor:
        return f'"{header}" is no part of what a module offers to others'
    if folder == "backends" and vendor and vendor != vendor_folder(path):
        return f'"{header}" belongs to {vendor}/, which only that folder may include'
    return None


def check_library_include(path, header):
    """Why `path` may not include <header>, or None."""
    if STANDARD_HEADER.fullmatch(header):
        return None
    for headers, places, rule in LIBRARIES:
        if re.fullmatch(headers, header):
            return None if re.fullmatch(places, path) else f"<{header}> may be included only {rule}"
    return f"<{header}> has no place yet: add it to LIBRARIES in tests/layering_test.py"


def check_file(path, text):
    """Yields (line, message) for every violation in a file of our own."""
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        yield len(lines), f"{len(lines)} lines; split it, the limit is {MAX_LINES}"
    if path.endswith((".py", ".cmake")):
        return
    if path.endswith((".h", ".cuh")) and "#pragma once" not in lines:
        yield 1, "a header without #pragma once"
    for number, line in enumerate(lines, 1):
        if BACKEND_CONDITION.match(line) and path != "cli/runners.cpp":
            yield number, "only cli/runners.cpp may be compiled differently per backend"
        match = INCLUDE.match(line)
        if match:
            check = check_own_include if match[1] == '"' else check_library_include
            message = check(path, match[2])
            if message:
                yield number, message


def check_the_checker():
    """Negative and positive controls. Yields a message for each that comes out wrong."""
    bad = [
        ("core/plan.cpp", '#include "simulator/cost_model.h"'),
        ("core/plan.cpp", '#include "backends/executor.h"'),
        ("core/plan.cpp", '#include "units.h"'),
        ("core/plan.cpp", "#include <yaml-cpp/yaml.h>"),
        ("core/model/model.h", "#include <nlohmann/json.hpp>"),
        ("core/plan.cpp", "  #  include <Eigen/Dense>"),
        ("core/plan.cpp", "#include <unheard/of.h>"),
        ("simulator/cost_model.cpp", '#include "backends/executor.h"'),
        ("simulator/cost_model.cpp", '#include "cli/table.h"'),
        ("backends/interpreter.cpp", '#include "simulator/cost_model.h"'),
        ("backends/interpreter.cpp", '#include "backends/cpu/arena.h"'),
        ("backends/interpreter.cpp", "#include <oneapi/dnnl/dnnl.hpp>"),
        ("backends/cpu/arena.cpp", '#include "backends/cuda/arena.h"'),
        ("backends/cpu/arena.cpp", "#include <mpi.h>"),
        ("backends/cuda/arena.cu", "#include <omp.h>"),
        ("backends/mpi/ranks.cpp", "#include <nccl.h>"),
        ("cli/main.cpp", "#include <cuda_runtime.h>"),
        ("tests/backends/executor_test.cpp", "#include <nccl.h>"),
        ("backends/cuda/arena.cpp", '#include "tests/host_device/control.h"'),
        ("cli/main.cpp", '#include "gui/session.h"'),
        ("cli/main.cpp", "#ifdef SHARDSCOPE_CUDA"),
        ("gui/session.cpp", '#include "backends/executor.h"'),
        ("core/long.cpp", "\n" * (MAX_LINES + 1)),
        ("core/no_guard.h", "int x;"),
    ]
    good = [
        ("core/scenario_io.cpp", "#include <yaml-cpp/yaml.h>\n#include <nlohmann/json.hpp>"),
        ("core/plan.cpp", '#include "core/units.h"\n#include <vector>\n#include <fmt/core.h>'),
        ("backends/cpu/gemm.cpp", '#include <Eigen/Core>\n#include "backends/executor.h"'),
        ("cli/runners.cpp", '#if SHARDSCOPE_CUDA\n#include "backends/cpu/runner.h"\n#endif'),
        ("tests/core/plan_test.cpp", '#include <gtest/gtest.h>\n#include "core/plan.h"'),
        ("tests/cuda/norm_test.cpp", '#include <cuda_runtime.h>\n#include "backends/cuda/arena.h"'),
        ("core/full.cpp", "\n" * MAX_LINES),
    ]
    for path, text in bad:
        if not list(check_file(path, text)):
            yield f"not reported: {path}: {text.strip()}"
    for path, text in good:
        for _, message in check_file(path, text):
            yield f"wrongly reported: {path}: {message}"


def source_files(root):
    for folder in [*FOLDERS, "cmake", "scripts"]:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix in SUFFIXES:
                yield path


def main():
    failures = list(check_the_checker())
    root = pathlib.Path(__file__).resolve().parent.parent
    files = list(source_files(root))
    for file in files:
        path = file.relative_to(root).as_posix()
        for line, message in check_file(path, file.read_text(encoding="utf-8")):
            failures.append(f"{path}:{line}: {message}")
    print("\n".join(failures) if failures else f"{len(files)} files keep the include rule")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
