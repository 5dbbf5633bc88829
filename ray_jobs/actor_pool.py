"""A pool of Ray Data actors that each hold a model: blocks of keys in, Parquet parts out.

    done, numbers = run(Sampler, arguments, blocks, demand, work, total)

Each block is one call of the network, and its part is written at once, so a killed run keeps what it had finished.
"""

import logging
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import ray.data
import torch

from ddb import interrupt, progress
from ddb.machine import node_name
from ddb.process_memory import peak
from ddb.stages.needs import Demand
from ddb.stages.parts import Parts
from ddb.store import Workspace
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
        return pa.table({"rows": [len(keys)], "node": [node_name()]} | {name: [most] for name, most in peak().items()})


def run(
    actor: type[PartWriter], arguments: dict, blocks: list[pa.Table], demand: Demand, work: Workspace, total: int
) -> tuple[int, dict[str, Any]]:
    """How many of `total` rows there are at the end, and numbers for the record; `arguments` go to every actor."""
    done, nodes, report = total - sum(map(len, blocks)), set(), progress.reporter(work.root)
    peaks: dict[str, int] = {}
    report(done, total, {"images_per_step": 1})
    if blocks:
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
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
        for block in dataset.iter_rows():
            done += block["rows"]
            nodes.add(block["node"])
            for name in block.keys() & {"peak_memory", "peak_gpu_memory"}:
                peaks[name] = max(peaks.get(name, 0), block[name] or 0)
            report(done, total, {"images_per_step": 1})
    return done, {"actors": demand.workers, "nodes": sorted(nodes), **peaks}
