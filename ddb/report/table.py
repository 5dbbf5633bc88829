"""The numbers of a results table: mean and sample standard deviation over seeds, for each method of a plan.

    for row in rows(plan, store):
        row.as_json()       # {"dataset", "method", "selection", "guidance", "seeds", "failed", "metrics"}
        row.state           # "2/3 seeds, 1 failed"

Nothing is filled in: a seed that failed or has not run lowers `n`, and a metric that needs bias labels is absent
where the data set has none (DESIGN: honest aggregation, missing knowledge is missing).
"""

import json
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddb.artifacts import Store

if TYPE_CHECKING:
    from ddb.experiment import Cell, Plan

METRICS = (  # in the order of the table's columns; each as defined in ddb.metrics
    "average_accuracy",
    "weighted_average_accuracy",
    "conflicting_accuracy",
    "aligned_accuracy",
    "worst_group_accuracy",
    "id_accuracy",
    "bg_gap",
    "co_occur_obj_gap",
    "bg_co_occur_obj_gap",
)


@dataclass(frozen=True)
class Row:
    """One method under one guidance and one selection criterion, over all its seeds."""

    dataset: str
    method: str
    selection: str  # criterion that chose the weights
    guidance: float | None  # the paper's w; None for a method that uses no synthetic images
    planned: int  # seeds that the plan asks for
    seeds: list[int]  # seeds that finished, ascending
    failed: int  # seeds that cannot finish, as their target stage or one that it needs failed
    metrics: dict[str, dict[str, float | int | None]] = field(default_factory=dict)  # name -> mean, std, n
    notes: tuple[str, ...] = ()  # what a reader must know of the data set

    def as_json(self) -> dict[str, Any]:
        """The row as plain JSON values, accuracies in [0, 1]; what `ddb table --format json` prints."""
        return {
            "dataset": self.dataset,
            "method": self.method,
            "selection": self.selection,
            "guidance": self.guidance,
            "seeds": self.seeds,
            "failed": self.failed,
            "metrics": self.metrics,
        }

    @property
    def complete(self) -> bool:
        return len(self.seeds) == self.planned

    @property
    def state(self) -> str:
        """How many seeds the numbers rest on, and what became of the others."""
        missing = self.planned - len(self.seeds) - self.failed
        parts = [f"{len(self.seeds)}/{self.planned} seeds"]
        parts += [f"{self.failed} failed"] * (self.failed > 0)
        parts += [f"{missing} missing"] * (missing > 0)
        return ", ".join(parts)


def rows(plan: "Plan", store: Store) -> list[Row]:
    """One row for each (data set, method, selection, guidance) of the plan's cells, in the plan's order."""
    together: dict[tuple, list[Cell]] = {}
    for cell in plan.cells:
        together.setdefault((cell.dataset, cell.method, cell.selection, cell.guidance), []).append(cell)
    notes = data_notes(plan, store)
    return [_row(key, cells, store, notes) for key, cells in together.items()]


def data_notes(plan: "Plan", store: Store) -> tuple[str, ...]:
    """The data set's notes, such as a split that we held out; none before it is prepared."""
    try:
        description = json.loads((store.path(plan.data) / "dataset.json").read_text())
    except FileNotFoundError:
        return ()
    return tuple(description["notes"])


def _row(key: tuple, cells: "list[Cell]", store: Store, notes: tuple[str, ...]) -> Row:
    done = sorted((cell for cell in cells if store.has(cell.stage)), key=lambda cell: cell.seed)
    results = [json.loads((store.path(cell.stage) / "metrics.json").read_text()) for cell in done]
    finished = {cell.stage.key for cell in done}
    failed = sum(_failed(cell, store) for cell in cells if cell.stage.key not in finished)
    metrics = {}
    for name in METRICS:
        values = [result[name] for result in results if name in result]
        if values:
            metrics[name] = summarize(values)
    return Row(*key, len(cells), [cell.seed for cell in done], failed, metrics, notes)


def summarize(values: list[float]) -> dict[str, float | int | None]:
    """Mean, sample standard deviation (ddof 1; None for a single value) and number of `values`."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "n": len(values)}


def _failed(cell: "Cell", store: Store) -> bool:
    """Whether the cell's own stage or one that it needs, however far up, failed in its last attempt."""
    return any(store.failure(stage) is not None for stage in cell.stage.ancestors())
