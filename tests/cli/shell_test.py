"""The shell's side of the command line: completion scripts in real shells, and the manual page.

    shell_test.py BINARY
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BINARY = pathlib.Path(sys.argv[1]).resolve()
SCENARIO = """
model: {gpt: {layers: 2, hidden: 16, heads: 2, vocab: 64, seq: 8}}
training: {global_batch: 8}
cluster: {gpu: h100-sxm, nodes: 1, gpus_per_node: 8}
strategies: [{name: one device, dp: 1}, {name: zero-1, zero: 1}, {name: zero-3, zero: 3}]
"""

# Prints what bash would offer for the words of its arguments, the last of which is being typed. bash
# takes "--option=value" apart before it asks.
ASK_BASH = r"""
source "$1"; shift
COMP_WORDS=()
for word; do
    if [[ $word == --*=* ]]; then COMP_WORDS+=("${word%%=*}" = "${word#*=}"); else COMP_WORDS+=("$word"); fi
done
[[ -z ${COMP_WORDS[-1]} && ${COMP_WORDS[-2]} == = ]] && unset 'COMP_WORDS[-1]'
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shardscope
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
"""

# The same of zsh, which completes only in a terminal: one of its own, inside it.
ASK_ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1= PS2= RPS1=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -d $1/dump"
zpty -w shell "zstyle ':completion:*' list-colors 'no=<' 'lc=' 'rc=' 'ec=>'; LISTMAX=10000"
zpty -w shell "bindkey '^I' complete-word; setopt no_beep no_list_beep list_rows_first; cd $1; echo RE''ADY"
zpty -r -m shell line '*READY*'
zpty -n -w shell "$2"$'\t\t'
sleep $3
zpty -n -w shell $'\C-U'
zpty -w shell "echo DO''NE"
zpty -r -m shell line '*DONE*'
print -r -- "$line"
"""


def run(*words, **options):
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=60, **options
    )


class Completion(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "s.yaml").write_text(SCENARIO)
        (self.folder / "notes.txt").touch()

    def script(self, shell, name):
        printed = run(BINARY, "completion", shell)
        self.assertEqual(printed.returncode, 0, printed.stderr)
        (self.folder / name).write_text(printed.stdout)
        return self.folder / name


@unittest.skipUnless(shutil.which("bash"), "bash is not installed")
class Bash(Completion):
    def offered(self, *words):
        script = self.script("bash", "completion.bash")
        answer = run("bash", "-c", ASK_BASH, "bash", script, BINARY, *words, cwd=self.folder)
        self.assertEqual(answer.stderr, "")
        return answer.stdout.splitlines()

    def test_commands(self):
        listed = [
            line.split()[0]
            for line in run(BINARY, "--help").stdout.splitlines()
            if line.startswith("  ")
        ]
        self.assertGreater(len(listed), 5)
        for command in listed:
            self.assertIn(command, self.offered(""))
        self.assertEqual(self.offered("sim"), ["simulate"])

    def test_options_are_those_of_help(self):
        for command in self.offered(""):
            if command.startswith("-") or not self.offered(command, "--help"):
                continue  # a command of two words has its options behind the second
            lines = re.findall(r"^  (-\S+)", run(BINARY, command, "--help").stdout, re.MULTILINE)
            with self.subTest(command):
                names = {name for line in lines for name in line.split(",")}
                self.assertIn("--help", names)
                self.assertEqual(set(self.offered(command, "-")), names)

    def test_both_spellings(self):
        self.assertEqual(self.offered("launch", "--num_n"), ["--num_nodes"])
        self.assertEqual(self.offered("launch", "--num-n"), ["--num-nodes"])
        self.assertEqual(self.offered("launch", "--launcher", "mp"), ["mpirun"])

    def test_values(self):
        self.assertEqual(self.offered("run", "--backend", "c"), ["cpu", "cuda"])
        self.assertEqual(self.offered("run", "--backend=cu"), ["cuda"])
        self.assertIn("cpu", self.offered("run", "--backend="))
        self.assertEqual(self.offered("run", "s"), ["s.yaml"])
        self.assertEqual(self.offered("run", "s.yaml", "--output", "no"), ["notes.txt"])
        self.assertEqual(self.offered("completion", "z"), ["zsh"])
        self.assertEqual(self.offered("run", "s.yaml", "--steps", ""), [])

    def test_strategies_of_the_scenario(self):
        self.assertEqual(self.offered("run", "s.yaml", "--strategy", "z"), ["zero-1", "zero-3"])
        self.assertEqual(self.offered("run", "s.yaml", "--strategy", "o"), ["one\\ device"])
        self.assertEqual(self.offered("run", "s.yaml", "--strategy", "one\\ d"), ["one\\ device"])
        self.assertEqual(self.offered("run", "--strategy", "z"), [])

    def test_command_behind_launch(self):
        self.assertEqual(self.offered("launch", "--num_gpus", "2", "--", "ru"), ["run"])
        self.assertEqual(self.offered("launch", "--", "run", "--ba"), ["--backend"])
        self.assertEqual(self.offered("launch", "--", "run", "s.yaml", "--strategy", "o"), ["one\\ device"])


@unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
class Zsh(Completion):
    def assert_offers(self, line, word):
        """That zsh prints the word while it completes the line; a busy machine needs longer."""
        self.script("zsh", "_shardscope")
        path = f"{BINARY.parent}:/usr/bin:/bin"
        environment = {"PATH": path, "HOME": str(self.folder), "TERM": "xterm"}
        for seconds in ["0.3", "2", "10"]:
            ask = ["zsh", "-f", "-c", ASK_ZSH, "zsh", self.folder, line, seconds]
            answer = run(*ask, env=environment).stdout
            if word in answer:
                return
        self.fail(f"{word} is not offered for {line}: {answer}")

    def test_syntax(self):
        checked = run("zsh", "-n", self.script("zsh", "_shardscope"))
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))

    def test_completes(self):
        self.assert_offers("shardscope sim", "simulate")
        self.assert_offers("shardscope run --ba", "--backend")
        self.assert_offers("shardscope launch --launcher mpi", "mpirun")
        self.assert_offers("shardscope run s.yaml --strategy zero", "zero-3")
        self.assert_offers("shardscope launch --num_n", "--num_nodes")
        self.assert_offers("shardscope launch --num_gpus 2 -- run --ste", "--steps")


class Manual(unittest.TestCase):
    page = run(BINARY, "manual").stdout

    def test_every_option_of_every_command_is_there(self):
        commands = run(BINARY, "completion", "bash").stdout.split("_shardscope_options()")[1]
        for line in commands.split("esac")[0].splitlines():
            if " echo " not in line:
                continue
            command, options = line.split(") echo ")
            with self.subTest(command.strip()):
                name = command.strip().strip("'").replace("-", "\\-")
                self.assertIn(f"\\fBshardscope {name}\\fR", self.page)
                for option in options.split("'")[1].split():
                    escaped = option.replace("-", "\\-")
                    self.assertIn(f"\\fB{escaped}\\fR", self.page)

    def test_names_nobodys_folder(self):
        self.assertNotIn(str(pathlib.Path.home()), self.page)

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_lint(self):
        checked = run("mandoc", "-T", "lint", "-W", "warning", input=self.page)
        # Without a date the page is the same whenever it is built.
        complaints = [line for line in checked.stdout.splitlines() if "missing date" not in line]
        self.assertEqual(complaints, [])

    @unittest.skipUnless(shutil.which("man"), "man is not installed")
    def test_is_shown_without_warnings(self):
        with tempfile.NamedTemporaryFile("w", suffix=".1") as file:
            file.write(self.page)
            file.flush()
            shown = run("man", "--warnings", "-l", file.name, env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
        self.assertEqual(shown.stderr, "")
        self.assertIn("shardscope launch", shown.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
