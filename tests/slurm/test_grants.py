"""What SLURM granted, as `scontrol show job --details` says it, and the step that asks for it all."""

import pytest

from slurm.grants import Grant, parse, record
from slurm.step import step

MiB = 2**20
SHOWN = """\
JobId=23 ArrayJobId=23 ArrayTaskId=2 JobName=ddb
   NodeList=n[1-3] NumNodes=3 NumCPUs=5 NumTasks=3 CPUs/Task=1
   JOB_GRES=gpu:fake:4
     Nodes=n[1-2] CPU_IDs=0-1,5 Mem=3000 GRES=gpu:fake:2(S:0,IDX:0-1)
     Nodes=n3 CPU_IDs=0 Mem=1500 GRES=gpu:a100:2(IDX:0,2),gpu:v100:1(IDX:3)
     Nodes=n4 CPU_IDs=0 Mem=1500 GRES=gpu:4(CNT:4)
     Nodes=n5 CPU_IDs=0 Mem=1500 GRES=shard:gpu:3,mps:100,license:2
   WorkDir=/tmp/Nodes=x CPU_IDs=1

JobId=24 ArrayJobId=23 ArrayTaskId=0 JobName=ddb
     Nodes=n6 CPU_IDs=0 Mem=1500 GRES=

JobId=230 ArrayJobId=23 ArrayTaskId=1 JobName=ddb
     Nodes=n7 CPU_IDs=0 Mem=1500 GRES=(null)
"""


def test_the_grant_of_every_node_of_one_task_of_an_array():
    assert parse(record(SHOWN, "23")) == [  # the last task has the array's own number
        ("n[1-2]", Grant(cpus=3, memory=3000 * MiB, gpus=2, devices=(0, 1))),
        ("n3", Grant(cpus=1, memory=1500 * MiB, gpus=3, devices=(0, 2, 3))),
        ("n4", Grant(cpus=1, memory=1500 * MiB, gpus=4)),  # SLURM was given no files of the GPUs
        ("n5", Grant(cpus=1, memory=1500 * MiB, gpus=0)),
    ]
    assert parse(record(SHOWN, "24")) == [("n6", Grant(cpus=1, memory=1500 * MiB, gpus=0))]


@pytest.mark.parametrize(
    ("environment", "parts", "asked"),
    [
        ({}, [(4, 2), (4, 2)], ["--cpus-per-task=4", "--gres=gpu:2"]),
        ({}, [(4, 2), (4, 1)], ["--cpus-per-task=4", "--gpus=3"]),
        ({"DDB_GPUS": "0"}, [(4, 2), (8, 0)], ["--cpu-bind=none", "--gres=none"]),
        ({"SLURM_HINT": "nomultithread"}, [(4, 0)], []),
    ],
)
def test_the_step_asks_for_all_that_was_granted(environment, parts, asked):
    granted = {f"n{i}": Grant(cpus, 2**30, gpus) for i, (cpus, gpus) in enumerate(parts)}
    command = step(environment, granted)
    assert command[:2] == ["srun", f"--nodes={len(parts)}"] and {"--mem=0", "--export=ALL"} <= set(command)
    assert [option for option in command if option.startswith(("--cpu", "--gpu", "--gres"))] == asked
