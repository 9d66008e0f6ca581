"""The parts of scripts/gpu-check: each returns what it measured and a verdict, or raises Failure."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import scenarios
from program import Failure, first, last_line

# fp32: sums in another order. bf16: what is communicated is rounded to 8 bits on the way.
LOSS_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
RUNTIME_TOLERANCE = 0.05
PREDICTION_TARGET = 0.05
SPEED_TARGET = {"gpt2-124m": 1.0, "gpt2-350m": 1.0, "gpt2-1.3b": 1.0, "mlp": 2.0}
FLOP_CONVENTION = ("matrix multiplies only, forward and backward, causal attention at half of the square; "
                   "recomputation not counted (docs/report.md)")


def write_scenario(folder, scenario):
    path = pathlib.Path(folder) / (re.sub(r"\W+", "-", scenario["name"]) + ".json")
    path.write_text(json.dumps(scenario))
    return path


def check_kernels(program, _folder, options):
    """Every kernel beside the CPU's in fp64, and their speed."""
    cases = []
    for more in ([], ["--cudnn"]) if options.cudnn else ([],):
        words = ["--json", *more] + (["--seed", options.seed] if options.seed is not None else [])
        text = program.run(words, 180, "shardscope-kernel-check")
        cases += [json.loads(line) | {"cudnn": bool(more)} for line in text.splitlines()
                  if line.startswith("{")]
    if not cases:
        raise Failure("the kernel check printed no case")
    failed = [c for c in cases if not c["passed"]]
    timed = [json.loads(line) for line in
             program.run(["--json", "--timed"], 60, "shardscope-kernel-check").splitlines()
             if line.startswith("{")]
    worst = {}
    for case in cases:
        key = f"{case['kernel']} {case['dtype']}"
        worst[key] = max(worst.get(key, 0.0), case["error"] / case["tolerance"])
    return {"cases": len(cases), "failed": failed, "worst_of_tolerance": worst, "timed": timed,
            "ok": not failed,
            "summary": f"{len(cases)} cases, {len(failed)} failed, the worst at "
                       f"{max(worst.values()):.2f} of its tolerance"}


def planned_bytes(report):
    """Peak bytes of what the plan places, per strategy: without what lies outside the arena."""
    result = {}
    for strategy in report["strategies"]:
        side = strategy.get("measured") or strategy.get("simulated")
        if side:
            result[strategy["name"]] = [
                rank["peak_bytes"] - rank["categories"]["runtime"] for rank in
                side["memory"]["ranks"]]
    return result


def compare_losses(losses, expected, tolerance):
    """The largest relative difference; an error where one is no number."""
    if len(losses) != len(expected) or not expected:
        return float("inf")
    return max((abs(a - b) / max(abs(b), 1e-12) if a is not None and b is not None else
                float("inf")) for a, b in zip(losses, expected))


def check_strategies(program, folder, _options):
    """Strategies on 1, 2 and 4 ranks of one GPU train what one rank trains, in the planned bytes."""
    rows, expected = [], {}
    for precision in ("fp32", "bf16"):
        for ranks in (1, 2, 4):
            path = write_scenario(folder, scenarios.strategy_check(ranks, precision))
            words = ["run", path, "--backend", "cuda"]
            try:
                report = program.launched(ranks, words, 120, per_gpu=ranks)
            except Failure as failure:
                rows.append({"ranks": ranks, "precision": precision, "strategy": "all",
                             "error": str(failure)})
                continue
            planned = planned_bytes(program.report(["simulate", path], 30))
            used = planned_bytes(report)
            for strategy in report["strategies"]:
                row = {"ranks": ranks, "precision": precision, "strategy": strategy["name"]}
                rows.append(row)
                if not strategy.get("measured"):
                    row["error"] = (strategy.get("error") or {}).get("message", strategy["status"])
                    continue
                losses = strategy["measured"]["losses"]
                expected.setdefault(precision, losses)
                row["loss_error"] = compare_losses(losses, expected[precision],
                                                   LOSS_TOLERANCE[precision])
                row["arena_is_plan"] = set(used[strategy["name"]]) == set(planned[strategy["name"]])
                row["ok"] = (row["loss_error"] <= LOSS_TOLERANCE[precision] and
                             row["arena_is_plan"])
    good = sum(1 for row in rows if row.get("ok"))
    return {"rows": rows, "tolerance": LOSS_TOLERANCE, "ok": good == len(rows),
            "summary": f"{good} of {len(rows)} strategies equal to one rank, with the planned bytes"}


def calibrate(program, folder, options):
    """Measures the GPU; later parts predict with it."""
    path = pathlib.Path(folder) / "cluster.yaml"
    words = ["calibrate", "--backend", "cuda", "--output", path]
    started = time.monotonic()
    text = program.run(words + ([] if options.all else ["--quick"]), 900 if options.all else 150)
    options.cluster = path
    cluster = path.read_text()
    peaks = re.search(r"peak:\s*\{([^}]*)\}|peak:\n((?:\s+\w+: .*\n)+)", cluster)
    rates = dict(re.findall(r"(fp32|bf16):\s*([\d.e+]+)", (peaks.group(0) if peaks else "")))
    options.ceiling = float(rates["bf16"]) if "bf16" in rates else None
    return {"seconds": time.monotonic() - started, "text": text, "cluster": cluster,
            "peak": {k: float(v) for k, v in rates.items()}, "ok": True,
            "summary": f"best multiplies: " + ", ".join(
                f"{k} {float(v) / 1e12:.0f} TFLOP/s" for k, v in rates.items())}


def check_predictions(program, folder, options):
    """Step time and memory of 12 and more configurations, predicted and measured."""
    if not getattr(options, "cluster", None):
        raise Failure("there is no calibration to predict with")
    rows = []
    cluster = {"file": str(options.cluster), "nodes": 1, "gpus_per_node": 1}
    for scenario in scenarios.prediction_check(cluster):
        row = {"name": scenario["name"]}
        rows.append(row)
        try:
            path = write_scenario(folder, scenario)
            report = program.report(["compare", path, "--backend", "cuda", "--steps", 12], 90)
            measured, simulated = first(report), report["strategies"][0]["simulated"]
        except Failure as failure:
            row["error"] = str(failure)
            continue
        row.update(prediction_row(simulated, measured))
    done = [row for row in rows if "step_error" in row]
    if not done:
        raise Failure(rows[0].get("error", "no configuration ran"))
    median = statistics.median(abs(row["step_error"]) for row in done)
    runtime = max(abs(row["runtime_error"]) for row in done)
    ok = (median <= PREDICTION_TARGET and len(done) >= 12 and runtime <= RUNTIME_TOLERANCE and
          all(row["arena_is_plan"] for row in done))
    return {"rows": rows, "median_step_error": median, "worst_runtime_error": runtime, "ok": ok,
            "summary": f"median error of step time {100 * median:.1f} % over {len(done)} "
                       f"configurations (target 5 %), of runtime memory at most "
                       f"{100 * runtime:.1f} %"}


def prediction_row(simulated, measured):
    of = lambda side: side["memory"]["ranks"][0]
    planned = [of(side)["peak_bytes"] - of(side)["categories"]["runtime"]
               for side in (simulated, measured)]
    runtime = [of(side)["categories"]["runtime"] for side in (simulated, measured)]
    return {"predicted_s": simulated["step_time_s"], "measured_s": measured["step_time_s"],
            "step_error": simulated["step_time_s"] / measured["step_time_s"] - 1,
            "arena_is_plan": planned[0] == planned[1], "arena_bytes": planned[1],
            "predicted_runtime_bytes": runtime[0], "runtime_bytes": runtime[1],
            "runtime_error": runtime[0] / runtime[1] - 1 if runtime[1] else float("inf")}


class PyTorch:
    """bench/gpu/pytorch_gpu.py as a process that waits for its turns."""

    def __init__(self, python, model, log):
        script = str(pathlib.Path(__file__).with_name("pytorch_gpu.py"))
        self.process = subprocess.Popen([python, script, model], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.log = log
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            error = self.process.stderr.read()
            self.log(error)
            raise Failure("PyTorch: " + last_line(error))
        return json.loads(line)

    def ask(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.kill()
        self.process.communicate()


def speed_row(name, ours, theirs, tokens, ceiling):
    """Figures of one model from the turns' median step times (seconds) and our report of the last."""
    our_step, their_step = (statistics.median(t) for t in (ours, theirs))
    row = {"model": name, "ours_s": our_step, "pytorch_s": their_step,
           "ratio": their_step / our_step, "ours_turns_s": ours, "pytorch_turns_s": theirs,
           "target": SPEED_TARGET[name]}
    if name == "mlp":
        row |= {"ours_steps_per_s": 1 / our_step, "pytorch_steps_per_s": 1 / their_step}
    else:
        row |= {"ours_tokens_per_s": tokens / our_step, "pytorch_tokens_per_s": tokens / their_step}
    if ceiling:
        row["matmul_ceiling_tflop_per_s"] = ceiling
    row["ok"] = row["ratio"] >= row["target"]
    return row


def run_turns(program, python, name, options):
    root = pathlib.Path(os.environ.get("SHARDSCOPE_SCENARIOS", options.root / "scenarios"))
    path = root / "gpu" / f"{name}.yaml"
    steps = 2000 if name == "mlp" else 60
    torch = PyTorch(python, name, program.log)
    try:
        ours, theirs, measured = [], [], None
        for _ in range(5 if options.all else 2):
            measured = first(program.report(["run", path, "--backend", "cuda", "--steps", steps],
                                            150))
            ours.append(measured["step_time_s"])
            theirs.append(torch.ask(f"run {steps}")["step_s"])
        ceiling = torch.ask("matmul")["tflop_per_s"] if name != "mlp" else None
        row = speed_row(name, ours, theirs, torch.about["samples_or_tokens_per_step"], ceiling)
        row |= {"pytorch": torch.about, "mfu_of_data_sheet": measured.get("mfu"),
                "flop_convention": FLOP_CONVENTION, "steps_per_turn": steps}
        # The same FLOPs over the rate of the best multiply of this run.
        if ceiling and measured.get("mfu") and options.data_sheet_bf16:
            row["fraction_of_ceiling"] = (measured["mfu"] * options.data_sheet_bf16 / 1e12 / ceiling)
        return row
    finally:
        torch.close()


def check_speed(program, _folder, options):
    """Tokens and steps per second beside PyTorch, in turns on the same GPU."""
    rows = []
    for name in options.models:
        try:
            rows.append(run_turns(program, options.python, name, options))
        except Failure as failure:
            rows.append({"model": name, "error": str(failure)})
    done = [row for row in rows if "ratio" in row]
    if not done:
        raise Failure(rows[0]["error"])
    return {"rows": rows, "ok": len(done) == len(rows) and all(row["ok"] for row in done),
            "summary": ", ".join(f"{row['model']} {row['ratio']:.2f} × PyTorch" for row in done)}
