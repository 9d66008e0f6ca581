"""The parts of scripts/gpu-check: each returns what it measured and a verdict, or raises Failure."""
import json
import pathlib
import re
import statistics
import time

import scenarios
from program import Failure, first

# fp32: sums in another order. bf16: what is communicated is rounded to 8 bits on the way.
LOSS_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
RUNTIME_TOLERANCE = 0.05
PREDICTION_TARGET = 0.05
SPEED_MODELS = ("gpt2-124m", "gpt2-350m", "gpt2-1.3b", "mlp")


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
    rates = dict(re.findall(r"^\s+(fp32|bf16): ([\d.e+]+)$", cluster, re.M))
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


def check_speed(program, folder, options):
    """Tokens and steps per second beside PyTorch, in turns on the same GPU (bench/pytorch_gpu.py)."""
    path = pathlib.Path(folder) / "pytorch.json"
    words = [options.root / "bench/pytorch_gpu.py", "--shardscope", program.path(), "--results", path,
             "--models", *options.models, *([] if options.all else ["--quick", "--steps", 50])]
    why = None
    try:
        program.run(words, 1500 if options.all else 360, options.python)
    except Failure as failure:
        why = str(failure)
    return speed_result(json.loads(path.read_text()) if path.exists() else {}, options.models, why)


def speed_result(found, models, why):
    """`found`: what the comparison wrote before it ended; `why` it ended early, or None."""
    rows = found.get("rows", [])
    if not rows:
        raise Failure(why or "; ".join(f["error"] for f in found.get("failed", [])) or
                      "PyTorch's comparison found nothing")
    found["missing"] = [m for m in models if m not in {row["model"] for row in rows}]
    found["ended_early"] = why
    met = all(row["ratio"] >= row["target"] for row in rows) and not found["missing"]
    text = ", ".join(f"{row['model']} {row['ratio']:.2f} × PyTorch" for row in rows)
    if found["missing"]:
        text += f"; not measured: {', '.join(found['missing'])}" + (f" ({why})" if why else "")
    return found | {"ok": met, "summary": text}
