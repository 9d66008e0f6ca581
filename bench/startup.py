#!/usr/bin/env python3
"""How long `shardscope simulate` takes from its start to its first output.

  bench/startup.py [--binary build/release/bin/shardscope] [--runs 30]

Starts the program again and again and waits for the first byte of the report. Prints minimum and median;
exits with 1 when the minimum exceeds 30 ms, the project's target. The minimum, because what other programs
do on the machine only ever adds to it.
"""
import argparse
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = 0.030  # seconds


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "build/release/bin/shardscope")
    parser.add_argument("--scenario", default=ROOT / "scenarios/gpt2-h100.yaml")
    parser.add_argument("--runs", type=int, default=30)
    return parser.parse_args()


def first_output(command):
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        first = process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.stdout.read()
    if not first or process.returncode != 0:
        sys.exit(f"{command[0]} ended with exit code {process.returncode}")
    return seconds


def main():
    options = parse_arguments()
    command = [options.binary, "simulate", options.scenario]
    times = [first_output(command) for _ in range(options.runs)]
    print(f"first output of `simulate {pathlib.Path(options.scenario).name}`: minimum "
          f"{min(times) * 1e3:.1f} ms, median {statistics.median(times) * 1e3:.1f} ms "
          f"(target: at most {TARGET * 1e3:.0f} ms)")
    return 0 if min(times) <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
