"""Registers and spills of the hot kernels, as ptxas reported them in this build, against bench/ptxas_limits.txt.

    cuda_registers_test.py BUILD_FOLDER LIMITS

Prints a table of every hot kernel and architecture. A limit is of all instances of a kernel (a template), which ptxas
compiles one by one. Kernels of the limits that are not there fail too: they were renamed.
"""

import pathlib
import re
import sys

COMPILING = re.compile(r"Compiling entry function '(\w+)' for '(sm_\d+)\w*'")
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


def source_name(mangled):
    """The function's own name: the last <length><name> before template arguments or parameters."""
    rest, name = mangled.removeprefix("_ZN").removeprefix("_Z"), ""
    while found := re.match(r"(\d+)", rest):
        length = int(found.group(1))
        name, rest = rest[found.end():][:length], rest[found.end() + length:]
    return name


def read_logs(folder):
    """{(kernel, architecture): (most registers, most bytes spilled)}"""
    worst = {}
    for path in sorted(folder.rglob("*.ptxas")):
        key, spilled = None, 0
        for line in path.read_text().splitlines():
            if found := COMPILING.search(line):
                key, spilled = (source_name(found.group(1)), found.group(2)), 0
            elif key and (found := SPILLS.search(line)):
                spilled = int(found.group(1)) + int(found.group(2))
            elif key and (found := REGISTERS.search(line)):
                before = worst.get(key, (0, 0))
                worst[key] = (max(before[0], int(found.group(1))), max(before[1], spilled))
    return worst


def read_limits(path):
    """Rows of kernel, architecture ("*": any), registers, bytes spilled."""
    rows = []
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            rows.append((words[0], words[1], int(words[2]), int(words[3])))
    return rows


def limit_for(limits, kernel, architecture):
    of_kernel = {row[1]: row[2:] for row in limits if row[0] == kernel}
    return of_kernel.get(architecture, of_kernel.get("*"))


def violations(worst, limits):
    """Every limit that does not hold, in words; prints the table."""
    found = []
    print(f"{'kernel':28}  {'arch':7}  {'registers':>9}  {'limit':>5}  {'spilled':>7}  {'limit':>5}")
    for (kernel, architecture), (registers, spilled) in sorted(worst.items()):
        limit = limit_for(limits, kernel, architecture)
        if limit is None:
            continue
        print(f"{kernel:28}  {architecture:7}  {registers:9}  {limit[0]:5}  {spilled:7}  {limit[1]:5}")
        if registers > limit[0] or spilled > limit[1]:
            found.append(f"{kernel} on {architecture}: {registers} registers and {spilled} bytes spilled, "
                         f"but {limit[0]} and {limit[1]} are allowed")
    there = {kernel for kernel, _ in worst}
    found += [f"no kernel {row[0]} was compiled" for row in limits if row[0] not in there]
    return found


def check_itself():
    """That it finds what it is for."""
    assert source_name("_ZN10shardscope4cuda12_GLOBAL__N_14ropeINS_4Bf16ELi1EEEvPT_") == "rope"
    worst = {("rope", "sm_90"): (64, 8), ("norm", "sm_80"): (32, 0)}
    assert not violations(worst, [("rope", "*", 64, 8), ("norm", "sm_80", 32, 0)])
    assert len(violations(worst, [("rope", "*", 63, 8)])) == 1
    assert len(violations(worst, [("rope", "sm_90", 64, 7), ("rope", "*", 99, 99)])) == 1
    assert len(violations(worst, [("gone", "*", 64, 8)])) == 1


def main():
    check_itself()
    worst = read_logs(pathlib.Path(sys.argv[1]))
    if not worst:
        print("ptxas said nothing in this build: no .ptxas file in", sys.argv[1])
        return 1
    print()
    found = violations(worst, read_limits(pathlib.Path(sys.argv[2])))
    for text in found:
        print("FAILED:", text)
    return 1 if found else 0


sys.exit(main())
