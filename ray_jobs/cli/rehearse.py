"""`ddb rehearse`: whether an experiment fits the memory and the time that it has, from a few full-size steps."""

import os
import time
from datetime import datetime

import typer

from ddb.clean import discard
from ddb.errors import DDBError
from ddb.experiment import config_file
from ddb.experiment.cost import data_size
from ddb.experiment.graph import build_graph
from ddb.experiment.rehearsal import STEPS, forecast, shortened
from ddb.progress import duration
from ddb.store import Store
from ray_jobs.cli.arguments import STORE, ConfigArgument, Overrides, StoreOption
from ray_jobs.job import execute
from ray_jobs.output import out, show
from slurm import scontrol

EXAMPLE = "ddb rehearse configs/colored_digits.yaml"
SAMPLED = 4  # network calls of each sampling actor
GIGABYTE = 1e9


def rehearse(config: ConfigArgument, overrides: Overrides = None, store: StoreOption = STORE) -> None:
    """Take a few full-size steps of every stage, and tell memory and hours of the whole.

    Stages have their real batch size, image size and workers. Run it where the
    experiment will run; in a SLURM job it also tells whether the time that is
    left is enough, and its exit code is 1 if it is not. The prepared data set
    and features stay in the store, everything else is removed.
    """
    import torch
    from rich.table import Table

    from ray_jobs.cluster import connected

    graph, opened = build_graph(config_file.load(config, overrides)), Store(store)
    for reason in graph.missing_data.values():
        raise DDBError(reason)
    with connected() as capacity:
        pass
    resources, classes = graph.config.resources, data_size(graph.config.dataset).classes
    sampled = (resources.sampling_actors or capacity.slots) * resources.sampling_batch * SAMPLED // classes
    short = build_graph(shortened(graph, max(1, sampled)))
    kept = {stage.key for stage in graph.stages()} | {stage.key for stage in short.stages() if opened.has(stage)}
    try:
        if execute(short, opened, f"{config.stem}-rehearsal"):
            raise typer.Exit(1)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        found = forecast(graph, short, opened, capacity, device)
    finally:
        for stage in [each for each in short.stages() if each.key not in kept]:
            for path in [opened.path(stage), *opened.work_path(stage).parent.glob(f"{stage.key}*")]:
                if path.exists():
                    discard(opened, path)
    view = Table("kind", "stages", "memory of a process", "of its GPU", "start", "all stages")
    for each in found:
        on_gpu = f"{each.gpu_memory / GIGABYTE:.1f} GB" if each.gpu_memory else "–"
        memory = f"{each.memory / GIGABYTE:.1f} GB" if each.memory else "–"
        view.add_row(each.kind, str(each.stages), memory, on_gpu, f"{each.start:.0f} s", duration(each.hours * 3600))
    show(view)
    hours = sum(each.hours for each in found)
    out.print(f"the whole experiment on {capacity.cpus} CPUs and {capacity.gpus} GPUs: about {duration(hours * 3600)}, "
              f"from the last {STEPS // 2} of {STEPS} steps of each stage")  # fmt: skip
    raise typer.Exit(0 if _in_time(hours * 3600) else 1)


def _in_time(needed: float) -> bool:
    """Whether the SLURM job has so many seconds left; prints what it has."""
    end = scontrol.field(scontrol.own_job(), "EndTime") if "SLURM_JOB_ID" in os.environ else ""
    if not end or end == "Unknown":
        out.print("no time limit is known" + ("" if "SLURM_JOB_ID" in os.environ else ": this is not a SLURM job"))
        return True
    left = datetime.fromisoformat(end).timestamp() - time.time()
    verdict = "the experiment fits" if needed <= left else "the experiment does not fit, and would be requeued"
    out.print(f"the job has {duration(max(0, left))} left: {verdict}")
    return needed <= left
