#!/usr/bin/env python3
"""What has to hold on one GPU; scripts/gpu-check is the way to start it.

  gpu_check.py --bin FOLDER [--all] [--results FOLDER] [--only PART]... [--python PYTHON]

Parts: kernels, strategies, calibrate, predictions, speed. Each has a time limit; what one part found is kept
when another fails. Without --all everything takes 10 minutes at most, with fewer turns and shapes.
Writes RESULTS/<gpu>/<date>.json after every part, prints a table at the end. Exit code 0 when every
part holds, 1 when one does not or there is no GPU.
"""
import argparse
import datetime
import json
import pathlib
import re
import shlex
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import parts
from program import Failure, Program, describe_gpus, nvidia_smi

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = {"kernels": parts.check_kernels, "strategies": parts.check_strategies,
         "calibrate": parts.calibrate, "speed": parts.check_speed,
         "predictions": parts.check_predictions}
SCHEMA = 1


def default_binaries(root):
    """Of a bundle (scripts/gpu-bundle), or of the build."""
    return root / "bin" if (root / "bin/shardscope").exists() else root / "build/release/bin"


def parse_arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=default_binaries(ROOT),
                        help="folder of shardscope and shardscope-kernel-check")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench/results")
    parser.add_argument("--only", action="append", choices=list(PARTS), metavar="PART")
    parser.add_argument("--all", action="store_true", help="more turns and shapes; an hour")
    parser.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--models", nargs="+", default=list(parts.SPEED_MODELS),
                        choices=list(parts.SPEED_MODELS))
    parser.add_argument("--seed", type=int, help="of the kernel check's inputs")
    options = parser.parse_args(words)
    options.root, options.cluster = ROOT, None
    return options


def folder_name(gpu):
    return re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-") or "gpu"


def gpu_name(devices):
    """Of the table that `devices` prints: the name in the row of GPU 0."""
    found = re.search(r"^ *0  (.*?)  +\d", devices, re.M)
    return found.group(1).strip() if found else "gpu"


def write(results, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(results, indent=1) + "\n")
    draft.replace(path)


def run_part(known, name, program, folder, options, results):
    started = time.monotonic()
    try:
        part = known[name](program, folder, options)
    except Failure as failure:
        part = {"ok": False, "summary": str(failure), "error": str(failure)}
    except (KeyError, IndexError, ValueError, TypeError) as surprise:  # a report that is not as expected
        text = f"{type(surprise).__name__}: {surprise}"
        part = {"ok": False, "summary": "could not be read: " + text, "error": text}
    part["seconds_taken"] = round(time.monotonic() - started, 1)
    results["parts"][name] = part


def table(results):
    lines = [f"{'part':12}  {'holds':5}  {'s':>6}  what was found"]
    for name, part in results["parts"].items():
        lines.append(f"{name:12}  {'yes' if part['ok'] else 'NO':5}  {part['seconds_taken']:6.0f}  "
                     f"{part['summary']}")
    return "\n".join(lines)


def main(words=None):
    options = parse_arguments(words)
    budget = 3600 if options.all else 600
    log_lines = []
    with tempfile.TemporaryDirectory() as folder:
        program = Program(options.bin, time.monotonic() + budget, log_lines.append, folder)
        try:
            devices, why = describe_gpus(program)
        except Failure as failure:
            devices, why = None, str(failure)
        if devices is None:
            print(f"gpu-check: no GPU can be checked: {why}", file=sys.stderr)
            return 1
        return check(program, devices, folder, options, words, log_lines)


def check(program, devices, folder, options, words, log_lines):
    gpu = gpu_name(devices)
    options.cudnn = "Attention in bf16 is cuDNN's" in devices
    date = datetime.datetime.now(datetime.timezone.utc)
    path = options.results / folder_name(gpu) / f"{date:%Y-%m-%dT%H%M%SZ}.json"
    results = {"schema_version": SCHEMA, "date": f"{date:%Y-%m-%dT%H:%M:%SZ}", "gpu": gpu,
               "command": shlex.join(["gpu-check", *(words if words is not None else sys.argv[1:])]),
               "nvidia_smi": nvidia_smi(), "devices": devices, "parts": {}}
    for name in PARTS:
        if options.only and name not in options.only:
            continue
        print(f"gpu-check: {name} …", file=sys.stderr, flush=True)
        run_part(PARTS, name, program, folder, options, results)
        results["log"] = log_lines
        write(results, path)
    print(table(results))
    print(f"written to {path}")
    return 0 if all(part["ok"] for part in results["parts"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
