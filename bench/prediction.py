#!/usr/bin/env python3
"""How far predicted step times are from measured ones, on this machine.

  bench/prediction.py [--binary build/release/bin/shardscope] [--rounds 3] [--steps 8]

Calibrates, then compares the quickstart's strategies, `rounds` times in turn. A strategy's measured
time is the median over rounds. Prints a table and the median error; exits with 1 when that exceeds
15 %, the project's target.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = 0.15


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "build/release/bin/shardscope")
    parser.add_argument("--scenario", default=ROOT / "scenarios/quickstart.yaml")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    return parser.parse_args()


def compare(options, calibration):
    command = [options.binary, "compare", options.scenario, "--calibration", calibration,
               "--steps", str(options.steps), "--json"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return {s["name"]: (s["simulated"]["step_time_s"], s["measured"]["step_time_s"])
            for s in json.loads(output.stdout)["strategies"]}


def main():
    options = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        calibration = pathlib.Path(folder) / "this-machine.yaml"
        subprocess.run([options.binary, "calibrate", "--output", calibration], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rounds = [compare(options, calibration) for _ in range(options.rounds)]
    errors = []
    print("strategy              predicted, ms  measured, ms  error, %")
    for name in rounds[0]:
        predicted = rounds[0][name][0]
        measured = statistics.median(r[name][1] for r in rounds)
        errors.append(predicted / measured - 1)
        print(f"{name:20}  {predicted * 1e3:13.1f}  {measured * 1e3:12.1f}"
              f"  {errors[-1] * 100:+8.1f}")
    median = statistics.median(abs(e) for e in errors)
    print(f"median error {median * 100:.1f} % (target: at most {TARGET * 100:.0f} %)")
    return 0 if median <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
