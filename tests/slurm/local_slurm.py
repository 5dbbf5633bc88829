"""A real SLURM with virtual nodes on this machine: slurmctld, one slurmd per node, a munge of its own, all on loopback.

    with LocalSlurm(directory, Settings(nodes=2, cpus=1)) as slurm:
        job = slurm.sbatch("--nodes=2", "slurm/ddb.sbatch", "run", "configs/colored_digits.yaml")
        slurm.wait(job)

Debian's packages slurmctld, slurmd, slurm-client and munge; as root, since slurmd starts steps as their user. Each
virtual node has a loopback address of its own, so that what listens on one is not found on the other.
"""

import os
import secrets
import shutil
import socket
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "scontrol", "squeue", "scancel")
CONFIGURATION = """\
ClusterName=ddbtest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.sock
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool/%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters={selected}
SchedulerParameters=sched_interval=1,sched_min_interval=0
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=10
OverTimeLimit=0
MinJobAge=600
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
{preemption}
{nodes}
{partitions}
"""
NODE = (
    "NodeName=n{i} NodeHostname={host} NodeAddr={network}.{i} Port={port} CPUs={cpus} RealMemory={memory} State=UNKNOWN"
)
SHARED = "PartitionName=main Nodes=ALL Default=YES MaxTime=24:00:00 State=UP OverSubscribe=FORCE:2"
PREEMPTION = "PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE"
PREEMPTED = """\
PartitionName=main Nodes=ALL Default=YES MaxTime=24:00:00 State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=grace Nodes=ALL MaxTime=24:00:00 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=24:00:00 State=UP PriorityTier=10 PreemptMode=OFF"""


@dataclass(frozen=True)
class Settings:
    """What the cluster is like."""

    nodes: int = 2
    cpus: int = 1  # of each node
    memory: int = 6000  # MB of each node
    gpus: int = 0  # of each node: device files that no driver stands behind
    without_gpus: int = 0  # of the nodes, the last ones
    selected: str = "CR_CPU"  # what SLURM hands out
    preemption: bool = False  # partitions main, grace (60 s) and urgent, which preempts; else one that two jobs share
    user_signal: bool = False  # preempt_send_user_signal


def skip_without_slurm() -> None:
    """Skip the test where no SLURM can be started."""
    if absent := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"no local SLURM: {', '.join(absent)} not installed")
    if os.getuid():
        pytest.skip("no local SLURM: slurmd must run as root")


def free_ports(number: int) -> list[int]:
    """Ports on which nothing listens, all different."""
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class LocalSlurm:
    """Nodes n1, n2, ... of the given settings; use it as a context. Skips the test where there can be none."""

    def __init__(self, directory: Path, settings: Settings = Settings()):
        skip_without_slurm()
        self.directory, self.settings = directory, settings
        self.names = [f"n{i + 1}" for i in range(settings.nodes)]
        self.network = f"127.{secrets.randbelow(250) + 2}.{secrets.randbelow(250) + 2}"
        for name in ("state", *(f"spool/{name}" for name in self.names)):
            (directory / name).mkdir(parents=True)
        self.configuration = directory / "slurm.conf"
        self.configuration.write_text(self._configuration())
        # Whatever this process has: also what its own imports of Ray have set, as with any program that submits.
        self.environment = dict(os.environ) | {"SLURM_CONF": str(self.configuration)}

    def _configuration(self) -> str:
        settings, host = self.settings, socket.gethostname().partition(".")[0]
        controller, *ports = free_ports(settings.nodes + 1)
        lines = [
            NODE.format(i=i + 1, host=host, network=self.network, port=port, cpus=settings.cpus, memory=settings.memory)
            for i, port in enumerate(ports)
        ]
        if settings.gpus:
            equipped = settings.nodes - settings.without_gpus
            lines[:equipped] = [f"{line} Gres=gpu:fake:{settings.gpus}" for line in lines[:equipped]]
            lines.insert(0, "GresTypes=gpu")
            self._make_devices()
        parameters = "SlurmctldParameters=preempt_send_user_signal" if settings.user_signal else ""
        return CONFIGURATION.format(
            host=host,
            directory=self.directory,
            controller_port=controller,
            selected=settings.selected,
            nodes="\n".join(lines),
            preemption=f"{PREEMPTION}\n{parameters}" if settings.preemption else "",
            partitions=PREEMPTED if settings.preemption else SHARED,
        )

    def _make_devices(self) -> None:
        """A gres.conf, and device files that are as good as /dev/null."""
        (self.directory / "dev").mkdir()
        for i in range(self.settings.gpus):
            os.mknod(self.directory / "dev" / f"gpu{i}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        names = f"n[1-{self.settings.nodes - self.settings.without_gpus}]"
        files = f"{self.directory}/dev/gpu[0-{self.settings.gpus - 1}]"
        (self.directory / "gres.conf").write_text(f"NodeName={names} Name=gpu Type=fake File={files}\n")

    def __enter__(self) -> "LocalSlurm":
        key = self.directory / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        where = {name: self.directory / f"munge.{name}" for name in ("sock", "pid", "log", "seed")}
        options = [f"--key-file={key}", f"--socket={where['sock']}", f"--pid-file={where['pid']}"]
        options += [f"--log-file={where['log']}", f"--seed-file={where['seed']}"]
        self.call("munged", "--force", *options)
        self.call("slurmctld", "-f", str(self.configuration))
        for name in self.names:
            self.start_node(name)
        deadline = time.monotonic() + 600
        while self.call("sinfo", "-h", "-t", "idle", "-o", "%D").strip() != str(len(self.names)):
            if time.monotonic() > deadline:
                raise TimeoutError((self.directory / "slurmctld.log").read_text()[-2000:])
            time.sleep(0.1)
        return self

    def __exit__(self, *error) -> None:
        subprocess.run(["scancel", "--user=root"], env=self.environment)
        deadline = time.monotonic() + 600
        while self.call("squeue", "--noheader") and time.monotonic() < deadline:  # else their steps outlive us
            time.sleep(0.2)
        for name in ("slurmctld", *(f"slurmd.{name}" for name in self.names), "munge"):
            path = self.directory / f"{name}.pid"
            if path.exists():
                subprocess.run(["kill", "-9" if name != "munge" else "-15", path.read_text().strip()])

    def start_node(self, name: str) -> None:
        self.call("slurmd", "-f", str(self.configuration), "-N", name)

    def call(self, *command: str) -> str:
        """Output of a SLURM command against this cluster; raises CalledProcessError with its complaint."""
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def sbatch(self, *arguments: str, **environment: str) -> int:
        """Submit; the job's number."""
        command = ["sbatch", "--parsable", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment | environment)
        assert done.returncode == 0, done.stderr
        return int(done.stdout.strip().partition(";")[0])

    def job(self, number: int) -> dict[str, str]:
        """What `scontrol show job` says: JobState, ExitCode, Restarts, ..."""
        fields = self.call("scontrol", "show", "job", str(number), "--oneliner").split()
        return dict(field.split("=", 1) for field in fields if "=" in field)

    def wait(self, number: int, states: tuple[str, ...] = (), timeout: float = 1200) -> dict[str, str]:
        """Until the job is over, or in one of `states`; a requeued job is started without its two minutes of rest."""
        deadline, resting = time.monotonic() + timeout, None
        while time.monotonic() < deadline:
            job = self.job(number)
            if job["JobState"] in (states or ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")):
                return job
            if job["Reason"] != "BeginTime":
                resting = None
            elif resting is None:
                resting = time.monotonic()
            elif time.monotonic() > resting + 3:  # sooner, the credential of the start before is revoked for this one
                subprocess.run(["scontrol", "update", f"jobid={number}", "StartTime=now"], env=self.environment)
            time.sleep(0.2)
        raise TimeoutError(f"job {number} is {self.job(number)}")
