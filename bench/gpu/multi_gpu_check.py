#!/usr/bin/env python3
"""What has to hold on 2 to 64 GPUs; scripts/multi-gpu-check is the way to start it.

  multi_gpu_check.py [--bin FOLDER] [--gpus N] [--launch WORDS] [--output FILE]

Parts: collectives (NCCL's times beside nccl-tests' format), strategies (that they train one model), scaling (tokens
per second from one GPU to all), predictions (the simulator's error over strategies). On one machine ranks are
started by `shardscope launch`; on several, --launch says how: "mpirun -np 16 -H a:8,b:8", "srun -N 2
--ntasks-per-node 8". Writes one JSON file, to send back. Exit code 0 when every part holds.
"""
import argparse
import datetime
import json
import pathlib
import re
import shlex
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import parts
import scenarios
from gpu_check import ROOT, SCHEMA, default_binaries, gpu_name, run_part, table, write
from program import Failure, Program, describe_gpus, nvidia_smi

# Bus bandwidth over algorithm bandwidth, as nccl-tests defines it (doc/PERFORMANCE.md there).
BUS_FACTOR = {"all_reduce": lambda n: 2 * (n - 1) / n, "reduce_scatter": lambda n: (n - 1) / n,
              "all_gather": lambda n: (n - 1) / n, "transfer": lambda n: 1.0}


class Ranks:
    """Starts a command's ranks on all GPUs, or on the first few of this machine."""

    def __init__(self, program, launch):
        self.program, self.launch = program, launch

    def run(self, count, words, limit):
        if self.launch:
            return self.program.run([*self.launch, self.program.path(), *words], limit,
                                    "/usr/bin/env")
        if count == 1:
            return self.program.run(words, limit)
        return self.program.run(["launch", "--num_gpus", count, "--", *words], limit)

    def report(self, count, words, limit):
        text = self.run(count, [*words, "--json"], limit)
        try:
            return json.loads(text)
        except ValueError:
            raise Failure(f"{words[0]} printed no report")


def collective_rows(cluster_text):
    """Of a cluster file: every sample of NCCL's, with bandwidths."""
    rows = []
    nccl = cluster_text[cluster_text.find("nccl:"):] if "nccl:" in cluster_text else ""
    pattern = r"\[(all_reduce|reduce_scatter|all_gather|transfer), (\d+), (\d+), (\d+), ([\d.e+-]+)"
    for kind, ranks, hosts, size, seconds in re.findall(pattern, nccl):
        ranks, size, seconds = int(ranks), int(size), float(seconds)
        algorithm = size / seconds / 1e9
        rows.append({"kind": kind, "ranks": ranks, "hosts": int(hosts), "bytes": size,
                     "us": seconds * 1e6, "algbw_gb_per_s": algorithm,
                     "busbw_gb_per_s": algorithm * BUS_FACTOR[kind](ranks)})
    return rows


def nccl_tests_text(rows):
    """As nccl-tests prints its tables, out-of-place columns only, a table per collective and group."""
    lines, last = [], None
    for row in sorted(rows, key=lambda r: (r["kind"], r["ranks"], r["hosts"], r["bytes"])):
        group = (row["kind"], row["ranks"], row["hosts"])
        if group != last:
            last = group
            lines.append(f"# {row['kind']}, {row['ranks']} ranks on {row['hosts']} host(s)")
            lines.append("#       size         count      type   redop    time   algbw   busbw")
            lines.append("#        (B)    (elements)                      (us)  (GB/s)  (GB/s)")
        redop = "sum" if row["kind"] in ("all_reduce", "reduce_scatter") else "none"
        lines.append(f"{row['bytes']:12}  {row['bytes'] // 4:12}     float  {redop:>6}"
                     f"  {row['us']:6.1f}  {row['algbw_gb_per_s']:6.2f}  {row['busbw_gb_per_s']:6.2f}")
    return "\n".join(lines)


def check_collectives(_program, folder, options):
    path = pathlib.Path(folder) / "cluster.yaml"
    options.ranks.run(options.gpus, ["calibrate", "--backend", "cuda", "--output", path], 1500)
    options.cluster = path
    text = path.read_text()
    rows = collective_rows(text)
    if not rows:
        raise Failure("the calibration has no collective of NCCL's")
    best = max(rows, key=lambda r: (r["kind"] == "all_reduce", r["ranks"], r["busbw_gb_per_s"]))
    return {"rows": rows, "text": nccl_tests_text(rows), "cluster": text, "ok": True,
            "summary": f"all-reduce of {best['ranks']} ranks: {best['busbw_gb_per_s']:.0f} GB/s bus "
                       "bandwidth"}


def check_strategies(program, folder, options):
    """Every strategy trains what one GPU trains."""
    rows, expected = [], None
    scenario = scenarios.strategy_check(1, "fp32")
    one = parts.write_scenario(folder, scenario)
    expected = parts.first(program.report(["run", one, "--backend", "cuda"], 120))["losses"]
    for ranks in counts(options):
        scenario = scenarios.strategy_check(ranks, "fp32")
        path = parts.write_scenario(folder, scenario)
        try:
            report = options.ranks.report(ranks, ["run", path, "--backend", "cuda"], 300)
        except Failure as failure:
            rows.append({"ranks": ranks, "strategy": "all", "error": str(failure)})
            continue
        for strategy in report["strategies"]:
            row = {"ranks": ranks, "strategy": strategy["name"]}
            rows.append(row)
            if not strategy.get("measured"):
                row["error"] = (strategy.get("error") or {}).get("message", strategy["status"])
                continue
            row["loss_error"] = parts.compare_losses(strategy["measured"]["losses"], expected,
                                                     parts.LOSS_TOLERANCE["fp32"])
            row["ok"] = row["loss_error"] <= parts.LOSS_TOLERANCE["fp32"]
    good = sum(1 for row in rows if row.get("ok"))
    return {"rows": rows, "ok": good == len(rows),
            "summary": f"{good} of {len(rows)} strategies train what one GPU trains"}


def counts(options):
    """Numbers of ranks: on several machines only all of them, since the launcher decides."""
    if options.launch:
        return [options.gpus]
    return sorted({n for n in (2, 4, 8, 16, 32, 64) if n <= options.gpus} | {options.gpus})


def scaling_strategies(ranks):
    chosen = [{"name": "ddp"}, {"name": "zero-1", "zero": 1}, {"name": "zero-3", "zero": 3}]
    if ranks % 2 == 0:
        chosen += [{"name": "tp2", "tp": 2}, {"name": "pp2", "pp": 2}]
    return chosen


def check_scaling(_program, folder, options):
    """Tokens per second of GPT-2 350M with 8 samples per GPU; and what was predicted for each."""
    if not getattr(options, "cluster", None):
        raise Failure("there is no calibration to predict with")
    rows = []
    for ranks in ([1] if not options.launch else []) + counts(options):
        cluster = {"file": str(options.cluster)}
        if not options.launch:
            cluster |= {"nodes": 1, "gpus_per_node": ranks}
        path = parts.write_scenario(folder, scenarios.scenario(
            f"scaling {ranks}", scenarios.gpt(*scenarios.GPTS["gpt2-350m"]), cluster,
            scaling_strategies(ranks) if ranks > 1 else [{"name": "single"}],
            batch=8 * ranks, micro_batch=4, steps=15))
        try:
            report = options.ranks.report(ranks, ["compare", path, "--backend", "cuda"], 600)
        except Failure as failure:
            rows.append({"ranks": ranks, "strategy": "all", "error": str(failure)})
            continue
        rows += [scaling_row(ranks, strategy) for strategy in report["strategies"]]
    done = [row for row in rows if "step_error" in row]
    if not done:
        raise Failure(rows[0].get("error", "nothing ran"))
    alone = [row["tokens_per_s"] for row in done if row["ranks"] == 1]
    for row in done:
        if alone:
            row["efficiency"] = row["tokens_per_s"] / row["ranks"] / alone[0]
    median = statistics.median(abs(row["step_error"]) for row in done)
    best = max((row for row in done if row["ranks"] == options.gpus), default=done[-1],
               key=lambda r: r["tokens_per_s"])
    return {"rows": rows, "median_step_error": median,
            "ok": len(done) == len(rows),
            "summary": f"{best['tokens_per_s']:,.0f} tokens/s on {best['ranks']} GPUs ({best['strategy']}); "
                       f"median error of predicted step times {100 * median:.1f} %"}


def scaling_row(ranks, strategy):
    row = {"ranks": ranks, "strategy": strategy["name"]}
    measured, simulated = strategy.get("measured"), strategy.get("simulated")
    if not measured or not simulated:
        return row | {"error": (strategy.get("error") or {}).get("message", strategy["status"])}
    return row | {"tokens_per_s": measured["tokens_per_s"], "measured_s": measured["step_time_s"],
                  "predicted_s": simulated["step_time_s"], "time": measured["time"],
                  "step_error": simulated["step_time_s"] / measured["step_time_s"] - 1}


PARTS = {"collectives": check_collectives, "strategies": check_strategies, "scaling": check_scaling}


def parse_arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=default_binaries(ROOT))
    parser.add_argument("--gpus", type=int, help="2 to 64; default: all of this machine")
    parser.add_argument("--launch", type=shlex.split, help="how ranks are started on several machines")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("multi-gpu.json"))
    return parser.parse_args(words)


def main(words=None):
    options = parse_arguments(words)
    options.cluster = None
    log_lines = []
    with tempfile.TemporaryDirectory() as folder:
        program = Program(options.bin, time.monotonic() + 2 * 3600, log_lines.append, folder)
        try:
            devices, why = describe_gpus(program)
        except Failure as failure:
            devices, why = None, str(failure)
        there = len(re.findall(r"GPU-[0-9a-f-]+", devices or ""))
        options.gpus = options.gpus or there
        if devices and (options.gpus < 2 or options.gpus > 64):
            devices, why = None, f"2 to 64 GPUs are needed, here are {options.gpus}"
        if devices is None:
            print(f"multi-gpu-check: no GPUs can be checked: {why}", file=sys.stderr)
            return 1
        options.ranks = Ranks(program, options.launch)
        date = datetime.datetime.now(datetime.timezone.utc)
        results = {"schema_version": SCHEMA, "date": f"{date:%Y-%m-%dT%H:%M:%SZ}",
                   "gpu": gpu_name(devices), "gpus": options.gpus,
                   "command": shlex.join(["multi-gpu-check", *(words or sys.argv[1:])]),
                   "nvidia_smi": nvidia_smi(), "devices": devices, "parts": {}}
        for name in PARTS:
            print(f"multi-gpu-check: {name} …", file=sys.stderr, flush=True)
            run_part(PARTS, name, program, folder, options, results)
            results["log"] = log_lines
            write(results, options.output)
    if "text" in results["parts"]["collectives"]:
        print(results["parts"]["collectives"]["text"])
    print(table(results))
    print(f"written to {options.output}: please send it back")
    return 0 if all(part["ok"] for part in results["parts"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
