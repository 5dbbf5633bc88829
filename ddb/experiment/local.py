"""An experiment in this one process, without Ray: one stage after the other, on a GPU where torch sees one.

    compute(graph.stages(), store, graph.config.resources, lambda line: print(line))

For a machine that has no Ray, and for a debugger. Results have the keys that they have on a cluster, so either goes on
where the other stopped; a CDPM's TensorBoard files are not written. One process does all, whatever
`resources.cdpm_workers` and `sampling_actors` say, and nothing is resumed within a stage.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ddb.errors import Interrupted
from ddb.stages import KINDS
from ddb.stages.kind import Job, Machine
from ddb.stages.needs import ResourceSettings
from ddb.store import Stage, Store
from ddb.store.record import device_name
from ddb.training.precision import deterministic

EVERY = 10.0  # seconds between two lines of progress


def compute(stages: Iterable[Stage], store: Store, resources: ResourceSettings, tell: Callable[[str], None]) -> None:
    """Compute what is missing, in the given order: inputs first. `tell` hears lines of progress.

    Raises DDBError if a stage fails, and Interrupted on Ctrl-C; what is finished is kept.
    """
    deterministic(resources.deterministic)
    machine = Machine("cuda" if torch.cuda.is_available() else "cpu", torch.get_num_threads())
    try:
        for stage in stages:
            with store.produce(stage, timeout=0) as work:
                if work is None:
                    continue
                began = time.time()
                job = Job(stage, store, work, _progress(stage, tell), machine, resources.sampling_batch)
                work.numbers.update(KINDS[stage.name].compute(job))
                work.numbers["device"] = device_name()
            tell(f"{stage.name} {stage.key}: {time.time() - began:.0f} s")
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the stages that are finished are kept") from None


def _progress(stage: Stage, tell: Callable[[str], None]) -> Callable[[int, int, dict[str, Any]], None]:
    told = 0.0

    def progress(step: int, total: int, numbers: dict[str, Any]) -> None:
        nonlocal told
        if time.monotonic() - told > EVERY:
            told = time.monotonic()
            loss = f", loss {numbers['loss']:.3f}" if "loss" in numbers else ""
            tell(f"{stage.name} {stage.key}: {step}/{total}{loss}")

    return progress
