"""One rank of CDPM training, inside a Ray Train worker: data, training loop, checkpoints, numbers."""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.train import Checkpoint
from tensorboardX import SummaryWriter

from ddb import interrupt, progress
from ddb.data import prepared
from ddb.diffusion.noise_schedules import noise_schedule
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.settings import CDPMSettings
from ddb.diffusion.train import Hooks, train
from ddb.errors import DDBError, Interrupted
from ddb.json_lines import mend
from ddb.machine import node_name
from ddb.process_memory import peak
from ddb.store.record import device_name
from ddb.store.store import share_with_group
from ddb.training.precision import deterministic


def train_rank(arguments: dict[str, Any]) -> None:
    """One rank. Numbers go to files of ours, since Ray keeps only those that travel with a checkpoint."""
    if arguments["threads"]:
        torch.set_num_threads(arguments["threads"])
    deterministic(only=arguments["deterministic"])
    settings = CDPMSettings.model_validate(arguments["config"]["cdpm"])
    dataset = prepared.read(Path(arguments["data"]))
    folder = Path(arguments["folder"])
    share_with_group(folder)
    rank = ray.train.get_context().get_world_rank()
    (folder / f"node-{arguments['attempt']}-{rank}").write_text(node_name())  # the runner waits for these
    every = arguments["checkpoint_every"]
    hooks = Hooks(checkpoint=_report_checkpoint, checkpoint_every=every, interrupted=interrupt.requested)
    if rank == 0:
        (folder / "device").write_text(device_name())
        hooks.log = _logger(folder, Path(arguments["progress"]), settings)
    images, labels = dataset["train"].array, dataset["train"].labels
    options = (len(dataset.classes), settings, arguments["config"]["seed"], hooks)
    device = ray.train.torch.get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    checkpoint = ray.train.get_checkpoint()
    try:
        with checkpoint.as_directory() if checkpoint else contextlib.nullcontext() as directory:
            network = train(images, labels, *options, resume=Path(directory) if directory else None, device=device)
    except Interrupted:  # a normal end for Ray; that there is no pipeline tells the driver
        return
    except DDBError as error:  # a restart would only meet it again: tell the driver instead of failing
        if rank == 0:
            (folder / "error.txt").write_text(str(error), encoding="utf-8")
        return
    if rank == 0:
        CDPMPipeline(network.cpu(), noise_schedule(settings)).save_pretrained(folder / "pipeline")


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
    mend(folder / "losses.jsonl")
    losses = open(folder / "losses.jsonl", "a", buffering=1)  # noqa: SIM115 (open as long as the worker lives)

    def log(step: int, numbers: dict[str, float]) -> None:
        numbers = numbers | peak()
        for name, value in numbers.items():
            writer.add_scalar(f"cdpm/{name}", value, step)
        losses.write(json.dumps({"step": step, **numbers}) + "\n")
        report(step, total, numbers | {"images_per_step": batch_size})
        if step == total:
            writer.close()

    return log
