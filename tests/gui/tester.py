"""What the checks of the acceptance test share."""

import json
import pathlib
import subprocess

import window as gui

PALETTE = {
    "parameters": (0x00, 0x72, 0xB2), "gradients": (0x56, 0xB4, 0xE9),
    "optimizer": (0xE6, 0x9F, 0x00), "activations": (0x00, 0x9E, 0x73),
    "communication": (0xCC, 0x79, 0xA7), "workspace": (0xF0, 0xE4, 0x42),
    "runtime": (0x6E, 0x6E, 0x6E),
}
CATEGORIES = ["Parameters", "Gradients", "Optimizer states", "Activations", "Communication",
              "Workspace", "Runtime"]
CHARTS = ["memory", "time", "pareto", "timeline"]
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Times:
    """Targets of time, for a machine that does nothing else. Missing one fails a check only where it was asked
    for (`--times`: the figures of docs/gui.md); a test only prints it, for other programs may disturb it."""

    def __init__(self):
        self.binding = False
        self.missed = []

    def expect(self, value, target, what):
        """What takes `value` should take `target`."""
        if value > target:
            self.missed.append(f"{what}: {value:.3g}, where {target} is the target")
            assert not self.binding, self.missed[-1]

    def take_missed(self):
        missed, self.missed = self.missed, []
        return missed


TIMES = Times()


class Tester:
    def __init__(self, program, command_line, source, pictures):
        self.program, self.command_line = program, command_line
        self.source, self.pictures = pathlib.Path(source), pathlib.Path(pictures)
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.display = gui.Display()

    def open(self, *arguments, **options):
        return gui.Window(self.display, self.program, *arguments, **options)

    def simulate(self, path):
        result = subprocess.run([self.command_line, "simulate", str(path), "--json"],
                                capture_output=True, text=True, check=True)
        return json.loads(result.stdout)["strategies"]

    def picture(self, win, name, widget=None):
        return win.picture(self.pictures / f"{name}.png", widget)

    def differing(self, one, other):
        return gui.same_picture(self.display, one, other)

    def small_scenario(self, folder):
        """A file that may be changed: the first screen's scenario."""
        path = folder / "scenario.yaml"
        path.write_text((self.source / "scenarios/gpt-13b-16-gpus.yaml").read_text())
        return path


def bar_point(win, chart, row):
    """Inside the bar of a row."""
    bar = win.row(chart, row)
    return bar["x"] + min(12, bar["w"] / 2), bar["y"] + bar["h"] / 2
