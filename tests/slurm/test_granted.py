"""What each node of a real SLURM's job believes to have, for requests of every kind, where nodes differ."""

import subprocess
import sys

import pytest

from tests.slurm.conftest import FINAL, log, submitted
from tests.slurm.local_slurm import LocalSlurm, Settings

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

# The launcher's step, with this in place of a Ray.
TELL = """
import os
from slurm.grant import Grant
mine = Grant.read(os.environ)
print(mine.node, mine.cpus, mine.memory >> 20, mine.gpus, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
"""
START = f"""
import os, sys
from slurm.grant import step
command, environment = step(os.environ)
os.execvpe("srun", [*command, sys.executable, "-c", {TELL!r}], environment)
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Nodes of 2 CPUs and 1500 MB; n1 and n2 have two GPUs, n3 has none."""
    settings = Settings(nodes=3, cpus=2, memory=1500, gpus=2, without_gpus=1, selected="CR_CPU_Memory")
    with LocalSlurm(tmp_path_factory.mktemp("slurm"), settings) as running:
        yield running


REQUESTS = {
    # CPUs, MB, GPUs and which
    "--nodes=1 --cpus-per-task=1 --gpus=fake:1 --mem-per-gpu=700": ["n1 1 700 1 0"],
    "--nodes=2 --ntasks=3 --mem-per-cpu=400": ["n1 2 800 0", "n2 1 400 0"],
    "--nodes=2 --gpus=3 --mem=800": ["n1 1 800 2 0,1", "n2 1 800 1 0"],
    "--nodes=2 --exclusive --gpus-per-node=2 --mem=0": ["n1 2 1500 2 0,1", "n2 2 1500 2 0,1"],
    # GPUs that were not requested, which SLURM gives to no step.
    "--nodes=3 --exclusive": ["n1 2 1500 0", "n2 2 1500 0", "n3 2 1500 0"],
    "--nodes=1 --cpus-per-task=2 --mem=900 --export=NONE": ["n1 2 900 0"],
}


@pytest.mark.parametrize("request_", REQUESTS)
def test_each_node_knows_its_own_grant(slurm, tmp_path, request_):
    script = tmp_path / "tell.sbatch"
    script.write_text(f"#!/bin/bash\nexec {sys.executable} - <<'EOF'\n{START}\nEOF\n")
    options = ["--wait", "--time=2", f"--output={tmp_path}/log", f"--chdir={tmp_path.cwd()}"]
    subprocess.run(["sbatch", *options, *request_.split(), script], env=slurm.environment, check=True)
    said = (tmp_path / "log").read_text().splitlines()
    assert sorted(line.strip() for line in said if line.startswith("n")) == REQUESTS[request_], said


def test_gpus_that_torch_does_not_find_are_one_line_before_the_first_stage(slurm, tmp_path):
    batch = ("--nodes=2", "--cpus-per-task=2", "--mem=0", "--gpus-per-node=2", "slurm/ddb.sbatch")
    job = submitted(slurm, tmp_path, "doctor", batch=batch)
    slurm.wait(job, FINAL)
    said = log(tmp_path, job)
    assert "n1: head of Ray, 2 CPUs, 2 GPUs, 1.5 GiB of memory" in said
    warning = "SLURM granted 2 GPUs and torch finds 0; check nvidia-smi, CUDA_VISIBLE_DEVICES=0,1, and that torch"
    assert [said.count(f"{node}: {warning}") for node in ("n1", "n2")] == [1, 1], said
    assert said.index(warning) < said.index("all 2 nodes have run a task; starting: ddb doctor")
