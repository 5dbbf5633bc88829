"""What a cluster has, what a stage needs of it at once, and the settings that spread the work out."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Literal

from pydantic import Field

from ddb.settings import Renamed, Settings


class ResourceSettings(Settings):
    """How the work is spread out. Changes no number beyond floating-point summation order."""

    cdpm_workers: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default=1,
        description="processes that train one CDPM, each on a GPU where there are any; auto: on CPUs the fastest of 1, "
        "2, 4 and 8, measured for a few seconds, on GPUs 1",
    )
    checkpoint_every: int = Field(default=200, ge=1, description="CDPM steps between checkpoints")
    sampling_actors: int | None = Field(default=None, ge=1, description="null: one per GPU, or one per CPU")
    sampling_batch: int = Field(default=50, ge=1, description="images per network call of a sampling actor")
    cpus_per_run: Annotated[int, Renamed("cell_cpus")] = Field(
        default=1,
        ge=1,
        description="CPUs of each amplifier or classifier; as many processes load its images from files",
    )
    gpus_per_run: float = Field(
        default=1, ge=0.01, le=1, description="GPU of each amplifier or classifier; with 0.25, four share one"
    )
    deterministic: bool = Field(
        default=False, description="only algorithms that give the same bits on a GPU each time, which are slower"
    )
    lost_node: Literal["shrink", "wait"] = Field(
        default="shrink",
        description="when a stage no longer fits: go on with fewer workers, or wait for a node to replace it",
    )

    @property
    def gpu_share(self) -> float:
        """`gpus_per_run` as a GPU can be divided: 0.6 leaves no room for a second run, 0.3 for three."""
        return 1 / int(1 / self.gpus_per_run + 1e-4)

    @property
    def fixed_cdpm_workers(self) -> int:
        """`cdpm_workers`, or 1 as long as nothing was measured."""
        return 1 if self.cdpm_workers == "auto" else self.cdpm_workers


@dataclass(frozen=True)
class Demand:
    """`workers` processes, each with so many CPUs, GPUs and bytes of memory."""

    workers: int = 1
    cpus: int = 1
    gpus: float = 0
    memory: int = 0

    def __str__(self) -> str:
        each = f"{self.cpus} CPUs" + (f" and {self.gpus:.3g} GPU" if self.gpus else "")
        return f"{self.workers} workers of {each} each"


@dataclass(frozen=True)
class Capacity:
    """What the cluster has, node by node: a worker cannot use two of them."""

    nodes: tuple[tuple[int, int], ...]  # (CPUs, GPUs) of each node that is alive
    memory: tuple[int, ...] = ()  # bytes that Ray counts on each of them, in the same order; empty: unknown

    @cached_property
    def cpus(self) -> int:
        return sum(cpus for cpus, _ in self.nodes)

    @cached_property
    def gpus(self) -> int:
        return sum(gpus for _, gpus in self.nodes)

    @property
    def slots(self) -> int:
        """Processes that can compute at once: one on each GPU, or on each CPU if there is no GPU."""
        return self.gpus or self.cpus

    def cpus_for_each(self, workers: int) -> int:
        """The most CPUs that each of `workers` can have at once; 0 if there are too many of them."""
        return _cpus_for_each(self.nodes, workers)

    def memory_for_each(self, demand: Demand) -> int:
        """The most bytes that each worker of a demand can have at once; 0 if unknown, or if they do not fit."""
        return _memory_for_each(self.nodes, self.memory, demand.workers, demand.cpus, demand.gpus)

    def hosts(self, demand: Demand) -> bool:
        """Whether the cluster could meet a demand if it did nothing else."""
        fits = self.cpus_for_each(demand.workers) >= demand.cpus and demand.workers * demand.gpus <= self.gpus
        return fits and self.memory_for_each(demand) >= demand.memory


@lru_cache(64)  # 5,000 stages ask for the same
def _cpus_for_each(nodes: tuple[tuple[int, int], ...], workers: int) -> int:
    largest = max((cpus for cpus, _ in nodes), default=0)
    fitting = (share for share in range(largest, 0, -1) if sum(c // share for c, _ in nodes) >= workers)
    return next(fitting, 0)


@lru_cache(64)
def _memory_for_each(
    nodes: tuple[tuple[int, int], ...], memory: tuple[int, ...], workers: int, cpus: int, gpus: float
) -> int:
    # Ray counts GPUs in steps of 1e-4: ten times 0.1 is one.
    on_gpus = lambda g: int(g / gpus + 1e-4) if gpus else workers  # noqa: E731
    room = [min(c // cpus if cpus else workers, on_gpus(g), workers) for c, g in nodes]
    pairs = list(zip(memory, room, strict=False))  # bytes of each node, and most workers on it
    shares = sorted({size // k for size, most in pairs for k in range(1, most + 1)} - {0}, reverse=True)
    fitting = (share for share in shares if sum(min(most, size // share) for size, most in pairs) >= workers)
    return next(fitting, 0)
