"""A pool of Ray Data actors that each hold a model: blocks of keys in, Parquet parts out.

    for block in run(Sampler, arguments, blocks, demand): done += block["rows"]

Each block is one call of the network, and its part is written at once, so a killed run keeps what it had finished.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import ray.data
import torch

from ddb import interrupt
from ddb.machine import node_name
from ddb.stages.needs import Demand
from ddb.stages.parts import Parts
from ddb.store.store import share_with_group


class PartWriter:
    """Base of an actor."""

    part: Callable[[pa.Table], pa.Table]  # from keys to their rows; subclasses define it

    def __init__(self, parts: Parts, threads: int | None):
        if threads:
            torch.set_num_threads(threads)
        self.parts, self.device = parts, "cuda" if torch.cuda.is_available() else "cpu"
        share_with_group(parts.folder)

    def __call__(self, keys: pa.Table) -> pa.Table:
        if interrupt.requested():  # finish and keep blocks that have begun, leave the others for the next start
            return pa.table({"rows": [0], "node": [node_name()]})
        self.parts.write(self.part(keys))
        return pa.table({"rows": [len(keys)], "node": [node_name()]})


def run(
    actor: type[PartWriter], arguments: dict[str, Any], blocks: list[pa.Table], demand: Demand
) -> Iterator[dict[str, Any]]:
    """For each finished block, the number of `rows` written and the `node`; `arguments` go to every actor."""
    if not blocks:
        return
    _quiet()
    dataset = ray.data.from_arrow(blocks).map_batches(
        actor,
        batch_size=None,  # a block is a batch
        batch_format="pyarrow",
        num_cpus=1,
        num_gpus=demand.gpus or None,
        memory=demand.memory or None,
        compute=ray.data.ActorPoolStrategy(size=min(demand.workers, len(blocks))),
        fn_constructor_kwargs=arguments | {"threads": None if demand.gpus else 1},
    )
    yield from dataset.iter_rows()


def _quiet() -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
