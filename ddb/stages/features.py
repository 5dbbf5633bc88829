"""`features`: the images of all splits -> feature vectors of a frozen encoder, as Parquet (`ddb.features`)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ddb.data import BiasedDataset, Split
from ddb.data.images import read_image
from ddb.errors import DDBError, Interrupted
from ddb.features import table
from ddb.features.encoders import VERSION, build_encoder
from ddb.lazy import Image, np, pa, torch
from ddb.machine import node_name
from ddb.process_memory import CELL
from ddb.settings import file_content
from ddb.stages.kind import ActorKind, Job
from ddb.stages.needs import Demand
from ddb.stages.parts import Parts
from ddb.stages.speed import CPU_BATCH, Size, Speed
from ddb.store import Stage, Workspace


class Features(ActorKind):
    """The key contains the content of the file of weights, which is outside the store.

    On a cluster `ray_jobs.encode_features` encodes with several actors; `compute` needs no Ray.
    """

    name = "features"
    unit = "image"

    def code(self, config: dict[str, Any]) -> dict[str, int]:
        return {self.name: self.version, "encoder": VERSION}

    def compute(self, job: Job) -> dict[str, Any]:
        """Encode in this process, one batch after the other."""
        work = Encoding(job.data(), job.work, job.sampling_batch)
        encode = BatchEncoder(job.stage, job.data(), job.sampling_batch, job.machine.device)
        for keys in work.blocks:
            work.parts.write(encode(keys))
            work.done += len(keys)
            job.progress(work.done, work.total, {"images_per_step": 1})
        return work.finish(job.result)

    def memory(self, stage: Stage, demand: Demand) -> int:
        """Memory of an actor, with its share of the task that feeds the actors."""
        return CELL + CELL // demand.workers

    def cost(self, stage: Stage, speed: Speed, size: Size) -> tuple[float, float]:
        """One forward pass for each image; the test images are not counted, since their number may be unknown."""
        image = speed.encoder(stage.config["features"]["encoder"])
        return image, image * (size.train + size.val)


class Encoding:
    """What is left to encode, and how the parts become the result; shared by one process and by many actors."""

    def __init__(self, dataset: BiasedDataset, work: Workspace, batch: int):
        self.began, self.splits = time.time(), dataset.splits
        self.parts = Parts(work.resume / "parts", ("split", "row"))
        wanted = [(i, row) for i, split in enumerate(self.splits.values()) for row in range(len(split))]
        self.total = len(wanted)
        self.blocks = self.parts.missing(wanted, batch)
        self.left = sum(map(len, self.blocks))
        self.done = self.total - self.left

    def finish(self, result: Path) -> dict[str, Any]:
        """Write one file per split; returns numbers for the record. Raises Interrupted if images are left."""
        if self.done < self.total:
            raise Interrupted(f"features: interrupted after {self.done} of {self.total} images")
        whole, start = self.parts.whole(), 0  # split by split
        vectors = {name: table.vectors(whole[name]) for name in whole.column_names if name not in self.parts.keys}
        for name, split in self.splits.items():
            rows = slice(start, start + len(split))
            table.write(split, {layer: each[rows] for layer, each in vectors.items()}, result / f"{name}.parquet")
            start += len(split)
        taken = time.time() - self.began
        return {"images": self.total, "images_per_second": self.left / taken}


class BatchEncoder:
    """From keys (split, row) to a part of the features."""

    def __init__(self, stage: Stage, dataset: BiasedDataset, batch: int, device: str):
        """Raises DDBError if the file of weights is not the one that the experiment was planned with."""
        assert stage.location is not None
        if not Path(stage.location).is_file():
            raise DDBError(f"features.weights: {stage.location} does not exist on {node_name()}")
        if file_content(stage.location) != stage.config["weights"]:
            raise DDBError(f"features.weights: {stage.location} changed while the command ran")
        settings = stage.config["features"]
        self.encoder = build_encoder(settings["encoder"], Path(stage.location), settings["layers"]).to(device)
        self.splits, self.batch = list(dataset.splits.values()), CPU_BATCH if device == "cpu" else batch

    def __call__(self, keys: pa.Table) -> pa.Table:
        """Raises DDBError that names a file that cannot be read.

        The network always gets `batch` images, the missing ones copies of the last, so that a short last batch uses
        the same kernels.
        """
        rows = list(zip(keys["split"].to_pylist(), keys["row"].to_pylist(), strict=True))
        images = [self.encoder.preprocess(_picture(self.splits[split], row)) for split, row in rows]
        images += [images[-1]] * (-len(images) % self.batch)
        parts = [self.encoder(some) for some in torch.stack(images).split(self.batch)]  # (batch, D) each
        for layer in parts[0]:
            values = torch.cat([part[layer] for part in parts])[: len(rows)]
            keys = keys.append_column(layer, table.column(values.numpy()))
        return keys


def _picture(split: Split, row: int) -> Image.Image:
    """The file at full size; the array of a data set without files."""
    return Image.fromarray(np.array(split.array[row])) if split.root is None else read_image(split.file(row))
