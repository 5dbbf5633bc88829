"""CDPM training on Ray Train: one `cdpm` stage, with DeepSpeed or DDP, on as many workers as the configuration asks.

    python -m ray_jobs.train_cdpm configs/colored_digits.yaml seeds=[0]

The loop is `ddb.diffusion.train`; here are the workers, the checkpoints reported to Ray, and what is logged. A lost
worker restarts all from the last checkpoint; a lost driver does when the same command runs again.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from tensorboardX import SummaryWriter

from ddb import interrupt, progress
from ddb.artifacts import Stage, Store, Workspace
from ddb.data import prepared
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.process import noise_schedule
from ddb.diffusion.settings import CDPMSettings
from ddb.diffusion.train import Hooks, train
from ddb.errors import DDBError, Interrupted
from ddb.stages import node_name
from ray_jobs import placement

MAX_FAILURES = 3  # restarts of the worker group before the stage counts as failed
OUTPUT = ("pipeline", "tensorboard", "losses.jsonl")  # what moves from the workspace into the artifact


def train_cdpm(
    stage: Stage, store: Store, work: Workspace, checkpoint_every: int, workers: int, cpus: int, use_gpu: bool
) -> dict[str, Any]:
    """Train the CDPM of `stage` on `workers` of `cpus` CPUs each; fills `work.result`, returns numbers for the record.

    Raises DDBError where training itself gave up (its message says which setting to change).
    """
    arguments = {
        "config": stage.config,
        "data": str(store.path(stage.inputs["data"])),
        "folder": str(work.resume),
        "progress": str(store.work_path(stage)),
        "checkpoint_every": checkpoint_every,
        "threads": None if use_gpu else cpus,
    }
    placement.release(work.resume)
    trainer = TorchTrainer(
        _worker,
        train_loop_config=arguments,
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=use_gpu,
            placement_strategy="SPREAD",  # a node's network and memory bandwidth to each, where there are several
            resources_per_worker={"CPU": cpus} | ({"GPU": 1} if use_gpu else {}),
        ),
        run_config=RunConfig(
            name="train",
            storage_path=str(work.resume / "ray"),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    trainer.fit()
    error = work.resume / "error.txt"
    if error.exists():
        message = error.read_text()
        error.unlink()
        raise DDBError(message)
    if not (work.resume / "pipeline").exists():
        raise Interrupted("cdpm: interrupted; it goes on from its last checkpoint")
    for name in OUTPUT:
        (work.resume / name).rename(work.result / name)
    last = json.loads((work.result / "losses.jsonl").read_text().splitlines()[-1])
    nodes = sorted({(work.resume / f"node-{rank}").read_text() for rank in range(workers)})
    return {"workers": workers, "nodes": nodes, "images_per_second": last["images_per_second"], "loss": last["loss"]}


def _worker(arguments: dict[str, Any]) -> None:
    """One rank. Numbers go to files of ours, since Ray keeps only those that travel with a checkpoint."""
    if arguments["threads"]:
        torch.set_num_threads(arguments["threads"])
    settings = CDPMSettings.model_validate(arguments["config"]["cdpm"])
    dataset = prepared.read(Path(arguments["data"]))
    folder = Path(arguments["folder"])
    rank = ray.train.get_context().get_world_rank()
    (folder / f"node-{rank}").write_text(node_name())
    if rank == 0:
        placement.remember(folder)
    checkpoint = ray.train.get_checkpoint()
    hooks = Hooks(
        checkpoint=_report_checkpoint,
        checkpoint_every=arguments["checkpoint_every"],
        interrupted=interrupt.requested,
    )
    if rank == 0:
        hooks.log = _logger(folder, Path(arguments["progress"]), settings)
    images, labels = dataset["train"].images, dataset["train"].labels
    options = (len(dataset.classes), settings, arguments["config"]["seed"], hooks)
    device = ray.train.torch.get_device()
    try:
        if checkpoint:
            with checkpoint.as_directory() as directory:
                network = train(images, labels, *options, resume=Path(directory), device=device)
        else:
            network = train(images, labels, *options, device=device)
    except Interrupted:  # a normal end for Ray; that there is no pipeline tells the driver
        return
    except DDBError as error:  # a restart would only meet it again: tell the driver instead of failing
        if rank == 0:
            (folder / "error.txt").write_text(str(error))
        return
    if rank == 0:
        CDPMPipeline(network.cpu(), noise_schedule(settings.process)).save_pretrained(folder / "pipeline")


def _report_checkpoint(step: int, save) -> None:
    """Every rank reports its part; Ray merges them into one checkpoint."""
    with tempfile.TemporaryDirectory() as directory:
        save(Path(directory))
        ray.train.report({"step": step}, checkpoint=Checkpoint.from_directory(directory))


def _logger(folder: Path, progress_folder: Path, settings: CDPMSettings):
    """Numbers of rank 0 to losses.jsonl, TensorBoard and the progress file."""
    writer = SummaryWriter(str(folder / "tensorboard"))
    report = progress.reporter(progress_folder)
    total, batch_size = settings.steps, settings.batch_size
    losses = open(folder / "losses.jsonl", "a", buffering=1)  # noqa: SIM115 (open as long as the worker lives)

    def log(step: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(f"cdpm/{name}", value, step)
        losses.write(json.dumps({"step": step, **numbers}) + "\n")
        report(step, total, numbers | {"images_per_step": batch_size})
        if step == total:
            writer.close()

    return log


if __name__ == "__main__":
    from ray_jobs.job import main

    main("cdpm", __doc__)
