"""CDPM training on Ray Train: one `cdpm` stage, with DeepSpeed or DDP, on as many workers as the configuration asks.

    python -m ray_jobs.train_cdpm configs/colored_digits.yaml seeds=[0]

The loop is `ddb.diffusion.train`, what a worker does with it `ray_jobs.cdpm_worker`; here is what starts workers and
ends them. A lost worker restarts all from the last checkpoint; a lost driver does when the same command runs again.
"""

import json
from typing import Any

from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchTrainer

from ddb.errors import DDBError, Interrupted
from ddb.stages.needs import Demand, ResourceSettings
from ddb.store import Stage, Store, Workspace
from ray_jobs import placement
from ray_jobs.failures import StageFailed, explain

MAX_FAILURES = 3  # restarts of the worker group before the stage counts as failed
OUTPUT = ("pipeline", "tensorboard", "losses.jsonl")  # what moves from the workspace into the artifact


def train_cdpm(
    stage: Stage, store: Store, work: Workspace, attempt: str, demand: Demand, settings: ResourceSettings
) -> dict[str, Any]:
    """Train the CDPM of `stage`; fills `work.result`, returns numbers for the record.

    Raises DDBError where training itself gave up or so many workers cannot go on (its message says which setting to
    change), and StageFailed where workers failed. Nothing of Ray Train's is left either way.
    """
    arguments = {
        "config": stage.config,
        "data": str(store.path(stage.inputs["data"])),
        "folder": str(work.resume),
        "attempt": attempt,
        "progress": str(work.root),
        "checkpoint_every": settings.checkpoint_every,
        "deterministic": settings.deterministic,
        "threads": None if demand.gpus else demand.cpus,
    }
    _require_workers(stage.config["cdpm"]["zero_stage"], work, demand.workers)
    placement.release(stage, store)
    memory = placement.marked(demand.memory, stage, store)
    resources = {"CPU": demand.cpus, "GPU": demand.gpus, "memory": memory}
    trainer = TorchTrainer(
        _worker,
        train_loop_config=arguments,
        scaling_config=ScalingConfig(
            num_workers=demand.workers,
            use_gpu=bool(demand.gpus),
            placement_strategy="SPREAD",  # a node's network and memory bandwidth to each, if there are several
            resources_per_worker={name: amount for name, amount in resources.items() if amount},
        ),
        run_config=RunConfig(
            name="train",
            storage_path=str(work.resume / "ray"),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as failed:
        raise StageFailed(explain(failed)) from None
    finally:
        placement.release(stage, store)
    error = work.resume / "error.txt"
    if error.exists():
        message = error.read_text(encoding="utf-8")
        error.unlink()
        raise DDBError(message)
    if not (work.resume / "pipeline").exists():
        raise Interrupted("cdpm: interrupted; it goes on from its last checkpoint")
    for name in OUTPUT:
        (work.resume / name).rename(work.result / name)
    last = json.loads((work.result / "losses.jsonl").read_text().splitlines()[-1])
    nodes = sorted({(work.resume / f"node-{attempt}-{rank}").read_text() for rank in range(demand.workers)})
    names = ("images_per_second", "loss", "peak_memory", "peak_gpu_memory")
    numbers = {name: last[name] for name in names if name in last}
    return {"workers": demand.workers, "nodes": nodes, "device": (work.resume / "device").read_text(), **numbers}


def _require_workers(zero_stage: int, work: Workspace, workers: int) -> None:
    """Of ZeRO 1 and 2, each worker writes its part of the optimizer's state, which DeepSpeed cannot divide anew."""
    checkpoints = (work.resume / "ray" / "train").glob("checkpoint_*")  # one that was cut by a kill has too few parts
    written = max((len(list(each.glob("engine/*optim_states.pt"))) for each in checkpoints), default=0)
    if written not in (0, workers):
        folder = work.root.with_suffix(".free")  # its name once this attempt is over
        raise DDBError(f"resources.cdpm_workers: {workers} cannot go on from a checkpoint that {written} wrote with "
                       f"cdpm.zero_stage {zero_stage}; set resources.cdpm_workers={written}, or remove {folder} "
                       "to begin again")  # fmt: skip


def _worker(arguments: dict[str, Any]) -> None:
    from ray_jobs.cdpm_worker import train_rank  # only workers need diffusers, DeepSpeed and the data set

    train_rank(arguments)


if __name__ == "__main__":
    from ray_jobs.job import main

    main("cdpm", __doc__)
