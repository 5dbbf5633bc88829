"""Synthetic images on Ray Data: rows (label, index) through a pool of actors that each hold the CDPM.

    python -m ray_jobs.sample_synthetic configs/colored_digits.yaml seeds=[0]

Every network call is one block of rows, written at once as a Parquet part. The parts that lie there are the resume
state: what they hold is not sampled again, whatever the batch size or number of actors was.
"""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray.data
import torch
from diffusers import UNet2DModel

from ddb import interrupt, progress
from ddb.diffusion import synthetic
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.settings import SamplingSettings
from ddb.errors import Interrupted
from ddb.machine import node_name
from ddb.stages.needs import Demand
from ddb.store import Stage, Store, Workspace
from ddb.store.store import share_with_group


class Sampler:
    """One actor: a block of rows in, one Parquet part out."""

    def __init__(self, pipeline: str, parts: str, seed: int, sampling: dict[str, Any], batch: int, threads: int | None):
        if threads:
            torch.set_num_threads(threads)
        self.pipeline = CDPMPipeline.from_pretrained(pipeline)
        self.pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
        self.parts, self.seed, self.batch = Path(parts), seed, batch
        share_with_group(self.parts)
        self.settings = SamplingSettings.model_validate(sampling)

    def __call__(self, rows: pa.Table) -> pa.Table:
        if interrupt.requested():  # what is begun is finished and kept, the rest is left for the next start
            return pa.table({"images": [0], "node": [node_name()]})
        labels, indices = rows["label"].to_numpy(), rows["index"].to_numpy()
        images = synthetic.generate(self.pipeline, labels, indices, self.seed, self.settings, self.batch)
        table = synthetic.to_table(images, labels, indices, self.seed, self.settings.guidance)
        name = f"{labels[0]:05d}-{indices[0]:07d}-{len(labels)}.parquet"
        temporary = self.parts / f".{name}-{os.getpid()}"
        pq.write_table(table, temporary)
        os.replace(temporary, self.parts / name)
        return pa.table({"images": [len(labels)], "node": [node_name()]})


def sample(stage: Stage, store: Store, work: Workspace, demand: Demand, batch: int) -> dict[str, Any]:
    """Sample the synthetic set of `stage` into `work.result/images.parquet`; returns numbers for the record."""
    settings = SamplingSettings.model_validate(stage.config["sampling"])
    pipeline = store.path(stage.inputs["cdpm"]) / "pipeline"
    num_classes = _num_classes(pipeline)
    parts = work.resume / "parts"
    parts.mkdir(exist_ok=True)
    blocks, done = missing_blocks(parts, num_classes, settings.images_per_class, batch)
    total, nodes = num_classes * settings.images_per_class, set()
    report = progress.reporter(work.root)
    if blocks:
        report(done, total, {"images_per_step": 1})
        _quiet()
        dataset = ray.data.from_arrow(blocks).map_batches(
            Sampler,
            batch_size=None,  # a block is a batch
            batch_format="pyarrow",
            num_cpus=1,
            num_gpus=demand.gpus or None,
            memory=demand.memory or None,
            compute=ray.data.ActorPoolStrategy(size=min(demand.workers, len(blocks))),
            fn_constructor_kwargs={
                "pipeline": str(pipeline),
                "parts": str(parts),
                "seed": stage.config["seed"],
                "sampling": stage.config["sampling"],
                "batch": batch,
                "threads": None if demand.gpus else 1,
            },
        )
        for row in dataset.iter_rows():
            done += row["images"]
            nodes.add(row["node"])
            report(done, total, {"images_per_step": 1})
    if done < total:
        raise Interrupted(f"synthetic: interrupted after {done} of {total} images")
    tables = [pq.read_table(path) for path in sorted(parts.glob("*.parquet"))]
    synthetic.write(_unique(pa.concat_tables(tables)), work.result / "images.parquet")
    return {"images": total, "actors": demand.workers, "nodes": sorted(nodes)}


def missing_blocks(parts: Path, num_classes: int, per_class: int, batch: int) -> tuple[list[pa.Table], int]:
    """Rows (label, index) that no finished part holds, `batch` to a block, and how many are done."""
    have = set()
    for path in parts.glob("*.parquet"):
        table = pq.read_table(path, columns=["label", "index"])
        have |= set(zip(table["label"].to_pylist(), table["index"].to_pylist(), strict=True))
    wanted = [(c, i) for c in range(num_classes) for i in range(per_class) if (c, i) not in have]
    blocks = []
    for start in range(0, len(wanted), batch):
        rows = np.array(wanted[start : start + batch])  # (<= batch, 2)
        blocks.append(pa.table({"label": rows[:, 0], "index": rows[:, 1]}))
    return blocks, num_classes * per_class - len(wanted)


def _unique(table: pa.Table) -> pa.Table:
    """One row per image: parts overlap where a retried block met a finished one."""
    seen, keep = set(), []
    for row, key in enumerate(zip(table["label"].to_pylist(), table["index"].to_pylist(), strict=True)):
        if key not in seen:
            seen.add(key)
            keep.append(row)
    return table.take(keep)


def _num_classes(pipeline: Path) -> int:
    return UNet2DModel.load_config(pipeline / "unet")["num_class_embeds"] - 1  # the last one is the null class


def _quiet() -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


if __name__ == "__main__":
    from ray_jobs.job import main

    main("synthetic", __doc__)
