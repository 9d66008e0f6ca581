"""Acceptance checks 14 to 21: themes, files, the keyboard, measurements."""

import csv
import io
import json
import re
import subprocess
import time

import window as gui
from tester import CHARTS, PALETTE, bar_point, check


@check
def check_14_dark(t):
    """Ctrl+T: dark, the same colours in charts, and still dark after a restart."""
    home = t.pictures / "14"
    home.mkdir(exist_ok=True)
    win = t.open(home=home)
    try:
        win.settled()
        light = gui.colours(t.display, t.picture(win, "14-light", "memory"))
        assert not win.dump()["dark"]
        win.key("ctrl+t")
        gui.wait_for("the dark theme", lambda: win.dump()["dark"])
        win.fresh()
        dark = gui.colours(t.display, t.picture(win, "14-dark", "memory"))
        t.picture(win, "14-dark-window")
        for name, colour in PALETTE.items():
            assert (colour in light) == (colour in dark), name
        win.key("ctrl+q")
        win.process.wait(10)
    finally:
        win.close()
    again = t.open(home=home)
    try:
        assert again.settled()["dark"], "forgotten"
        again.key("ctrl+t")
        gui.wait_for("light", lambda: not again.dump()["dark"])
    finally:
        again.close()
    return "category colours equal in both; remembered"


@check
def check_15_copy(t):
    """Ctrl+Shift+C: CSV with a row per strategy, whose categories sum to the peak."""
    win = t.open()
    try:
        win.settled()
        win.key("ctrl+shift+c")
        rows = list(csv.DictReader(io.StringIO(gui.wait_for("the clipboard", win.clipboard))))
        assert len(rows) == 8
        for row in rows:
            if not row["peak_bytes"]:
                continue
            parts = [int(v) for k, v in row.items() if k.endswith("_bytes") and
                     k.removesuffix("_bytes") in
                     ("parameters", "gradients", "optimizer_states", "activations",
                      "communication", "workspace", "runtime")]
            assert len(parts) == 7 and sum(parts) == int(row["peak_bytes"]), row
        win.key("ctrl+shift+m")
        assert win.clipboard().lstrip().startswith("|")
        return f"{len(rows)} rows, {len(rows[0])} columns"
    finally:
        win.close()


@check
def check_16_export(t):
    """Export from the dialog: PNG, SVG and PDF; a folder that is not there is said in the window."""
    folder = t.pictures / "16"
    folder.mkdir(exist_ok=True)
    win = t.open()
    try:
        win.settled()
        for ending in ("png", "svg", "pdf"):
            target = folder / f"memory.{ending}"
            target.unlink(missing_ok=True)
            win.click(*bar_point(win, "memory", 2))
            win.key("ctrl+e")
            gui.wait_for("the dialog", lambda: win.has("fileNameEdit"))
            win.key("ctrl+a")
            win.write(str(target))
            win.key("Return")
            gui.wait_for(target.name, lambda f=target: f.exists() and f.stat().st_size > 1000)
            gui.wait_for("the dialog's end", lambda: not win.has("fileNameEdit"))
            head = target.read_bytes()[:400]
            assert {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF"}[ending] in head
        win.fresh()
        win.key("ctrl+e")
        gui.wait_for("the dialog", lambda: win.has("fileNameEdit"))
        win.key("ctrl+a")
        win.write(str(folder / "nowhere/x.png"))
        win.key("Return")
        message = gui.wait_for("the message", lambda: "cannot write" in win.dump()["message"] and
                               win.dump()["message"])
        assert win.process.poll() is None
        return f"three files; “{message[:60]}…”"
    finally:
        win.close()


@check
def check_17_headless(t):
    """Without a display: every chart in every format, twice the same; bad path 2, bad file 3."""
    folder = t.pictures / "17"
    folder.mkdir(exist_ok=True)
    environment = {k: v for k, v in t.display.environment.items() if k != "DISPLAY"}

    def run(*words):
        return subprocess.run([t.program, *map(str, words)], env=environment, capture_output=True,
                              text=True, timeout=120)

    scenario = t.source / "scenarios/gpt-13b-16-gpus.yaml"
    written = 0
    for chart in CHARTS + ["ranks"]:
        for ending in ("png", "svg", "pdf"):
            files = [folder / f"{chart}-{i}.{ending}" for i in (1, 2)]
            for file in files:
                result = run(scenario, "--select", "6", "--chart", chart, "--export", file)
                assert result.returncode == 0, result.stderr
                assert file.stat().st_size > 500
                written += 1
            if ending == "png":
                assert files[0].read_bytes() == files[1].read_bytes(), f"{chart}: differs"
    for name in ("table.csv", "table.md", "report.pdf", "trace.json"):
        result = run(scenario, "--select", "6", "--export", folder / name)
        assert result.returncode == 0, result.stderr
        written += 1
    json.loads((folder / "trace.json").read_text())
    shot = run(scenario, "--screenshot", folder / "window.png", "--size", "1440x900")
    assert shot.returncode == 0, shot.stderr
    assert run("--export", "/proc/nowhere/x.png", "--chart", "memory").returncode == 2
    assert run("--exprot", "x").returncode == 2
    broken = folder / "broken.json"
    broken.write_text('{"model": "gpt2-124m",\n "training": {"global_batch": }}\n')
    result = run(broken, "--export", folder / "x.csv")
    assert result.returncode == 3, result
    assert re.search(r"broken\.json:2:\d+", result.stderr), result.stderr
    command = subprocess.run([t.command_line, "simulate", str(broken)], capture_output=True, text=True)
    assert result.stderr.split(":", 1)[1] == command.stderr.split(":", 1)[1], "another text"
    return f"{written} files; “{result.stderr.strip()[:70]}…”"


@check
def check_18_open(t):
    """Argument, Ctrl+O and recent lead to the same; a broken file changes nothing; changes are guarded."""
    folder = t.pictures / "18"
    folder.mkdir(exist_ok=True)
    path = t.small_scenario(folder)
    broken = folder / "broken.yaml"
    broken.write_text("model: gpt2-124m\ntraining: {global_batch: 8, micro_bacth: 2}\n")
    home = folder / "home"
    win = t.open(path, home=home)
    try:
        by_argument = win.settled()["strategies"]

        def open_by_dialog(target):
            win.key("ctrl+o")
            gui.wait_for("the dialog", lambda: win.has("fileNameEdit"))
            win.key("ctrl+a")
            win.write(str(target))
            win.key("Return")
            gui.wait_for("its end", lambda: not win.has("fileNameEdit"))

        open_by_dialog(t.source / "scenarios/gpt2-h100.yaml")
        other = win.settled()["strategies"]
        assert other != by_argument
        open_by_dialog(path)
        assert win.settled()["strategies"] == by_argument
        open_by_dialog(broken)
        message = gui.wait_for("the message", lambda: win.dump()["message"])
        assert "broken.yaml:2:" in message and "micro_batch" in message, message
        dump = win.settled()
        assert dump["strategies"] == by_argument and not dump["modified"]
        win.click(*bar_point(win, "memory", 1))
        win.click_widget("button_duplicate")
        gui.wait_for("the change", lambda: win.dump()["modified"])
        win.key("ctrl+q")
        gui.wait_for("the question", lambda: win.has("unsaved"))
        t.picture(win, "18-unsaved")
        win.key("Escape")
        gui.wait_for("its end", lambda: not win.has("unsaved"))
        assert win.process.poll() is None and win.dump()["modified"]
        return f"“{message[:90]}…”"
    finally:
        win.close()


@check
def check_19_keyboard(t):
    """Tab reaches every control; every command of the toolbar has a key; ? lists them."""
    win = t.open()
    try:
        dump = win.settled()
        wanted = {w["name"] for w in dump["widgets"] if w["focusable"] and w["enabled"] and
                  not w["name"].startswith("qt_")}
        win.click_widget("strategies")
        reached = set()
        for _ in range(3 * len(wanted)):
            win.key("Tab")
            time.sleep(0.03)
            reached |= {w["name"] for w in win.fresh()["widgets"] if w["focus"]}
            if wanted <= reached:
                break
        missing = wanted - reached
        assert not missing, f"not reached by Tab: {missing}"
        for name in ("memory", "strategies", "tp", "model"):
            assert win.widget(name)["accessible"], name
        win.click_widget("memory")
        win.key("question")
        gui.wait_for("the list of shortcuts", lambda: win.has("shortcuts_text"))
        t.picture(win, "19-shortcuts")
        win.key("Escape")
        return f"{len(reached)} widgets by Tab"
    finally:
        win.close()


def looks_right(t, display, name, environment):
    """1024 × 700: what one has to read first is in sight."""
    win = gui.Window(display, t.program, "--size", "1024x700", environment=environment)
    try:
        dump = win.settled()
        win.picture(t.pictures / f"{name}.png")
        assert not win.dialogs(), win.dialogs()
        assert len(dump["strategies"]) == 8
        window = win.widget("main_window")
        for part in ("memory", "time", "pareto", "timeline", "strategies"):
            w = win.widget(part)
            assert w["x"] >= window["x"] and w["x"] + w["w"] <= window["x"] + window["w"], part
            assert w["y"] + w["h"] <= window["y"] + window["h"], part
    finally:
        win.close()


@check
def check_20_scale_and_measured(t):
    """Twice the size, and 1024 × 700; a measured report shows its error and goes stale."""
    looks_right(t, t.display, "20-small", {})
    large = gui.Display((2200, 1500))
    try:
        looks_right(t, large, "20-scale-2", {"QT_SCALE_FACTOR": "2"})
    finally:
        large.close()
    folder = t.pictures / "20"
    folder.mkdir(exist_ok=True)
    cache = folder / "cache"
    (cache / "shardscope").mkdir(parents=True, exist_ok=True)
    calibration = cache / "shardscope/this-machine.yaml"
    if not calibration.exists():
        subprocess.run([t.command_line, "calibrate", "--quick", "--output", str(calibration)],
                       check=True, capture_output=True)
    scenario = folder / "tiny.yaml"
    scenario.write_text(
        "name: tiny\nmodel: {gpt: {layers: 2, hidden: 64, heads: 4, vocab: 128, seq: 64}}\n"
        "training: {global_batch: 8, micro_batch: 2, steps: 4}\n"
        "cluster: {this_machine: {ranks: 2}}\nstrategies: [ddp, zero-3]\n")
    environment = {"XDG_CACHE_HOME": str(cache)}
    report = folder / "measured.json"
    subprocess.run([t.command_line, "run", str(scenario), "--json", "--output", str(report)],
                   check=True, capture_output=True, env={**t.display.environment, **environment})
    win = t.open(scenario, report, environment=environment)
    try:
        dump = win.settled()
        column = next(i for i, cell in enumerate(dump["strategies"][0]) if "%" in cell and "(" in cell)
        fresh = dump["strategies"][0][column]
        assert "stale" not in fresh, fresh
        t.picture(win, "20-measured")
        win.set_number("global_batch", 16)
        stale = win.settled()["strategies"][0][column]
        assert "stale" in stale, stale
        t.picture(win, "20-stale")
        win.key("ctrl+z")
        assert win.settled()["strategies"][0][column] == fresh
        return f"“{fresh}”, then “{stale}”"
    finally:
        win.close()


@check
def check_21_real_run(t):
    """A real run from the window: live figures, and its measurement beside the simulation."""
    folder = t.pictures / "20"  # with the calibration of check 20
    environment = {"XDG_CACHE_HOME": str(folder / "cache")}
    win = t.open(folder / "tiny.yaml", environment=environment)
    try:
        win.settled()
        win.key("F9")
        gui.wait_for("the panel", lambda: win.has("run_start"))
        win.click_widget("run_start")
        gui.wait_for("a measurement", lambda: any(
            "%" in cell and "(" in cell for cell in win.dump()["strategies"][0]), 60)
        win.fresh()
        t.picture(win, "21-run")
        cell = next(c for c in win.dump()["strategies"][0] if "%" in c and "(" in c)
        return f"measured “{cell}”"
    finally:
        win.close()
