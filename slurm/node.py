"""What runs on every node of a job: this node's Ray and, on the first node, the command.

    srun --ntasks-per-node=1 python -m slurm.node JOB_DIRECTORY run configs/colored_digits.yaml

The role comes from SLURM's variables. Three signals are answered:

    SIGUSR1     soon out of time, or preempted: the command is asked to end where it can go on
    SIGTERM     the same; where SLURM is ending the job by now, the command has only so many seconds for it
    SIGUSR2     from the batch script: look at once whether the job is over

Asking is done by a file on this node's disk that everything under Ray looks at, so that training writes a checkpoint
and the command returns by itself. The file `end` in the job's directory ends the other nodes.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from slurm import environment_file, gpus, requeue
from slurm.allocation import Allocation
from slurm.errors import LaunchError
from slurm.interpreter import without_spaces
from slurm.ray_node import RayNode, adopt_orphans, private_environment, start_process, temporary_directory
from slurm.rendezvous import check_private, publish, read, tail, wait_for
from slurm.says import says
from slurm.snapshot import module

POLL = 0.2  # seconds; nothing on shared storage is read so often
LOOK_STARTING, LOOK_RUNNING = 1.0, 15.0  # seconds between two looks at shared storage for the end of the job
INTERRUPTED = 75  # exit code of `ddb` when it was asked to end early and can go on from the store


class Node:
    """One node of the job from its first to its last moment."""

    def __init__(self, job: Path, command: list[str]):
        check_private(job)
        self.job, self.command = job, command
        self.allocation = Allocation.read(os.environ)
        self.start_timeout = float(os.environ.get("DDB_START_TIMEOUT", 300))
        self.grace = float(os.environ.get("DDB_GRACE", 10))  # seconds for the command once SLURM ends the job
        self.signal: str | None = None
        self.terminated = 0  # SIGTERMs of which it is not known yet what SLURM meant
        self.ending_since: float | None = None  # when SLURM was seen to be ending the job
        self.began = False  # whether the command has begun
        self.over, self.looked = False, float("-inf")
        directory = temporary_directory(os.environ)
        self.flag = directory / "interrupt"
        self.environment = private_environment(os.environ, job / "token", self.allocation, self.flag)
        self.python = without_spaces(Path(sys.executable), directory)
        log = job / f"{self.allocation.name}.log"
        self.ray = RayNode(self.python, self.allocation, directory, log, self.environment)

    def run(self) -> int:
        """Play this node's role; the command's exit code on the first node, 0 on the others."""
        adopt_orphans()
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, self._signalled)
        try:
            return self._head() if self.allocation.index == 0 else self._worker()
        except LaunchError as error:
            publish(self.job / f"{self.allocation.name}.failed.json", {"error": str(error)})
            raise
        finally:
            if self.allocation.index == 0:
                publish(self.job / "end", {})
            self.ray.end(self.job / "ray" / self.allocation.name)

    def _signalled(self, number: int, frame: object) -> None:
        if number == signal.SIGUSR2:
            self.looked = float("-inf")
            return
        self.signal = signal.Signals(number).name
        self.flag.touch()
        self.terminated += number == signal.SIGTERM

    def _out_of_time(self) -> bool:
        """Whether SLURM ends the job and the command has had its time; asks SLURM once for each SIGTERM."""
        if self.terminated:
            self.terminated = 0
            if self.ending_since is None and requeue.ending():
                self.ending_since = time.monotonic()
        return self.ending_since is not None and time.monotonic() > self.ending_since + self.grace

    def _giving_up(self) -> bool:
        """While Ray is not up there is nothing to save: the first signal ends the start."""
        return self.signal is not None

    def _say(self, text: str) -> None:
        says(f"{self.allocation.name}: {text}")

    def _describe(self) -> str:
        mine = self.allocation
        return f"{mine.cpus} CPUs, {mine.gpus} GPUs, {mine.memory / 2**30:.1f} GiB of memory, at {mine.address}"

    def _head(self) -> int:
        mine, code, started = self.allocation, 1, time.monotonic()
        try:
            torch = gpus.ask(self.python, self.environment, mine.gpus)
            self.ray.start(None, self.start_timeout, self._giving_up)
            address = f"{mine.address}:{self.ray.ports['port']}"
            self.environment["RAY_ADDRESS"] = address
            self._say(f"head of Ray, {self._describe()}")
            environment_file.write(self.job, self.environment, self.python)
            gpus.check(torch, mine.name, mine.gpus, self.start_timeout - (time.monotonic() - started))
            dashboard = self.ray.ports.get("dashboard-port")
            publish(self.job / "head.json", {"node": mine.name, "address": address, "dashboard": dashboard})
            self._publish_self()
            self._wait_for_all(self.start_timeout - (time.monotonic() - started))
            self._say(f"all {mine.nodes} nodes have run a task; starting: {' '.join(['ddb', *self.command])}")
            self.began = True
            code = self._run_command()
        except LaunchError:
            code = INTERRUPTED if self.signal else 1
            raise
        finally:
            publish(self.job / "result.json", {"code": code, "signal": self.signal, "began": self.began})
        return code

    def _worker(self) -> int:
        head = wait_for(self.job / "head.json", self.start_timeout, "address of the head", self._over)
        mine, torch = self.allocation, gpus.ask(self.python, self.environment, self.allocation.gpus)
        self.ray.start(head["address"], self.start_timeout, self._over)
        self._say(f"joined, {self._describe()}")
        gpus.check(torch, mine.name, mine.gpus, self.start_timeout)
        self._publish_self()
        while self.ray.alive and not self._over(LOOK_STARTING if self.signal else LOOK_RUNNING):
            time.sleep(POLL)
        if not self._over(0.0) and self.signal is None:
            self._say(f"Ray ended here:\n{tail(self.ray.log)}")
        return 0

    def _over(self, pause: float = LOOK_STARTING) -> bool:
        """Whether the job is over, as known from a look at shared storage at most `pause` seconds ago."""
        now = time.monotonic()
        if not self.over and now >= self.looked + pause:
            self.looked = now
            os.listdir(self.job)  # makes an NFS client look again
            self.over = read(self.job / "end") is not None
        return self.over

    def _publish_self(self) -> None:
        mine = self.allocation
        numbers = {"address": mine.address, "cpus": mine.cpus, "gpus": mine.gpus, "directory": str(self.ray.directory)}
        publish(self.job / f"{mine.name}.json", numbers)

    def _wait_for_all(self, seconds: float) -> None:
        """Until Ray itself knows all nodes and GPUs. Raises LaunchError which says whom it misses, and why."""
        mine = self.allocation
        numbers = [str(mine.nodes), str(mine.all_gpus), str(seconds)]
        asking = subprocess.Popen(
            module(self.python, "slurm.ready", *numbers), env=self.environment, text=True, stdout=subprocess.PIPE
        )
        while asking.poll() is None:
            failed = sorted(self.job.glob("*.failed.json"))
            if failed:
                asking.kill()
                raise LaunchError(f"a node is missing: {read(failed[0])['error']}")
            if self._giving_up():
                asking.kill()
                raise LaunchError(f"{self.signal} while the nodes were joining")
            time.sleep(POLL)
        if asking.returncode:
            joined = {path.stem for path in self.job.glob("*.json")}
            absent = [name for name in self._names() if name not in joined]
            logs = [f"{name}: {tail(self.job / f'{name}.log')}" for name in absent]
            raise LaunchError(f"{mine.nodes} nodes and {mine.all_gpus} GPUs are not all in Ray after "
                              f"{self.start_timeout:.0f} s (DDB_START_TIMEOUT); missing: "
                              + ("\n".join(logs) or "GPUs"))  # fmt: skip

    def _names(self) -> list[str]:
        shown = subprocess.run(
            ["scontrol", "show", "hostnames", os.environ["SLURM_STEP_NODELIST"]], capture_output=True, text=True
        )
        return shown.stdout.split()

    def _run_command(self) -> int:
        process = start_process(module(self.python, "ray_jobs.cli", *self.command), self.environment)
        while process.poll() is None:
            if self._out_of_time():
                process.kill()
                process.wait()
                return INTERRUPTED
            if not self.ray.alive:
                process.kill()
                raise LaunchError(f"Ray ended on {self.allocation.name} while the command ran:\n{tail(self.ray.log)}")
            time.sleep(POLL)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode


def main() -> None:
    """Command line of the module: JOB_DIRECTORY, then what `ddb` is given."""
    job = Path(sys.argv[1])
    try:
        try:
            node = Node(job, sys.argv[2:])
        except LaunchError as error:
            _tell_others(job, str(error))
            raise
        sys.exit(node.run())
    except LaunchError as error:
        says(f"FAILED: {error}")
        sys.exit(1)


def _tell_others(job: Path, error: str) -> None:
    """Of a node that does not even know its role: the job ends at once, instead of at the start deadline."""
    with contextlib.suppress(OSError):  # a directory that is not ours
        publish(job / f"{os.environ.get('SLURMD_NODENAME', 'node')}.failed.json", {"error": error})
        if os.environ.get("SLURM_NODEID") == "0":
            publish(job / "result.json", {"code": 1, "signal": None, "began": False})
            publish(job / "end", {})


if __name__ == "__main__":
    main()
