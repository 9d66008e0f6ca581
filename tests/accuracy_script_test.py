#!/usr/bin/env python3
"""scripts/accuracy on a made-up world: the program is a stub whose predictions are a known function of the
constants, so the constants that the measurements were made with are known too."""

import csv
import importlib.machinery
import importlib.util
import math
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# time = work / training_efficiency + launches · launch; process memory = plan + process.
PROGRAM = '''#!{python}
import csv, re, sys
arguments = sys.argv[1:]
text = open(arguments[arguments.index("--constants") + 1]).read() if "--constants" in arguments else ""
own = {own}
def value(path):
    otherwise = own[path]
    top, name, key = path
    section = re.search("^" + top + ":\\n((?:  .*\\n)*)", text, re.M)
    found = section and re.search("^  " + name + ": .*\\\\b" + key + ": ([-+0-9.e]+)", section[1], re.M)
    return float(found[1]) if found else otherwise
file = open(arguments[arguments.index("--csv") + 1], "w")
out = csv.writer(file)
out.writerow(["id", "family", "model", "cluster", "layout", "predicted_step_time_s", "measured_step_time_s",
              "memory_kind", "predicted_peak_gib", "measured_peak_gib"])
for row in csv.DictReader(open(arguments[1])):
    architecture = {{"a100": "ampere", "b200": "blackwell"}}[row["cluster"]]
    efficiency = value(("architectures", architecture, "training_efficiency"))
    launch = value(("profiles", row["profile"], "launch"))
    process = value(("profiles", row["profile"], "process")) / 2**30 if row["memory"] else 0
    out.writerow([row["id"], row["family"], row["model"], row["cluster"], "dp8, " + row["profile"] + ", 1 x 1",
                  float(row["work"]) / efficiency + float(row["launches"]) * launch, row["time"],
                  "process" if row["memory"] else "", float(row["plan"]) + process if row["memory"] else "",
                  row["memory"]])
'''

TRUE = {"ampere": 0.85, "blackwell": 0.60, "megatron-2021": 30e-6, "megatron-deepspeed": 60e-6, "process": 5.0}


def load_script():
    loader = importlib.machinery.SourceFileLoader("accuracy", str(ROOT / "scripts/accuracy"))
    spec = importlib.util.spec_from_loader("accuracy", loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["accuracy"] = module
    loader.exec_module(module)
    return module


def world():
    """Two A100 families share a constant; B200 and process memory occur in one family each."""
    rows = []
    for family, cluster, profile in (("one", "a100", "megatron-2021"), ("two", "a100", "megatron-deepspeed"),
                                     ("two", "a100", "megatron-2021"), ("three", "b200", "megatron-2021")):
        for i in range(12):
            work, launches = 0.5 + 0.1 * i, 4000 - 300 * i
            efficiency = TRUE["ampere" if cluster == "a100" else "blackwell"]
            memory = 20 + i + TRUE["process"] if profile == "megatron-deepspeed" else ""
            rows.append({"id": f"{family}-{profile}-{i}", "family": family, "model": f"model-{i}", "cluster": cluster,
                         "profile": profile, "work": work, "launches": launches,
                         "time": work / efficiency + launches * TRUE[profile], "plan": 20 + i, "memory": memory})
    return rows


class AccuracyScript(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.program = self.folder / "program"
        self.script = load_script()
        own = {c.path: c.shipped for c in self.script.CONSTANTS}
        self.program.write_text(PROGRAM.format(python=sys.executable, own=own))
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self.runs = self.folder / "runs.csv"
        rows = world()
        with self.runs.open("w", newline="") as out:
            writer = csv.DictWriter(out, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)

    def fit(self, rows, program, start):
        self.script.measure_curves(program, rows, start)
        return self.script.fit(rows, start)

    def setup_fit(self):
        program = self.script.Program(str(self.program), str(self.runs))
        start = {c.path: c.shipped for c in self.script.CONSTANTS}
        rows = self.script.rows_of(program.predict(start))
        return program, start, rows

    def test_finds_the_constants_that_the_runs_were_made_with(self):
        program, start, rows = self.setup_fit()
        best = self.fit(rows, program, start)
        # Parabolas through three points stand for 1/x: one percent.
        self.assertAlmostEqual(best["architectures", "ampere", "training_efficiency"], TRUE["ampere"], delta=0.01)
        self.assertAlmostEqual(best["architectures", "blackwell", "training_efficiency"], TRUE["blackwell"], delta=0.01)
        self.assertAlmostEqual(best["profiles", "megatron-2021", "launch"], TRUE["megatron-2021"], delta=3e-6)
        self.assertAlmostEqual(best["profiles", "megatron-deepspeed", "process"] / 2**30, TRUE["process"], delta=0.1)
        unseen = "profiles", "fsdp", "launch"
        self.assertEqual(best[unseen], start[unseen], "no run depends on it")

    def test_held_out_runs_were_not_fitted_to(self):
        program, start, rows = self.setup_fit()
        self.script.measure_curves(program, rows, start)
        for row in rows:  # what is measured of family "one" is wrong by a half
            if row.origin == "one":
                row.measured *= 1.5
        triples = self.script.held_out(program, rows, start)
        by_family = {}
        for row, prediction, half in triples:
            by_family.setdefault((row.family, row.quantity), []).append((row, prediction, half))
        worst = max(p / r.measured - 1 for r, p, _ in by_family["one", "time"])
        self.assertLess(worst, -0.3, "constants of the others know nothing of the half")
        for key in (("three", "time"), ("two", "process")):
            self.assertTrue(all(half and not r.even for r, _, half in by_family[key]), key)
            self.assertLess(len(by_family[key]), 12)
        self.assertFalse(any(half for _, _, half in by_family["one", "time"]))

    def test_writes_tables_between_marks_only(self):
        output, table = self.folder / "accuracy.md", self.folder / "table.csv"
        names = ("held-out", "misses", "fitted", "shipped", "constants")
        output.write_text("before\n" + "\n".join(f"<!-- generated: {n} -->\nold\n<!-- end -->\nkept {n}" for n in names))
        done = subprocess.run([sys.executable, ROOT / "scripts/accuracy", self.runs, "--shardscope", self.program,
                               "--output", output, "--table", table], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        text = output.read_text()
        self.assertNotIn("old", text)
        for name in names:
            self.assertIn(f"kept {name}", text)
        self.assertIn("| three ½ | time |", text)
        lines = list(csv.DictReader(table.read_text().splitlines()))
        self.assertEqual({(l["profile"], l["architecture"], l["quantity"]) for l in lines},
                         {("megatron-2021", "ampere", "time"), ("megatron-deepspeed", "ampere", "time"),
                          ("megatron-deepspeed", "ampere", "process"), ("megatron-2021", "blackwell", "time")})

    def test_statistics(self):
        row = lambda name, measured: self.script.Row(name, "f", "m", "fsdp", "ampere", "time", measured)
        s = self.script.statistics([(row("a", 1.0), 1.1), (row("b", 1.0), 0.7)])
        self.assertEqual((s["n"], s["worst"]), (2, "b"))
        self.assertTrue(math.isclose(s["mape"], 20) and math.isclose(s["bias"], -10) and math.isclose(s["max"], 30))


if __name__ == "__main__":
    unittest.main()
