"""What an experiment needs of memory, for people: lines that a dry run prints.

for line in needs(graph, missing_stages):
    print(line)
"""

from ddb.experiment.graph import Graph
from ddb.process_memory import HEAD
from ddb.stages import KINDS
from ddb.stages.needs import Demand
from ddb.store import Stage

GIGABYTE = 1e9


def needs(graph: Graph, missing: list[Stage]) -> list[str]:
    """A line for each kind of stage that trains or samples, and for Ray's head, if anything is missing."""
    lines = []
    for name, kind in KINDS.items():
        stages = [stage for stage in missing if stage.name == name]
        if kind.unit and stages:
            workers = graph.config.resources.fixed_cdpm_workers if kind.gang else 1
            each = max(kind.memory(stage, Demand(workers)) for stage in stages)
            lines.append(f"{_gb(each)} for each {f'of {workers} workers of a ' if workers > 1 else ''}{name}")
    return [*lines, f"{_gb(HEAD)} on the first node for Ray's head and the command"] if lines else []


def _gb(amount: float) -> str:
    return f"about {amount / GIGABYTE:.1f} GB" if amount >= GIGABYTE / 10 else "less than 0.1 GB"
