"""`resources.cdpm_workers: auto`: on how many processes a CDPM trains fastest on this machine, measured for seconds.

    workers = fastest_workers(stages, store, capacity)

On CPUs, the threads of one process wait for each other in every layer, those of several processes once in a step. How
many are best depends on the machine, so the same steps run on 1, 2, 4 and 8 processes with all CPUs between them; the
exchange of gradients is not in it. The rates are kept in the store. On GPUs it is one worker: the authors' batch of 32
does not fill a GPU. One worker it is, too, where others keep the CPUs busy so that nothing can be measured.
"""

import contextlib
import json
import os
import time
from dataclasses import replace

import numpy as np

from ddb.diffusion.settings import CDPMSettings
from ddb.errors import Interrupted
from ddb.machine import node_name
from ddb.stages import KINDS
from ddb.stages.kind import pixels_of
from ddb.stages.needs import Capacity, Demand
from ddb.store import Stage, Store

CANDIDATES = (1, 2, 4, 8)
SECONDS = 1.0
PATIENCE = 60.0  # seconds for one measurement
WARM_UP = 2  # steps before them


def fastest_workers(stages: list[Stage], store: Store, capacity: Capacity) -> int:
    """For some CDPM stages; measured with the first one's network."""
    from ray.exceptions import GetTimeoutError

    candidates = [k for k in CANDIDATES if all(_fits(stage, k, capacity) for stage in stages)]
    if not stages or capacity.gpus or len(candidates) < 2:
        return 1
    stage = stages[0]
    settings = CDPMSettings.model_validate(stage.config["cdpm"])
    file = store.root / "cdpm_workers.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    network = {name: stage.config["cdpm"][name] for name in ("denoiser", "channels", "layers_per_block", "batch_size")}
    of = f"{node_name()}, {capacity.cpus} CPUs, {pixels_of(stage)} px, {json.dumps(network)}"
    if of not in known:
        try:  # the most processes first, so that they start side by side
            rates = {k: _rate(settings, pixels_of(stage), k, capacity.cpus_for_each(k)) for k in candidates[::-1]}
        except GetTimeoutError:
            return 1
        known[of] = {str(k): rates[k] for k in candidates}
        temporary = file.with_suffix(f".{os.getpid()}")  # several jobs may share the store
        temporary.write_text(json.dumps(known, indent=1) + "\n")
        os.replace(temporary, file)
    return max(candidates, key=lambda k: known[of][str(k)])


def _fits(stage: Stage, workers: int, capacity: Capacity) -> bool:
    kind, cpus = KINDS["cdpm"], capacity.cpus_for_each(workers)
    demand = Demand(workers, cpus)
    divides = stage.config["cdpm"]["batch_size"] % workers == 0
    return divides and cpus > 0 and capacity.hosts(replace(demand, memory=kind.memory(stage, demand)))


def _rate(settings: CDPMSettings, pixels: int, workers: int, cpus: int) -> float:
    """Images per second of so many processes together."""
    import ray

    alone = {"batch_size": settings.batch_size // workers, "engine": "ddp", "zero_stage": 0, "steps": 10**6}
    # Without a strategy, a task inside a Tune trial would have to fit into what the trial itself takes.
    task = ray.remote(num_cpus=cpus, scheduling_strategy="DEFAULT")(_steps)
    tasks = [task.remote(settings.model_copy(update=alone), pixels, cpus) for _ in range(workers)]
    try:
        return min(ray.get(tasks, timeout=PATIENCE)) * settings.batch_size
    except BaseException:
        for each in tasks:
            ray.cancel(each)
        raise


def _steps(settings: CDPMSettings, pixels: int, cpus: int) -> float:
    """Steps per second of one process."""
    import torch

    from ddb.diffusion.train import Hooks, train

    torch.set_num_threads(cpus)
    ends: list[float] = []

    def enough() -> bool:
        ends.append(time.perf_counter())
        return len(ends) > WARM_UP and ends[-1] - ends[WARM_UP - 1] > SECONDS

    images = np.zeros((settings.batch_size, pixels, pixels, 3), np.uint8)
    with contextlib.suppress(Interrupted):
        train(images, np.zeros(len(images), np.int64), 1, settings, 0, Hooks(interrupted=enough))
    return (len(ends) - WARM_UP) / (ends[-1] - ends[WARM_UP - 1])
