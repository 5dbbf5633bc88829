"""What there is to say about a kind of stage: one subclass of `Kind` in one file of this folder says it.

    KINDS["amplifier"].compute(Job(stage, store, work, progress))

Looking at a store imports every kind, so what needs torch or numpy at once is imported inside `compute`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddb.data import BiasedDataset
from ddb.errors import DDBError
from ddb.features.table import with_features
from ddb.process_memory import CELL
from ddb.settings import file_content
from ddb.stages.needs import Capacity, Demand, ResourceSettings
from ddb.stages.network_memory import classifier_bytes
from ddb.stages.speed import Size, Speed
from ddb.store import Stage, Store, Workspace
from ddb.training.loop import Context
from ddb.training.networks import HEADS

Progress = Callable[[int, int, dict[str, Any]], None]  # (step, total, numbers)


@dataclass(frozen=True)
class Machine:
    """What a stage may use: `cpu` or `cuda`, and CPU cores."""

    device: str = "cpu"
    cpus: int = 1

    @property
    def workers(self) -> int:
        """Processes that load images beside the one that trains."""
        return self.cpus if self.cpus > 1 else 0


@dataclass(frozen=True)
class Job:
    """One stage that is computed now, by this process."""

    stage: Stage
    store: Store
    work: Workspace
    progress: Progress
    machine: Machine = Machine()
    sampling_batch: int = 64  # images in a network pass

    @property
    def config(self) -> dict[str, Any]:
        """All settings that the stage may read: they are in its key."""
        return self.stage.config

    @property
    def result(self) -> Path:
        """Folder that becomes the result."""
        return self.work.result

    def input(self, role: str) -> Path:
        """Folder of the result of an input."""
        return self.store.path(self.stage.inputs[role])

    def data(self) -> BiasedDataset:
        """The prepared data set among the inputs."""
        from ddb.data import prepared

        return prepared.read(self.input("data"))

    def seen_data(self) -> BiasedDataset:
        """The data set as the classifier sees it: images, or the last layer's features if they are among the inputs."""
        return with_features(self.data(), self.input("features")) if "features" in self.stage.inputs else self.data()

    def context(self, name: str, **more: Any) -> Context:
        """What surrounds the training of `name`."""
        machine, seed = self.machine, self.config.get("seed", 0)
        return Context(seed, name, device=machine.device, workers=machine.workers, progress=self.progress, **more)

    def check_file(
        self, role: str, name: str, digest: Callable[[str], str] = file_content, hashed_as: str | None = None
    ) -> None:
        """Raise DDBError if a file that the setting `role.name` names has changed since its content entered the key."""
        path, planned = self.config[role][name], (self.stage.hashed or self.config)[role].get(hashed_as or name)
        if path is not None and digest(path) != planned:
            raise DDBError(f"{name}: {path} changed while the command ran; run it again")

    def write(self, name: str, value: Any) -> None:
        """Write `<name>.json` into the result."""
        text = json.dumps(value, indent=1, allow_nan=False, default=lambda number: number.item())  # numpy's numbers
        (self.result / f"{name}.json").write_text(text + "\n")


class Kind(ABC):
    """Base of all kinds. What it says holds for a stage that trains or judges one classifier in one process."""

    name = ""
    version = 1  # increased if the same settings and inputs give other numbers than before; golden numbers show it
    unit = ""  # that its cost is counted in; empty: it costs next to nothing
    numbers: tuple[str, ...] = ()  # names of the JSON files of a result that exported records contain
    has_workers = False  # on a cluster, its task starts workers and computes nothing itself
    gang = False  # its workers can only begin together
    goes_first = False  # before stages of earlier kinds: it takes seconds, and people wait for its numbers

    def code(self, config: dict[str, Any]) -> dict[str, int]:
        """Versions of the code that computes a stage, by name: of this kind and of what its settings name."""
        return {self.name: self.version}

    @abstractmethod
    def compute(self, job: Job) -> dict[str, Any]:
        """Fill `job.result`; numbers for the record."""

    def demand(self, stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand:
        """What the stage needs of the cluster. Raises DDBError that names the setting if there is less."""
        largest = capacity.cpus_for_each(1)
        if resources.cpus_per_run > largest:
            wanted = f"resources.cpus_per_run: {resources.cpus_per_run} asked for"
            raise DDBError(f"{wanted}, but no node has more than {largest} CPUs")
        return Demand(cpus=resources.cpus_per_run, gpus=resources.gpu_share if capacity.gpus else 0)

    def demand_after_loss(self, stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand:
        """The demand with fewer workers, on the nodes that are left. Raises DDBError if it cannot do with fewer."""
        return self.demand(stage, capacity, resources)

    def memory(self, stage: Stage, demand: Demand) -> int:
        """Bytes of each worker, with its share of the processes that compute nothing."""
        return CELL

    def subject(self, stage: Stage) -> Stage:
        """The stage that a title speaks of: its settings tell stages of this kind apart."""
        return stage

    def cost(self, stage: Stage, speed: Speed, size: Size) -> tuple[float, float]:
        """Seconds of one `unit` and of the whole stage; asked only if there is a unit."""
        return 0.0, 0.0

    def share(self, stage: Stage, users: list[Stage]) -> float:
        """Share of its work that a table row with only these `users` would have asked for."""
        return 1.0

    def more_stages(self, stages: list[Stage]) -> list[Stage]:
        """Stages that this kind adds to a graph of `stages`."""
        return []


class ActorKind(Kind):
    """Base of kinds whose work is divided among actors that each hold a network, any number of them."""

    has_workers = True

    def demand(self, stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand:
        """A GPU or a CPU for each actor."""
        actors = resources.sampling_actors or capacity.slots
        if actors > capacity.slots:
            raise too_many("sampling_actors", actors, capacity)
        return Demand(actors, 1, 1 if capacity.gpus else 0)

    def demand_after_loss(self, stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand:
        """Any number of actors gives the same result."""
        return self.demand(stage, capacity, resources.model_copy(update={"sampling_actors": capacity.slots or 1}))


def pixels_of(stage: Stage) -> int:
    """Of the prepared images that a stage reads."""
    return stage.inputs["data"].config["dataset"]["image_size"]


def training_memory(stage: Stage, settings: dict[str, Any], demand: Demand) -> int:
    """Bytes of a process that trains a classifier; on a GPU, the memory of training is not the node's."""
    if settings["network"] in HEADS:
        return CELL
    pixels = settings["image_size"] or pixels_of(stage)
    return CELL + (0 if demand.gpus else classifier_bytes(settings["network"], 10, settings["batch_size"], pixels))


def too_many(setting: str, workers: int, capacity: Capacity) -> DDBError:
    """Of a setting that asks for more workers than the cluster has room for."""
    unit = "GPU" if capacity.gpus else "CPU"
    return DDBError(f"resources.{setting}: {workers} asked for, but there are {capacity.slots} {unit}s")
