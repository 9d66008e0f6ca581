"""scripts/gpu-check and scripts/multi-gpu-check without a GPU: on the real program, which has none, and on one
that prints what a GPU's would, right and wrong.

    gpu_scripts_test.py SHARDSCOPE SOURCE_FOLDER
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(SOURCE / "bench/gpu"))
import multi_gpu_check
import parts
import program

# Behaves as shardscope with two GPUs: every strategy has the same losses, plans are kept, and predictions are
# 4 % too high. FAULT spoils one thing.
FAKE = r'''#!/usr/bin/env python3
import json, os, pathlib, sys
fault, words = os.environ.get("FAULT", ""), sys.argv[1:]
ranks = 1
if "launch" in words:
    ranks = int(words[words.index("--num_gpus") + 1])
    words = words[words.index("--") + 1:]
def side(kind, strategy):
    plan = 1000 + len(strategy["name"])
    runtime = 500 if kind == "simulated" else 510
    if kind == "measured" and fault == "arena": plan += 1
    if kind == "measured" and fault == "runtime": runtime = 900
    step = {"simulated": 0.104, "measured": 0.1}[kind] * (3 if fault == "slow" and kind == "simulated" else 1)
    loss = 5.0 + (0.1 if fault == "loss" and strategy["name"] == "zero-3" else 0)
    return {"step_time_s": step, "tokens_per_s": 1e5 * ranks, "time": {}, "losses": [6.0, loss],
            "memory": {"ranks": [{"peak_bytes": plan + runtime, "categories": {"runtime": runtime}}]}}
if words[0] == "devices":
    print("cuda  available  one GPU per rank; cuBLASLt, cuDNN and NCCL\n\nCUDA 13.0, driver, NCCL 2.28.9\n"
          "Attention in bf16 is cuDNN's\n")
    print("  0  NVIDIA H200  139.8  139.0\n GPU-00aa\n  1  NVIDIA H200  139.8  139.0\n GPU-00bb")
elif words[0] == "calibrate":
    if fault == "calibrate": sys.exit("shardscope: cuda: an illegal memory access was encountered")
    pathlib.Path(words[words.index("--output") + 1]).write_text(
        "device:\n  peak:\n    bf16: 7.9e+14\n    fp32: 5.1e+13\ncalibration:\n  transports:\n    nccl:\n      collectives:\n"
        "        - [all_reduce, 2, 1, 1048576, 0.00001, 0.02]\n        - [transfer, 2, 1, 1024, 5e-06, 0.1]\n")
elif words[0] in ("run", "simulate", "compare"):
    scenario = json.loads(pathlib.Path(words[1]).read_text())
    report = {"context": {"notes": []}, "strategies": []}
    for strategy in scenario["strategies"]:
        row = {"name": strategy["name"], "status": "fits", "error": None, "simulated": None, "measured": None}
        if words[0] != "run": row["simulated"] = side("simulated", strategy)
        if words[0] != "simulate": row["measured"] = side("measured", strategy)
        if fault == "failed" and words[0] == "run" and strategy["name"] == "zero-2":
            row |= {"status": "failed", "measured": None, "error": {"message": "rank 1 is gone"}}
        report["strategies"].append(row)
    print(json.dumps(report))
'''
CHECK = r'''#!/usr/bin/env python3
import json, os, sys
if "--timed" in sys.argv:
    print(json.dumps({"kernel": "norm", "shape": "", "dtype": "bf16", "us": 3.0}))
else:
    bad = os.environ.get("FAULT") == "kernel"
    print(json.dumps({"kernel": "norm", "shape": "rows 5", "dtype": "bf16", "error": 0.3 if bad else 0.004,
                      "tolerance": 0.01, "complaint": "", "passed": not bad}))
'''
# Stands for a Python with PyTorch: writes what bench/pytorch_gpu.py would.
TORCH = r'''#!/usr/bin/env python3
import json, os, sys
if os.environ.get("FAULT") == "torch": sys.exit("PyTorch sees no GPU: this comparison needs one")
ratio = 0.7 if os.environ.get("FAULT") == "speed" else 1.2
rows = [{"model": m, "ratio": 2 * ratio if m == "mlp" else ratio, "target": 2.0 if m == "mlp" else 1.0}
        for m in ("gpt2-124m", "gpt2-350m", "gpt2-1.3b", "mlp")]
open(sys.argv[sys.argv.index("--results") + 1], "w").write(json.dumps({"rows": rows, "failed": []}))
'''


def run(script, *words, **variables):
    command = [sys.executable, str(SOURCE / "bench/gpu" / script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100,
                          env={**os.environ, **variables})


class WithoutGpu(unittest.TestCase):
    def test_one_clear_sentence(self):
        if "not available" not in subprocess.run([PROGRAM, "devices"], capture_output=True,
                                                 text=True).stdout:
            self.skipTest("this machine has a GPU")
        for script, name in (("gpu_check.py", "gpu-check"), ("multi_gpu_check.py", "multi-gpu-check")):
            done = run(script, "--bin", PROGRAM.parent)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertEqual(done.stdout, "")
            self.assertRegex(done.stderr, rf"^{name}: no GPUs? can be checked: .+\n$")

    def test_no_program(self):
        done = run("gpu_check.py", "--bin", "/nonexistent")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/shardscope cannot be started: No such file", done.stderr)


class WithFakes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name, text in (("shardscope", FAKE), ("shardscope-kernel-check", CHECK), ("torch", TORCH)):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)

    def check(self, fault=""):
        done = run("gpu_check.py", "--bin", self.folder, "--results", self.folder / "results",
                   "--python", self.folder / "torch", FAULT=fault)
        files = list((self.folder / "results/nvidia-h200").glob("*.json"))
        self.assertTrue(files, done.stderr)
        return done, json.loads(max(files).read_text())

    def test_all_holds(self):
        done, results = self.check()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(results["gpu"], "NVIDIA H200")
        self.assertEqual(set(results["parts"]),
                         {"kernels", "strategies", "calibrate", "predictions", "speed"})
        self.assertEqual(results["parts"]["calibrate"]["peak"], {"bf16": 7.9e14, "fp32": 5.1e13})
        self.assertGreaterEqual(len(results["parts"]["predictions"]["rows"]), 12)
        self.assertAlmostEqual(results["parts"]["predictions"]["median_step_error"], 0.04)
        for key in ("date", "command", "nvidia_smi", "devices", "log"):
            self.assertIn(key, results)

    def test_every_fault_is_found(self):
        faults = {"kernel": "kernels", "loss": "strategies", "arena": "strategies", "failed": "strategies",
                  "calibrate": "calibrate", "runtime": "predictions", "slow": "predictions",
                  "speed": "speed", "torch": "speed"}
        for fault, part in faults.items():
            with self.subTest(fault):
                done, results = self.check(fault)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertFalse(results["parts"][part]["ok"])
                self.assertIn("NO", done.stdout)
                self.assertTrue(results["parts"]["kernels"]["ok"] or fault == "kernel",
                                "what other parts found is kept")
                for path in (self.folder / "results/nvidia-h200").glob("*.json"):
                    path.unlink()

    def test_many_gpus(self):
        output = self.folder / "out.json"
        done = run("multi_gpu_check.py", "--bin", self.folder, "--output", output)
        results = json.loads(output.read_text())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(results["gpus"], 2)
        self.assertIn("# all_reduce, 2 ranks on 1 host(s)", done.stdout)
        self.assertRegex(done.stdout, r"1048576\s+262144\s+float\s+sum\s+10\.0\s+104\.86\s+104\.86")
        self.assertEqual(run("multi_gpu_check.py", "--bin", self.folder, "--output", output,
                             FAULT="loss").returncode, 1)


class Figures(unittest.TestCase):
    def test_bus_bandwidth_is_nccl_tests(self):
        rows = multi_gpu_check.collective_rows("nccl:\n - [all_gather, 8, 1, 1000000, 0.001, 0]\n"
                                               " - [all_reduce, 8, 1, 1000000, 0.001, 0]\n")
        self.assertAlmostEqual(rows[0]["algbw_gb_per_s"], 1.0)
        self.assertAlmostEqual(rows[0]["busbw_gb_per_s"], 7 / 8)
        self.assertAlmostEqual(rows[1]["busbw_gb_per_s"], 14 / 8)

    def test_losses(self):
        self.assertEqual(parts.compare_losses([1.0], [1.0, 2.0], 1), float("inf"))
        self.assertEqual(parts.compare_losses([None], [1.0], 1), float("inf"))
        self.assertAlmostEqual(parts.compare_losses([2.2], [2.0], 1), 0.1)

    def test_a_comparison_that_ended_early_keeps_its_rows(self):
        found = parts.speed_result({"rows": [{"model": "mlp", "ratio": 3.0, "target": 2.0}]},
                                   ["mlp", "gpt2-124m"], "out of time")
        self.assertFalse(found["ok"])
        self.assertIn("not measured: gpt2-124m (out of time)", found["summary"])
        with self.assertRaises(program.Failure):
            parts.speed_result({}, ["mlp"], "out of time")


unittest.main(argv=sys.argv[:1])
