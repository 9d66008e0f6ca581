"""Running shardscope and reading its reports."""
import json
import os
import pathlib
import re
import subprocess
import time


class Failure(Exception):
    """A part of a check could not be done; says why in one sentence."""


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


class Program:
    """The binaries of one folder, with a deadline for all of them together."""

    def __init__(self, folder, deadline, log, cache=None):
        self.folder, self.deadline, self.log = pathlib.Path(folder), deadline, log
        # The user's own calibration stays out of it.
        self.variables = {**os.environ, "NO_COLOR": "1", **({"XDG_CACHE_HOME": str(cache)} if cache else {})}

    def path(self, name="shardscope"):
        return str(self.folder / name)

    def run(self, words, limit, name="shardscope"):
        """Standard output of a command that must end well within `limit` seconds."""
        left = min(limit, self.deadline - time.monotonic())
        if left <= 1:
            raise Failure("out of time")
        command = [name if "/" in name else self.path(name), *map(str, words)]
        self.log("$ " + " ".join(command))
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=left,
                                  env=self.variables)
        except subprocess.TimeoutExpired:
            raise Failure(f"{pathlib.Path(str(words[0] if words else name)).name} did not end within "
                          f"{left:.0f} s")
        except OSError as error:
            raise Failure(f"{command[0]} cannot be started: {error.strerror}")
        if done.stderr:
            self.log(done.stderr)
        if done.returncode != 0 and not done.stdout.strip():
            raise Failure(last_line(done.stderr))
        return done.stdout

    def report(self, words, limit):
        """A report as JSON; strategies that failed are in it, with their errors."""
        text = self.run([*words, "--json"], limit)
        try:
            return json.loads(text)
        except ValueError:
            raise Failure(f"{words[0]} printed no report: {last_line(text)}")

    def launched(self, ranks, words, limit, per_gpu=1):
        """The same, of ranks that are processes."""
        shared = ["--ranks-per-gpu", str(per_gpu)] if per_gpu > 1 else []
        if ranks == 1:
            return self.report([*words, *shared], limit)
        return self.report(["launch", "--num_gpus", ranks, "--", *words, *shared], limit)


def describe_gpus(program):
    """What `devices` says of GPUs: (text, None), or (None, why there is none)."""
    text = program.run(["devices"], 60)
    found = re.search(r"^cuda\s+(available|not available)\s+.*?(?:NCCL \((.*)\))?$", text, re.M)
    if not found:
        return None, "this shardscope knows no backend cuda"
    if found.group(1) == "not available":
        return None, found.group(2) or "the cuda backend is not available"
    return text, None


def nvidia_smi():
    """Name, driver and memory of every GPU, as the driver's own tool says; empty where it is missing."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit",
             "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True,
                              timeout=30).stdout.strip().splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return []


def first(report):
    """The only strategy's measurement; Failure with its error where there is none."""
    strategy = report["strategies"][0]
    if strategy.get("measured") is None:
        error = strategy.get("error") or {}
        notes = "; ".join(report.get("context", {}).get("notes", []))
        raise Failure(f"{strategy['status']}: {error.get('message') or notes or 'no reason given'}")
    return strategy["measured"]
