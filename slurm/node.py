"""Runs on every node of a job: this node's Ray and, on the first node, the command.

    srun --ntasks-per-node=1 python -m slurm.node JOB_DIRECTORY run configs/colored_digits.yaml

SIGUSR1 and SIGTERM ask the command to write a checkpoint and return, by a file on the node's disk that everything
under Ray polls. SIGUSR2, which the batch script sends, means that the job is over.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from slurm import ray_node
from slurm.files import check_private, publish, read
from slurm.grant import Grant
from slurm.interpreter import without_spaces
from slurm.log import LaunchError, log
from slurm.scontrol import is_ending, kill_wait
from slurm.snapshot import module

INTERRUPTED = 75  # exit code of a `ddb` command that was interrupted and can resume
SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR2)
POLL = 0.2  # seconds


class Node:
    """This node's part of a job."""

    def __init__(self, job: Path, command: list[str]):
        check_private(job)
        self.job, self.command, self.name = job, command, os.environ["SLURMD_NODENAME"]
        self.is_first = os.environ["SLURM_NODEID"] == "0"
        self.kill_at = float("inf")
        self.deadline = time.monotonic() + float(os.environ.get("DDB_START_TIMEOUT", 300))
        self.interrupted = self.terminated = self.over = self.began = False

    def run(self) -> int:
        """Exit code of the command on the first node, 0 on the others. Raises LaunchError, after publishing it."""
        code = 1
        try:
            with ray_node.temporary_directory(os.environ) as self.directory:
                for number in SIGNALS:
                    signal.signal(number, self._receive)
                ray_node.adopt_orphans()
                try:
                    code = self._run()
                finally:
                    ray_node.end_descendants()
                    logs = self.directory / "r" / "session_latest" / "logs"
                    if logs.exists():
                        shutil.copytree(logs, self.job / "ray" / self.name, ignore_dangling_symlinks=True)
        except LaunchError as error:
            code = INTERRUPTED if self.interrupted else 1
            publish(self.job / f"failed-{self.name}", f"{self.name}: {error}")
            raise
        finally:
            if self.is_first:
                publish(self.job / "result", f"{code} {self.began}")
            for number in SIGNALS:  # until this process has ended
                signal.signal(number, signal.SIG_IGN)
        return code

    def _receive(self, number: int, frame: object) -> None:
        if number == signal.SIGUSR2:
            self.over = True
        else:
            self.interrupted = True
            self.terminated |= number == signal.SIGTERM
            (self.directory / "interrupt").touch()

    def _run(self) -> int:
        grant, python = Grant.read(os.environ), without_spaces(Path(sys.executable), self.directory)
        environment = ray_node.private_environment(os.environ, self.job / "token", grant, self.directory, python)
        while not self.is_first and not read(self.job / "head"):
            self._go_on_starting()
        head = None if self.is_first else read(self.job / "head")
        start = ray_node.start_command(python, grant, head, self.directory)
        with (self.job / f"{self.name}.log").open("w") as output:
            ray = ray_node.start_process(start, environment, output.fileno())
        while "Ray runtime started" not in self._log():
            if ray.poll() is not None:
                raise LaunchError(f"Ray cannot start:\n{self._log()}")
            self._go_on_starting()
        log(f"{self.name}: {'joined' if head else 'head of Ray'}, {grant.cpus} CPUs, {grant.gpus} GPUs, "
            f"{grant.memory / 2**30:.1f} GiB of memory, at {grant.address}")  # fmt: skip
        if self.is_first:
            address = environment["RAY_ADDRESS"] = (self.directory / "r" / "ray_current_cluster").read_text()
            publish(self.job / "head", address)
            return self._run_command(grant, python, environment, ray)
        while ray.poll() is None and not self.over:
            time.sleep(POLL)
        if not self.over and not self.interrupted:
            log(f"{self.name}: Ray ended here:\n{self._log()}")
        return 0

    def _run_command(self, grant: Grant, python: Path, environment: dict[str, str], ray: subprocess.Popen) -> int:
        left = str(max(self.deadline - time.monotonic(), 0))
        ready = module(python, "slurm.ready", left, *grant.nodes)
        waiting = subprocess.Popen(ready, env=environment, stderr=subprocess.PIPE, text=True)
        while waiting.poll() is None:
            self._go_on_starting(patience=30)  # it names the missing nodes
        if waiting.returncode:
            reason = waiting.communicate()[1].strip().split("\n")[-1]
            raise LaunchError(f"not all nodes joined Ray in time (DDB_START_TIMEOUT); {reason}")
        log(f"all {len(grant.nodes)} nodes have run a task; starting: {' '.join(['ddb', *self.command])}")
        self.began = True
        process = ray_node.start_process(module(python, "ray_jobs.cli", *self.command), environment)
        while process.poll() is None:
            if ray.poll() is not None:
                raise LaunchError(f"Ray ended while the command ran:\n{self._log()}")
            if self._is_out_of_time():
                return INTERRUPTED
            time.sleep(POLL)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode

    def _is_out_of_time(self) -> bool:
        """Whether SLURM is ending the job and the command has had its share of KillWait; the rest is for cleaning up.

        SIGTERM alone does not say so: a preempted job receives it at the beginning of its grace time.
        """
        if self.terminated:
            self.terminated = False
            if is_ending():
                self.kill_at = min(self.kill_at, time.monotonic() + 0.4 * kill_wait())
        return time.monotonic() > self.kill_at

    def _go_on_starting(self, patience: float = 0) -> None:
        """Wait a moment. Raises LaunchError if the job ends, another node failed or the start deadline has passed."""
        time.sleep(POLL)
        for failed in self.job.glob("failed-*"):
            raise LaunchError(f"another node failed: {read(failed)}")
        if self.interrupted or self.over:
            raise LaunchError("interrupted while Ray was starting")
        if time.monotonic() > self.deadline + patience:
            raise LaunchError(f"Ray did not start in time (DDB_START_TIMEOUT):\n{self._log()}")

    def _log(self) -> str:
        """The last lines of Ray's output here."""
        path = self.job / f"{self.name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-25:]) if path.exists() else "(no output)"


if __name__ == "__main__":
    try:
        sys.exit(Node(Path(sys.argv[1]), sys.argv[2:]).run())
    except LaunchError as error:
        log(f"FAILED: {os.environ['SLURMD_NODENAME']}: {error}")
        sys.exit(1)
