"""Ranks on two hosts, which are two network namespaces with a wire between them.

    two_hosts_test.py BINARY SOURCE_FOLDER

Ends with 77, which ctest counts as skipped, where namespaces cannot be made.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BINARY = pathlib.Path(sys.argv[1]).resolve()
SOURCE = pathlib.Path(sys.argv[2]).resolve()
ADDRESSES = ["10.99.0.1", "10.99.0.2"]
TINY = """
name: tiny
model: {gpt: {layers: 2, hidden: 16, heads: 2, vocab: 64, seq: 8}}
training: {global_batch: 8, micro_batch: 2, steps: 3, clip: 1.0}
cluster: {this_machine: {ranks: 4}}
strategies: [{name: zero-2, zero: 2}, {name: tp2 x pp2, tp: 2, pp: 2}]
"""


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Wire:
    """Two namespaces, named after this process, and a pair of virtual Ethernet devices."""

    def __init__(self):
        self.names = [f"shardscope-{os.getpid()}-{i}" for i in range(2)]
        # Names of devices have at most 15 characters.
        self.devices = [f"ss{os.getpid() % 10**8}v{i}" for i in range(2)]
        try:
            for name in self.names:
                ip("netns", "add", name)
            first, second = self.devices
            ip("link", "add", first, "type", "veth", "peer", "name", second)
            for name, device, address in zip(self.names, self.devices, ADDRESSES):
                ip("link", "set", device, "netns", name)
                ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
                ip("-n", name, "link", "set", device, "up")
                ip("-n", name, "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def close(self):
        for name in self.names:  # a device goes with its namespace
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", self.devices[0]], capture_output=True)

    def inside(self, host, words):
        """The words as a command on that host, with a host name of its own."""
        line = ["ip", "netns", "exec", self.names[host], "unshare", "--uts", "sh", "-c"]
        return [*line, f'hostname host{host}; exec "$@"', "sh", *map(str, words)]


class TwoHosts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "tiny.yaml").write_text(TINY)
        (self.folder / "hosts").write_text("".join(f"{a} slots=2\n" for a in ADDRESSES))
        self.environment = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.folder),
            # Containers are root, which mpirun refuses unless it is told twice.
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        }

    def start(self, host, *words):
        process = subprocess.Popen(
            WIRE.inside(host, [BINARY, *words]),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def launch_by_hand(self, options, command):
        """Starts the command on both hosts: the same line but for which host it is."""
        line = ["launch", "--no_ssh", "--master_addr", ADDRESSES[0], *options]
        return [self.start(host, *line, "--node_rank", host, "--", *command) for host in range(2)]

    def finish(self, processes):
        outputs = [process.communicate(timeout=100) for process in processes]
        for process, (_, errors) in zip(processes, outputs):
            self.assertEqual(process.returncode, 0, errors)
        return outputs

    def threads(self):
        line = [BINARY, "run", "tiny.yaml", "--json"]
        done = subprocess.run(line, cwd=self.folder, env=self.environment, capture_output=True)
        return json.loads(done.stdout)

    def assert_same_training(self, report):
        for expected, got in zip(self.threads()["strategies"], report["strategies"]):
            self.assertEqual(got["status"], "fits")
            self.assertEqual(got["measured"]["losses"], expected["measured"]["losses"])

    def test_ranks_get_their_variables(self):
        variables = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "CROSS_RANK"]
        script = "echo " + " ".join(f"${v}" for v in variables) + " > place$RANK"
        options = ["--num_nodes", "2", "--num_gpus", "2", "--program", "sh"]
        self.finish(self.launch_by_hand(options, ["-c", script]))
        places = [(self.folder / f"place{rank}").read_text().split() for rank in range(4)]
        self.assertEqual(places[2], ["2", "0", "4", "2", "1"])
        self.assertEqual([p[0] for p in places], ["0", "1", "2", "3"])

    def test_started_by_hand_they_train_as_threads_do(self):
        command = ["run", "tiny.yaml", "--json"]
        outputs = self.finish(self.launch_by_hand(["--hostfile", "hosts"], command))
        self.assertEqual(outputs[1][0], "")  # rank 0 reports for all
        self.assert_same_training(json.loads(outputs[0][0]))

    def test_tutorials_sixteen_ranks(self):
        scenario = SOURCE / "scenarios/tutorial/sixteen-ranks.yaml"
        command = ["run", scenario, "--strategy", "zero-2", "--steps", "2", "--json"]
        options = ["--num-nodes", "2", "--num-gpus", "8"]
        outputs = self.finish(self.launch_by_hand(options, command))
        report = json.loads(outputs[0][0])
        self.assertEqual(len(report["strategies"][0]["measured"]["memory"]["ranks"]), 16)

    def test_a_rank_that_dies_ends_both_hosts(self):
        command = ["run", "tiny.yaml", "--steps", "1000000"]
        processes = self.launch_by_hand(["--hostfile", "hosts"], command)
        victim = self.child_of(processes[1])
        time.sleep(1)  # into the training, or into the meeting: both must end
        os.kill(victim, signal.SIGKILL)
        errors = [process.communicate(timeout=60)[1] for process in processes]
        self.assertEqual(processes[1].returncode, 128 + signal.SIGKILL, errors)
        self.assertIn(f"(process {victim}) ended by signal 9 (killed)", errors[1])
        self.assertNotEqual(processes[0].returncode, 0, errors)
        self.assertEqual(self.ranks_alive(), [])

    def child_of(self, process):
        """One of the ranks of a launch that has just been started."""
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for _ in range(500):
            ranks = [int(word) for word in children.read_text().split()]
            ranks = [rank for rank in ranks if str(BINARY) in self.command_line(rank)]
            if ranks:
                return ranks[-1]
            time.sleep(0.02)
        self.fail("no rank was started")

    @staticmethod
    def command_line(process):
        try:
            return pathlib.Path(f"/proc/{process}/cmdline").read_bytes().decode()
        except OSError:  # it has ended
            return ""

    def ranks_alive(self):
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "cwd") == str(self.folder):
                    found.append(entry.name)
            except OSError:
                pass
        return found

    @unittest.skipUnless(shutil.which("mpirun"), "mpirun is not installed")
    def test_mpirun_starts_them_on_both(self):
        if not (BINARY.parent.parent / "lib/shardscope/shardscope_mpi.so").exists():
            self.skipTest("this build has no MPI module")
        # In the place of ssh: goes to the host by its namespace.
        agent = self.folder / "agent"
        agent.write_text(
            "#!/bin/sh\n"
            'host=$1; shift\ncase $host in\n'
            f'{ADDRESSES[0]}) set -- "{WIRE.names[0]}" host0 "$*" ;;\n'
            f'{ADDRESSES[1]}) set -- "{WIRE.names[1]}" host1 "$*" ;;\n'
            "*) exit 1 ;;\nesac\n"
            'exec ip netns exec "$1" unshare --uts sh -c "hostname $2; $3"\n'
        )
        agent.chmod(0o755)
        network = "10.99.0.0/24"
        arguments = (
            f"--mca plm_rsh_agent {agent} --mca plm_rsh_no_tree_spawn 1 --mca btl tcp,self,vader "
            f"--mca btl_tcp_if_include {network} --mca oob_tcp_if_include {network} "
            "--mca mpi_yield_when_idle 1"
        )
        line = ["launch", "--hostfile", "hosts", "--launcher", "mpirun", "--launcher_args"]
        process = self.start(0, *line, arguments, "--", "run", "tiny.yaml", "--json")
        ((report, errors),) = self.finish([process])
        self.assertIn(f"mpirun -np 4 -H {ADDRESSES[0]}:2,{ADDRESSES[1]}:2", errors)
        self.assert_same_training(json.loads(report))


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


if __name__ == "__main__":
    for needed in ["ip", "unshare", "hostname"]:
        if not shutil.which(needed):
            skip(f"{needed} is not installed")
    try:
        WIRE = Wire()
    except subprocess.CalledProcessError as error:
        skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
    try:
        unittest.main(argv=sys.argv[:1], verbosity=2)
    finally:
        WIRE.close()
