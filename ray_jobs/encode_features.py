"""Features on Ray Data: rows (split, row) through a pool of actors that each hold the encoder.

    python -m ray_jobs.encode_features configs/features/pacs_biased.yaml

`ddb.stages.features` decides what is left to encode and how the parts become the result.
"""

from pathlib import Path
from typing import Any

from ddb.data import prepared
from ddb.stages.features import BatchEncoder, Encoding
from ddb.stages.needs import Demand
from ddb.stages.parts import Parts
from ddb.store import Stage, Store, Workspace
from ray_jobs import actor_pool


class FeatureEncoder(actor_pool.PartWriter):
    """One actor, with the encoder and the list of the data set's files."""

    def __init__(self, parts: Parts, threads: int | None, stage: Stage, data: Path, batch: int):
        super().__init__(parts, threads)
        self.part = BatchEncoder(stage, prepared.read(data, mapped=True), batch, self.device)


def encode(stage: Stage, store: Store, work: Workspace, demand: Demand, batch: int) -> dict[str, Any]:
    """Encode the data set of `stage` into `work.result`; returns numbers for the record."""
    data = store.path(stage.inputs["data"])
    encoding = Encoding(prepared.read(data, mapped=True), work, batch)
    arguments = {"parts": encoding.parts, "stage": stage, "data": data, "batch": batch}
    encoding.done, numbers = actor_pool.run(FeatureEncoder, arguments, encoding.blocks, demand, work, encoding.total)
    return numbers | encoding.finish(work.result)


if __name__ == "__main__":
    from ray_jobs.job import main

    main("features", __doc__)
