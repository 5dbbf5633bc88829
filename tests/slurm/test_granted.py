"""What each node of a real SLURM's job believes to have, for requests of every kind, where nodes differ."""

import subprocess
import sys

import pytest

from tests.slurm.conftest import FINAL, log, submitted
from tests.slurm.local_slurm import LocalSlurm, Settings, missing

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

# The launcher's own step, with this in place of a Ray.
TELL = """
import os
from slurm.allocation import Allocation
mine = Allocation.read(os.environ)
visible = os.environ.get("CUDA_VISIBLE_DEVICES", mine.devices)
print(mine.name, mine.cpus, mine.memory >> 20, f"{mine.gpus}/{mine.all_gpus}", visible)
"""
START = f"""
import os, sys
from slurm import grants
from slurm.step import step, step_environment
command = step(os.environ, grants.of_job(os.environ["SLURM_JOB_ID"]))
os.execvpe("srun", [*command, sys.executable, "-c", {TELL!r}], step_environment(os.environ))
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Nodes of 2 CPUs and 1500 MB; n1 and n2 have two GPUs, n3 has none."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    settings = Settings(nodes=3, cpus=2, memory=1500, gpus=2, without_gpus=1, selected="CR_CPU_Memory")
    with LocalSlurm(tmp_path_factory.mktemp("slurm"), settings) as running:
        yield running


REQUESTS = {
    # CPUs, MB, GPUs here and in all, and which
    "--nodes=1 --cpus-per-task=1 --gpus=fake:1 --mem-per-gpu=700": ["n1 1 700 1/1 0"],
    "--nodes=2 --ntasks=3 --mem-per-cpu=400": ["n1 2 800 0/0", "n2 1 400 0/0"],
    "--nodes=2 --gpus=3 --mem=800": ["n1 1 800 2/3 0,1", "n2 1 800 1/3 0"],
    # All GPUs of the nodes, which nobody asked for; one node has none.
    "--nodes=3 --exclusive": ["n1 2 1500 2/4 0,1", "n2 2 1500 2/4 0,1", "n3 2 1500 0/4"],
    "--nodes=1 --cpus-per-task=2 --mem=900 --export=NONE": ["n1 2 900 0/0"],
}


@pytest.mark.parametrize("request_", REQUESTS)
def test_each_node_knows_its_own_grant(slurm, tmp_path, request_):
    script = tmp_path / "tell.sbatch"
    script.write_text(f"#!/bin/bash\nexec {sys.executable} - <<'EOF'\n{START}\nEOF\n")
    options = ["--wait", "--time=2", f"--output={tmp_path}/log", f"--chdir={tmp_path.cwd()}"]
    subprocess.run(["sbatch", *options, *request_.split(), script], env=slurm.environment, check=True)
    said = (tmp_path / "log").read_text().splitlines()
    assert sorted(line.strip() for line in said if line.startswith("n")) == REQUESTS[request_], said


def test_gpus_that_torch_does_not_see_end_the_job_before_any_stage(slurm, tmp_path):
    batch = ("--nodes=1", "--cpus-per-task=2", "--mem=0", "--gpus-per-node=2", "slurm/ddb.sbatch")
    job = submitted(slurm, tmp_path, "doctor", batch=batch)
    done = slurm.wait(job, FINAL)
    said = log(tmp_path, job)
    assert (done["JobState"], done["ExitCode"]) == ("FAILED", "1:0"), said
    assert "n1: head of Ray, 2 CPUs, 2 GPUs, 1.5 GiB of memory" in said
    (reason,) = [line for line in said.splitlines() if "SLURM granted" in line]
    assert "FAILED: node n1: SLURM granted 2 GPUs, and torch sees none; " in reason  # and what to look at
    assert "DDB_GPUS=0" in reason and "Traceback" not in said
