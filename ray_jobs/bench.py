"""`ddb bench`: what Ray costs CDPM training, and what DPM-Solver++ saves in sampling; each pair measured in one run.

The training loop runs directly in this process and through Ray Train, alternating; rates leave out the first steps, in
which memory is allocated. Both samplers draw from the CDPM of a finished experiment and are judged by its probe.
"""

import json
import platform
import tempfile
import time
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch

from ddb.artifacts import Store, Workspace
from ddb.classifier import load_classifier
from ddb.data import prepared
from ddb.diffusion import synthetic
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.diffusion.train import LOG_EVERY, Hooks, train
from ddb.errors import DDBError
from ddb.experiment import Plan
from ddb.probe import alignment
from ddb.record import git_state
from ray_jobs.cluster import connected


def bench(graph: Plan, store: Store, steps: int, rounds: int, images_per_class: int) -> dict[str, Any]:
    """Both comparisons, as plain numbers. Raises DDBError where the experiment is not finished in `store`."""
    needed = [stage for stage in graph.stages() if stage.name in ("data", "cdpm", "probe")]
    if missing := [stage.name for stage in needed if not store.has(stage)]:
        raise DDBError(f"bench: {', '.join(missing)} is not in the store {store.root}; run the experiment first")
    return {
        "machine": {"cpu": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
        "git": git_state(),
        "training": compare_training(graph, store, steps, rounds),
        "sampling": compare_samplers(graph, store, images_per_class),
    }


def compare_training(graph: Plan, store: Store, steps: int, rounds: int) -> dict[str, Any]:
    """Steps per second of the loop called directly and through Ray Train with one worker, and their ratio."""
    from ray_jobs.train_cdpm import train_cdpm

    stage = next(stage for stage in graph.stages() if stage.name == "cdpm")
    settings = CDPMSettings.model_validate(stage.config["cdpm"] | {"steps": steps})
    stage = replace(stage, config=stage.config | {"cdpm": settings.model_dump(mode="json", exclude={"seed"})})
    dataset = prepared.read(store.path(graph.data))
    images, labels = dataset["train"].images, dataset["train"].labels
    resources = graph.config.resources.model_copy(update={"cdpm_workers": 1})
    rates: dict[str, list[float]] = {"direct": [], "ray": []}
    with connected() as capacity:
        torch.set_num_threads(capacity.cpus)
        for _ in range(rounds):
            seen: list[float] = []
            hooks = Hooks(log=lambda step, numbers, seen=seen: seen.append(numbers["images_per_second"]))
            train(images, labels, len(dataset.classes), settings, 0, hooks)
            rates["direct"].append(_steady(seen, settings))
            with tempfile.TemporaryDirectory() as directory:
                bare = Store(directory)
                work = Workspace(bare.root / "result", bare.root / "resume")
                work.result.mkdir()
                work.resume.mkdir()
                bare.work_path(stage).mkdir(parents=True)
                (bare.root / "data").mkdir()
                bare.path(graph.data).symlink_to(store.path(graph.data))
                train_cdpm(stage, bare, work, resources.checkpoint_every, 1, capacity.cpus, capacity.gpus > 0)
                lines = (work.result / "losses.jsonl").read_text().splitlines()
                rates["ray"].append(_steady([json.loads(line)["images_per_second"] for line in lines], settings))
    direct, through_ray = median(rates["direct"]), median(rates["ray"])
    return {"steps": steps, "steps_per_second": rates, "ray_to_direct": through_ray / direct}


def compare_samplers(graph: Plan, store: Store, images_per_class: int) -> dict[str, Any]:
    """Images per second and judged shares of DPM-Solver++ as configured and of 1000 ancestral steps, same network."""
    stage = next(stage for stage in graph.stages() if stage.name == "cdpm")
    probe = next(stage for stage in graph.stages() if stage.name == "probe")
    models = {name: load_classifier(store.path(probe) / name) for name in ("class", "bias")}
    dataset = prepared.read(store.path(graph.data))
    pipeline = CDPMPipeline.from_pretrained(store.path(stage) / "pipeline")
    labels = np.repeat(np.arange(len(dataset.classes)), images_per_class)
    indices = np.tile(np.arange(images_per_class), len(dataset.classes))
    fast = graph.config.sampling
    ancestral = SamplingSettings(guidance=fast.guidance, sampler="ancestral", sampler_steps=1000)
    numbers: dict[str, Any] = {"images": len(labels), "guidance": fast.guidance}
    for name, settings in (("dpm_solver", fast), ("ancestral", ancestral)):
        began = time.perf_counter()
        images = synthetic.generate(pipeline, labels, indices, 0, settings, len(labels))
        rate = len(labels) / (time.perf_counter() - began)
        split = synthetic.Split(images, labels, [str(i) for i in range(len(labels))])
        numbers[name] = {"steps": settings.sampler_steps, "images_per_second": rate} | alignment(models, split, dataset)
    numbers["speed_ratio"] = numbers["dpm_solver"]["images_per_second"] / numbers["ancestral"]["images_per_second"]
    return numbers


def _steady(images_per_second: list[float], settings: CDPMSettings) -> float:
    """Median steps per second of all logging intervals but the first."""
    if len(images_per_second) < 2:
        raise DDBError(f"bench: --steps must be at least {2 * LOG_EVERY}")
    return median(images_per_second[1:]) / settings.batch_size
