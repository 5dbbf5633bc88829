"""What runs on every node of a job: this node's Ray and, on the first node, the command.

    srun --ntasks-per-node=1 python -m slurm.node JOB_DIRECTORY run configs/colored_digits.yaml

The role comes from SLURM's variables. SIGUSR1 (soon out of time) and SIGTERM (being ended) set a flag: a file on this
node's disk that everything under Ray looks at, so that training checkpoints and the command returns by itself. The
file `end` in the job's directory ends the other nodes.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from slurm.allocation import Allocation
from slurm.errors import LaunchError
from slurm.ray_node import RayNode, adopt_orphans, private_environment, start_process, temporary_directory
from slurm.rendezvous import publish, read, tail, wait_for
from slurm.says import says

POLL = 0.2  # seconds
INTERRUPTED = 75  # exit code of `ddb` when it was asked to end early and can go on from the store


class Node:
    """One node of the job from its first to its last moment."""

    def __init__(self, job: Path, command: list[str]):
        self.job, self.command = job, command
        self.allocation = Allocation.read(os.environ)
        self.start_timeout = float(os.environ.get("DDB_START_TIMEOUT", 300))
        self.grace = float(os.environ.get("DDB_GRACE", 10))  # seconds from SIGTERM to the end of the command
        self.signal: str | None = None
        self.ending_since: float | None = None  # when SIGTERM came
        directory = temporary_directory(self.allocation, os.environ)
        self.flag = directory / "interrupt"
        self.environment = private_environment(os.environ, job / "token", self.allocation, self.flag)
        self.ray = RayNode(self.allocation, directory, job / f"{self.allocation.name}.log", self.environment)

    def run(self) -> int:
        """Play this node's role; the command's exit code on the first node, 0 on the others."""
        adopt_orphans()
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, self._signalled)
        try:
            return self._head() if self.allocation.index == 0 else self._worker()
        except LaunchError as error:
            publish(self.job / f"{self.allocation.name}.failed.json", {"error": str(error)})
            raise
        finally:
            if self.allocation.index == 0:
                publish(self.job / "end", {})
            # SLURM's patience is short after SIGTERM; else Ray's processes may say goodbye to each other.
            self.ray.end(self.job / "ray" / self.allocation.name, 8 if self.ending_since is None else 1)

    def _signalled(self, number: int, frame: object) -> None:
        self.signal = signal.Signals(number).name
        self.flag.touch()
        if number == signal.SIGTERM and self.ending_since is None:
            self.ending_since = time.monotonic()

    def _out_of_time(self) -> bool:
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
        code, began = 1, time.monotonic()
        try:
            self.ray.start(None, self.start_timeout, self._giving_up)
            address = f"{self.allocation.address}:{self.ray.ports['port']}"
            self.environment["RAY_ADDRESS"] = address
            self._say(f"head of Ray, {self._describe()}")
            dashboard = self.ray.ports.get("dashboard-port")
            publish(self.job / "head.json", {"node": self.allocation.name, "address": address, "dashboard": dashboard})
            self._publish_self()
            self._wait_for_all(self.start_timeout - (time.monotonic() - began))
            self._say(f"all {self.allocation.nodes} nodes have run a task; starting: ddb {' '.join(self.command)}")
            code = self._run_command()
        except LaunchError:
            code = INTERRUPTED if self.signal else 1
            raise
        finally:
            publish(self.job / "result.json", {"code": code, "signal": self.signal})
        return code

    def _worker(self) -> int:
        head = wait_for(self.job / "head.json", self.start_timeout, "address of the head", self._over)
        self.ray.start(head["address"], self.start_timeout, self._over)
        self._say(f"joined, {self._describe()}")
        self._publish_self()
        while self.ray.alive and not self._over() and not self._out_of_time():
            time.sleep(POLL)
        if not self._over() and self.ending_since is None:
            self._say(f"Ray ended here:\n{tail(self.ray.log)}")
        return 0

    def _over(self) -> bool:
        os.listdir(self.job)  # makes an NFS client look again
        return read(self.job / "end") is not None

    def _publish_self(self) -> None:
        mine = self.allocation
        numbers = {"address": mine.address, "cpus": mine.cpus, "gpus": mine.gpus, "directory": str(self.ray.directory)}
        publish(self.job / f"{mine.name}.json", numbers)

    def _wait_for_all(self, seconds: float) -> None:
        """Until Ray itself knows all nodes and GPUs. Raises LaunchError which says whom it misses, and why."""
        mine = self.allocation
        numbers = [str(mine.nodes), str(mine.all_gpus), str(seconds)]
        asking = subprocess.Popen(
            [sys.executable, "-m", "slurm.ready", *numbers], env=self.environment, text=True, stdout=subprocess.PIPE
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
        process = start_process([sys.executable, "-m", "ray_jobs.cli", *self.command], self.environment)
        while process.poll() is None:
            if self._out_of_time():
                process.kill()
            if not self.ray.alive:
                process.kill()
                if self.ending_since is not None:  # SLURM's SIGTERM reached Ray's processes as well
                    return INTERRUPTED
                raise LaunchError(f"Ray ended on {self.allocation.name} while the command ran:\n{tail(self.ray.log)}")
            time.sleep(POLL)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode


def main() -> None:
    """Command line of the module: JOB_DIRECTORY, then what `ddb` is given."""
    try:
        sys.exit(Node(Path(sys.argv[1]), sys.argv[2:]).run())
    except LaunchError as error:
        says(f"FAILED: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
