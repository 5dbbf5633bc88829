"""What SLURM granted, as `scontrol show job --details` says it, and the step that asks for it all."""

import pytest

from slurm import grants
from slurm.errors import LaunchError
from slurm.grants import Grant, parse, record
from slurm.step import step, step_environment

MiB = 2**20
SHOWN = """\
JobId=8 JobName=ddb
   NodeList=n[1-3] NumNodes=3 NumCPUs=5 NumTasks=3 CPUs/Task=1
   JOB_GRES=gpu:fake:4
     Nodes=n[1-2] CPU_IDs=0-1,5 Mem=3000 GRES=gpu:fake:2(IDX:0-1)
     Nodes=n3 CPU_IDs=0 Mem=1500 GRES={gres}
   WorkDir=/tmp/Nodes=x CPU_IDs=1
"""


@pytest.mark.parametrize(
    ("gres", "gpus", "devices"),
    [
        ("(null)", 0, ()),
        ("", 0, ()),
        ("gpu:1(IDX:3)", 1, (3,)),
        ("gpu:4", 4, ()),  # SLURM was given no files of the GPUs
        ("gpu:4(CNT:4)", 4, ()),
        ("gpu:a100:2(IDX:0,2),gpu:v100:1(IDX:3)", 3, (0, 2, 3)),
        ("gpu:nvidia_a100_1g.5gb:2(S:0,IDX:0-1)", 2, (0, 1)),
        ("shard:gpu:3,mps:100,license:2", 0, ()),
    ],
)
def test_every_node_has_its_own_grant(gres, gpus, devices):
    assert parse(SHOWN.format(gres=gres)) == [
        ("n[1-2]", Grant(cpus=3, memory=3000 * MiB, gpus=2, devices=(0, 1))),
        ("n3", Grant(cpus=1, memory=1500 * MiB, gpus=gpus, devices=devices)),
    ]


def test_a_task_of_an_array_is_told_from_the_others():
    task = "JobId={} ArrayJobId=23 ArrayTaskId={} JobName=ddb\n     Nodes=n{} CPU_IDs=0 Mem=1500 GRES=\n\n"
    shown = task.format(23, 2, 2) + task.format(24, 0, 1) + task.format(230, 1, 3)
    assert [nodes for nodes, _ in parse(record(shown, "23"))] == ["n2"]  # the last task has the array's own number
    assert [nodes for nodes, _ in parse(record(shown, "24"))] == ["n1"]


def test_a_slurm_that_does_not_tell_is_quoted(tmp_path, monkeypatch):
    program = tmp_path / "scontrol"
    program.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Socket timed out' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(grants, "PAUSE", 0)
    with pytest.raises(LaunchError, match=r"does not say what it granted to job 8: .*Socket timed out"):
        grants.of_job("8")


def granted(*parts):
    return {f"n{i}": Grant(cpus, 2**30, gpus) for i, (cpus, gpus) in enumerate(parts)}


@pytest.mark.parametrize(
    ("environment", "parts", "asked"),
    [
        ({}, [(4, 2), (4, 2)], ["--cpus-per-task=4", "--gres=gpu:2"]),
        ({}, [(4, 2), (4, 1)], ["--cpus-per-task=4", "--gpus=3"]),
        ({}, [(4, 2), (8, 0)], ["--cpu-bind=none"]),
        ({}, [(4, 0)], ["--cpus-per-task=4"]),
        ({"SLURM_CPUS_PER_TASK": "2"}, [(4, 0)], ["--cpus-per-task=4"]),  # an exclusive job has more than it asked for
        ({"SLURM_HINT": "nomultithread"}, [(4, 0)], []),
        ({"DDB_GPUS": "0"}, [(4, 2)], ["--cpus-per-task=4", "--gres=none"]),
    ],
)
def test_the_step_asks_for_all_that_was_granted(environment, parts, asked):
    command = step(environment, granted(*parts))
    assert command[:2] == ["srun", f"--nodes={len(parts)}"] and {"--mem=0", "--export=ALL"} <= set(command)
    assert [option for option in command if option.startswith(("--cpu", "--gpu", "--gres"))] == asked


def test_nothing_of_the_batch_step_is_asked_for_again():
    kept = {"SLURM_JOB_ID": "8", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "1", "SLURM_CONF": "/c", "A": "b"}
    batch = {"SLURM_GPUS": "3", "SLURM_MEM_PER_GPU": "700", "SLURM_CPUS_PER_TASK": "2", "SLURM_JOB_GPUS": "0,1"}
    batch |= {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_STEP_ID": "4", "SLURM_NODEID": "0", "SLURMD_NODENAME": "n1"}
    assert step_environment(kept | batch) == kept
