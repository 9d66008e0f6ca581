#!/usr/bin/env python3
"""How far predicted step times are from measured ones, on this machine.

  bench/prediction.py [--binary build/release/bin/shardscope] [--rounds 3] [--steps 8]

Calibrates, then compares the quickstart's strategies at 1 and 2 ranks, `rounds` times in turn. A
strategy's measured time is the median over rounds. Prints a table and the median error of each rank
count; exits with 1 when one exceeds 15 %, the project's target.
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


def compare(options, calibration, ranks):
    command = [options.binary, "compare", options.scenario, "--calibration", calibration,
               "--ranks", str(ranks), "--steps", str(options.steps), "--json"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return {s["name"]: (s["simulated"]["step_time_s"], s["measured"]["step_time_s"])
            for s in json.loads(output.stdout)["strategies"]}


def main():
    options = parse_arguments()
    rounds = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        calibration = pathlib.Path(folder) / "this-machine.yaml"
        subprocess.run([options.binary, "calibrate", "--output", calibration], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(options.rounds):
            for ranks in rounds:
                rounds[ranks].append(compare(options, calibration, ranks))
    worst = 0.0
    print("ranks  strategy      predicted, ms  measured, ms  error, %")
    for ranks, results in rounds.items():
        errors = []
        for name in results[0]:
            predicted = results[0][name][0]
            measured = statistics.median(r[name][1] for r in results)
            errors.append(predicted / measured - 1)
            print(f"{ranks:5}  {name:12}  {predicted * 1e3:13.1f}  {measured * 1e3:12.1f}"
                  f"  {errors[-1] * 100:+8.1f}")
        median = statistics.median(abs(e) for e in errors)
        worst = max(worst, median)
        print(f"{ranks:5}  median error {median * 100:.1f} %")
    return 0 if worst <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
