"""An experiment in this one process, without Ray: one stage after the other, on a GPU where torch sees one.

    compute(graph.stages(), store, graph.config.resources, lambda event: print(event.stage.name, event))

For a machine that has no Ray, and for a debugger. Results have the keys that they have on a cluster, so either goes on
where the other stopped; a CDPM's TensorBoard files are not written. One process does all, whatever
`resources.cdpm_workers` and `sampling_actors` say, and nothing is resumed within a stage.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ddb import progress
from ddb.errors import Interrupted
from ddb.experiment.event import Event
from ddb.stages import KINDS
from ddb.stages.kind import Job, Machine, Progress
from ddb.stages.needs import ResourceSettings
from ddb.store import Stage, Store, Workspace
from ddb.store.record import device_name
from ddb.training.precision import deterministic


def compute(
    stages: Iterable[Stage], store: Store, resources: ResourceSettings, notify: Callable[[Event], None]
) -> None:
    """Compute what is missing, in the given order: inputs first. `notify` hears what happens.

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
                notify(Event("started", stage))
                job = Job(stage, store, work, _progress(stage, work, notify), machine, resources.sampling_batch)
                work.numbers.update(KINDS[stage.name].compute(job))
                work.numbers["device"] = device_name()
            notify(Event("finished", stage, time.time() - began))
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the stages that are finished are kept") from None


def _progress(stage: Stage, work: Workspace, notify: Callable[[Event], None]) -> Progress:
    """Notes how far a stage is in its workspace, as on a cluster, and tells it."""
    began, report = time.time(), progress.reporter(work.root)

    def tell(step: int, total: int, numbers: dict[str, Any]) -> None:
        if known := report(step, total, numbers):
            notify(Event("progress", stage, time.time() - began, known))

    return tell
