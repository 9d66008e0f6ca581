"""Installs the build and makes Debian packages of it, each in a folder of its own, and uses what came out.

    install_test.py BUILD_FOLDER CMAKE
"""

import gzip
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv[1]).resolve()
CMAKE = pathlib.Path(sys.argv[2])

# Nothing of the build or of the tests' surroundings helps the installed program.
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}

# What lintian finds in every package that CPack writes: it knows no changelog, and registers libraries
# that other programs do not use.
OF_CPACK = "no-changelog,maintscript-calls-ldconfig"


def run(*words, **options):
    words = [str(word) for word in words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Tree(unittest.TestCase):
    """Checks of an installed tree, wherever it came from."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def check_tree(self, root):
        program = root / "bin/shardscope"
        self.assertRegex(run(program, "--version", env=BARE), r"^shardscope \d+\.\d+\.\d+\n$")
        scenario = root / "share/shardscope/scenarios/gpt2-h100.yaml"
        self.assertIn("fits", run(program, "simulate", scenario, env=BARE))
        tutorial = root / "share/shardscope/scenarios/mlp.yaml"
        self.assertIn("fits", run(program, "run", tutorial, "--steps", "2", env=BARE))
        ranks = [program, "launch", "--num_gpus", "2", "--", "run", tutorial, "--steps", "2"]
        self.assertIn("2 ranks", run(*ranks, env=BARE))
        libraries = run("ldd", program)
        self.assertIn(str(root / "lib/shardscope/libshardscope_core.so"), self.resolved(libraries))
        self.assertNotIn(str(BUILD), libraries)
        self.check_shell_files(root)

    def resolved(self, libraries):
        paths = [line.split("=>")[1].split()[0] for line in libraries.splitlines() if "=>" in line]
        return [str(pathlib.Path(path).resolve()) for path in paths]

    def check_shell_files(self, root):
        script = root / "share/bash-completion/completions/shardscope"
        self.assertIn("complete -F", run("bash", "-c", f'source "{script}"; complete -p shardscope'))
        zsh = (root / "share/zsh/site-functions/_shardscope").read_text()
        self.assertTrue(zsh.startswith("#compdef shardscope\n"))
        (manual,) = (root / "share/man/man1").glob("shardscope.1*")
        opener = gzip.open if manual.suffix == ".gz" else open
        with opener(manual, "rt") as file:
            self.assertIn("SHARDSCOPE 1", file.read())


class Prefix(Tree):
    def test_works_wherever_it_is_moved(self):
        run(CMAKE, "--install", BUILD, "--prefix", self.folder / "prefix")
        self.check_tree(self.folder / "prefix")
        moved = (self.folder / "prefix").rename(self.folder / "elsewhere")
        self.check_tree(moved)
        licence = moved / "share/doc/shardscope/LICENSE"
        self.assertIn("Apache License", licence.read_text())
        self.assertTrue((moved / "share/doc/shardscope/docs/scenario.md").exists())


@unittest.skipUnless(shutil.which("dpkg-shlibdeps"), "dpkg-dev is not installed")
class Packages(Tree):
    def packages(self):
        run(CMAKE.with_name("cpack"), "-G", "DEB", "-B", self.folder, cwd=BUILD)
        return sorted(self.folder.glob("*.deb"))

    def test_packages(self):
        packages = self.packages()
        (package,) = [p for p in packages if p.name.startswith("shardscope_")]
        run("dpkg-deb", "-x", package, self.folder / "root")
        self.check_tree(self.folder / "root/usr")
        self.assertNotIn("shardscope_mpi", run("dpkg-deb", "-c", package))
        depends = run("dpkg-deb", "-f", package, "Depends")
        for library in ["libc6", "libstdc++6", "libfmt9", "libyaml-cpp0.7", "libdnnl2"]:
            self.assertIn(f"{library} (>= ", depends)
        self.assertNotIn("mpi", depends)
        self.assertEqual(run("dpkg-deb", "-f", package, "Section").strip(), "science")
        self.check_mpi_package([p for p in packages if p.name.startswith("shardscope-mpi_")])
        self.check_gui_package([p for p in packages if p.name.startswith("shardscope-gui_")])
        for each in packages:
            self.check_with_lintian(each)

    def check_mpi_package(self, found):
        has_module = (BUILD / "lib/shardscope/shardscope_mpi.so").exists()
        self.assertEqual(len(found), 1 if has_module else 0)
        for package in found:
            self.assertIn("/lib/shardscope/shardscope_mpi.so", run("dpkg-deb", "-c", package))
            self.assertIn("shardscope (= ", run("dpkg-deb", "-f", package, "Depends"))

    def check_gui_package(self, found):
        self.assertEqual(len(found), 1 if (BUILD / "bin/shardscope-gui").exists() else 0)
        for package in found:
            content = run("dpkg-deb", "-c", package)
            for file in ["bin/shardscope-gui", "applications/shardscope-gui.desktop",
                         "man1/shardscope-gui.1"]:
                self.assertIn(file, content)
            depends = run("dpkg-deb", "-f", package, "Depends")
            for library in ["shardscope (= ", "libqcustomplot2.1-qt6", "libqt6widgets6"]:
                self.assertIn(library, depends)
            run("dpkg-deb", "-x", package, self.folder / "root")
            table = self.folder / "table.csv"
            run(self.folder / "root/usr/bin/shardscope-gui", "--export", table, env=BARE)
            self.assertEqual(len(table.read_text().splitlines()), 9)

    def check_with_lintian(self, package):
        if not shutil.which("lintian"):
            return
        words = ["--fail-on", "error,warning", "--allow-root", "--suppress-tags", OF_CPACK]
        with self.subTest(package.name):
            run("lintian", *words, package)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
