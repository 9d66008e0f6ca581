"""Drives shardscope-gui under a virtual display: mouse, keyboard, pictures, and what the program says of
itself (--dump-widgets). Used by acceptance_test.py."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

TOOLS = ["Xvfb", "openbox", "xdotool", "xclip", "import", "convert", "compare"]
SCREEN = (1600, 1000)


def missing_tools():
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def wait_for(what, condition, seconds=10.0, step=0.02):
    """The first true value of condition(); AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds:g} s in vain for {what}"
        time.sleep(step)


class Display:
    """An X server with a window manager of its own."""

    def __init__(self, size=SCREEN):
        reader, writer = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writer), "-screen", "0", f"{size[0]}x{size[1]}x24",
             "-nolisten", "tcp"],
            pass_fds=[writer], stderr=subprocess.DEVNULL)
        os.close(writer)
        with os.fdopen(reader) as told:
            self.name = ":" + told.readline().strip()
        self.environment = {**os.environ, "DISPLAY": self.name, "LC_ALL": "C.UTF-8"}
        for variable in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM", "QT_SCALE_FACTOR"):
            self.environment.pop(variable, None)
        self.manager = subprocess.Popen(["openbox"], env=self.environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self, *words, text=None):
        result = subprocess.run(words, env=self.environment, input=text, capture_output=True,
                                text=True, timeout=60)
        assert result.returncode == 0, f"{' '.join(words)}: {result.stderr}"
        return result.stdout

    def close(self):
        for process in (self.manager, self.server):
            process.terminate()
            process.wait(10)


class Window:
    """One shardscope-gui with its own settings, and what it tells of itself."""

    def __init__(self, display, program, *arguments, home=None, environment=None):
        self.display = display
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shardscope-gui-"))
        self.dump_file = self.folder / "widgets.json"
        self.perf_file = self.folder / "perf.json"
        home = home or self.folder
        self.environment = {**display.environment, "XDG_CONFIG_HOME": str(home),
                            **(environment or {})}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [program, "--dump-widgets", str(self.dump_file), "--perf", str(self.perf_file),
             *map(str, arguments)],
            env=self.environment, stderr=subprocess.PIPE, text=True)
        wait_for("the window", self.has_started, 30)
        self.seconds_to_start = time.monotonic() - self.started

    def has_started(self):
        assert self.process.poll() is None, f"it ended: {self.process.stderr.read()}"
        return self.dump_file.exists() and self.dump()["up_to_date"]

    # What the program says
    def dump(self):
        return json.loads(self.dump_file.read_text())

    def fresh(self):
        """A dump that was written after now."""
        before = self.dump_file.stat().st_mtime_ns
        wait_for("a new dump", lambda: self.dump_file.stat().st_mtime_ns != before)
        before = self.dump_file.stat().st_mtime_ns
        wait_for("a new dump", lambda: self.dump_file.stat().st_mtime_ns != before)
        return self.dump()

    def settled(self):
        """A fresh dump whose figures are of the scenario as it is."""
        self.fresh()
        wait_for("the simulation", lambda: self.dump()["up_to_date"])
        return self.fresh()

    def widget(self, name, dump=None):
        found = [w for w in (dump or self.dump())["widgets"] if w["name"] == name]
        assert found, f"no visible widget is called {name}"
        return found[0]

    def has(self, name):
        return any(w["name"] == name for w in self.dump()["widgets"])

    def dialogs(self):
        return [w for w in self.dump()["widgets"] if w["class"] in ("QDialog", "QMessageBox")]

    # Mouse and keyboard
    def move(self, x, y):
        self.display.run("xdotool", "mousemove", str(round(x)), str(round(y)))

    def click(self, x, y, button=1, repeat=1):
        self.move(x, y)
        self.display.run("xdotool", "click", "--repeat", str(repeat), "--delay", "60", str(button))

    def click_widget(self, name, repeat=1):
        w = self.widget(name)
        self.click(w["x"] + w["w"] / 2, w["y"] + w["h"] / 2, repeat=repeat)

    def drag(self, start, end, steps=40, pause=0.01):
        # One process for all of it: starting one per move would take the time that is measured.
        words = ["mousemove", *map(str, map(round, start)), "mousedown", "1"]
        for i in range(1, steps + 1):
            x, y = (start[a] + (end[a] - start[a]) * i / steps for a in (0, 1))
            words += ["mousemove", str(round(x)), str(round(y)), "sleep", str(pause)]
        self.display.run("xdotool", *words, "mouseup", "1")

    def key(self, *keys):
        for key in keys:
            self.display.run("xdotool", "key", "--clearmodifiers", key)

    def write(self, text):
        self.display.run("xdotool", "type", "--clearmodifiers", "--delay", "15", text)

    def set_number(self, name, value):
        self.click_widget(name, repeat=2)
        self.key("ctrl+a")
        self.write(str(value))
        self.key("Return")

    def clipboard(self):
        """Its text; empty while there is none."""
        result = subprocess.run(["xclip", "-selection", "clipboard", "-o"], capture_output=True,
                                text=True, env=self.display.environment, timeout=60)
        return result.stdout if result.returncode == 0 else ""

    def row(self, chart, index):
        return self.dump()["charts"][chart]["rows"][index]

    # Pictures
    def picture(self, path, widget=None):
        words = ["import", "-window", "root"]
        if widget is not None:
            w = self.widget(widget) if isinstance(widget, str) else widget
            words += ["-crop", f"{round(w['w'])}x{round(w['h'])}+{round(w['x'])}+{round(w['y'])}",
                      "+repage"]
        self.display.run(*words, str(path))
        return path

    # Memory and end
    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def same_picture(display, one, other):
    """Number of pixels that differ."""
    result = subprocess.run(["compare", "-metric", "AE", str(one), str(other), "null:"],
                            capture_output=True, text=True, env=display.environment)
    assert result.returncode < 2, result.stderr
    return int(float(result.stderr.split()[0]))


def colours(display, path):
    """{(r, g, b): pixels} of a picture."""
    text = display.run("convert", str(path), "-depth", "8", "-alpha", "off", "-format", "%c",
                       "histogram:info:")
    found = {}
    for line in text.splitlines():
        count, _, rest = line.strip().partition(":")
        if "#" in rest:
            code = rest.split("#")[1][:6]
            found[tuple(int(code[i:i + 2], 16) for i in (0, 2, 4))] = int(count)
    return found
