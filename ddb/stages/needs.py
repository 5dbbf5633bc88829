"""What a cluster has, and what a stage needs of it at once."""

from dataclasses import dataclass
from functools import cached_property, lru_cache


@dataclass(frozen=True)
class Demand:
    """`workers` processes, each with so many CPUs and GPUs."""

    workers: int = 1
    cpus: int = 1
    gpus: int = 0


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

    def hosts(self, needed: Demand) -> bool:
        """Whether the cluster could meet a demand if it did nothing else."""
        return self.cpus_for_each(needed.workers) >= needed.cpus and needed.workers * needed.gpus <= self.gpus


@lru_cache(64)  # 5,000 stages ask for the same
def _cpus_for_each(nodes: tuple[tuple[int, int], ...], workers: int) -> int:
    largest = max((cpus for cpus, _ in nodes), default=0)
    fitting = (share for share in range(largest, 0, -1) if sum(c // share for c, _ in nodes) >= workers)
    return next(fitting, 0)
