"""Compiles with the given command line and keeps what ptxas says about kernels in OBJECT.ptxas, so that
tests/cuda_registers_test.py can compare it with the committed limits.

    ptxas_log.py OBJECT COMMAND...
"""

import pathlib
import subprocess
import sys


def is_about_kernels(line):
    return line.startswith("ptxas info") or "bytes stack frame" in line


def main():
    log, command = pathlib.Path(sys.argv[1] + ".ptxas"), sys.argv[2:]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
    lines = done.stderr.splitlines(keepends=True)
    sys.stderr.write("".join(line for line in lines if not is_about_kernels(line)))
    kept = "".join(line for line in lines if is_about_kernels(line))
    if done.returncode == 0 and kept:
        log.write_text(kept)
    return done.returncode


sys.exit(main())
