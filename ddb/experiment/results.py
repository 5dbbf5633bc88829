"""The results of an experiment as pandas data frames, from what is finished in a store.

    found = ddb.results("configs/colored_digits.yaml", "runs")
    found.metrics.groupby(["method", "metric"])["value"].agg(["mean", "std", "count"])
    found.predictions(method="erm", seed=0)         # of every test image

Frames are read when they are first asked for, also while a run is under way; a new `ddb.results` looks again.
Accuracies and shares are fractions in [0, 1]. Rows of `metrics` and of predictions begin with the columns of `cells`:

    dataset, method (the row's label), selection, guidance (the paper's w; None without synthetic images), seed,
    and every varied setting by its full name (None where it changes nothing)
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from ddb.errors import DDBError
from ddb.experiment.config_file import load
from ddb.experiment.graph import Graph, build_graph
from ddb.lazy import pd
from ddb.settings import unknown
from ddb.store import Store, in_order
from ddb.training import predictions


def results(config: str | Path, store: str | Path = "runs", overrides: list[str] | None = None) -> Results:
    """What the store has of the experiment in the file `config`, changed by `overrides` such as `seeds=[0]`.

    Raises DDBError where the configuration is wrong.
    """
    return Results(build_graph(load(config, overrides)), Store(store))


class Results:
    """The results of a graph in a store."""

    def __init__(self, graph: Graph, store: Store):
        self.graph, self.store = graph, store

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row for each trained and tested classifier of the graph, with its state and the keys of its stages.

        state is finished, failed (it, or a stage that it needs) or missing. The index is the cell's place in the graph.
        """
        finished = self.store.finished([cell.stage for cell in self.graph.cells])
        waiting = in_order(cell.stage for cell in self.graph.cells if cell.stage.key not in finished)
        failed = {key for key, stage in waiting.items() if self.store.failure(stage) is not None}
        rows = []
        for cell in self.graph.cells:
            done, inputs = cell.stage.key in finished, cell.classifier.inputs
            lost = not done and any(each.key in failed for each in cell.stage.ancestors())
            state = "finished" if done else "failed" if lost else "missing"
            keys: dict[str, str | None] = {"evaluation": cell.stage.key, "classifier": cell.classifier.key}
            keys["amplifier"] = inputs["amplifier"].key if "amplifier" in inputs else None
            names = ("dataset", "method", "selection", "guidance", "seed")
            rows.append({name: getattr(cell, name) for name in names} | cell.settings | {"state": state} | keys)
        return pd.DataFrame(rows)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Test metrics in long form: a row for each finished cell and metric (`ddb.training.metrics`), with its value.

        A nested number has a name such as `group_accuracy/cat/conflicting`. The column cell is the index of `cells`.
        """
        rows = []
        for number in self.cells.index[self.cells["state"] == "finished"]:
            found = self.store.read_json(self.graph.cells[number].stage, "metrics") or {}
            rows += [{"cell": number, "metric": name, "value": value} for name, value in _flat(found)]
        long = pd.DataFrame(rows, columns=["cell", "metric", "value"])
        return self._identity.join(long.set_index("cell"), how="inner").rename_axis("cell").reset_index()

    @cached_property
    def signals(self) -> pd.DataFrame:
        """One row for each source of signals: its quality and that of its synthetic images, where known."""
        rows = []
        for run in self.graph.amplifiers.values():
            drawn = run.stage.inputs.get("synthetic")
            row = {"amplifier": run.stage.key, "source": run.source, "seed": run.seed}
            row["synthetic"] = drawn.key if drawn else None
            row["guidance"] = drawn.config["sampling"]["guidance"] if drawn else None
            alignment = self.graph.synthetic[drawn.key].alignment if drawn else None
            numbers = [self.store.read_json(run.stage, "quality")]
            numbers += [self.store.read_json(alignment, "alignment")] if alignment else []
            rows.append(row | {name: value for each in numbers for name, value in _flat(each or {})})
        return pd.DataFrame(rows, columns=None if rows else ["amplifier", "source", "seed", "synthetic", "guidance"])

    @cached_property
    def synthetic(self) -> pd.DataFrame:
        """One row for each synthetic set that is finished, with the Parquet file of its images."""
        done = [drawn for drawn in self.graph.synthetic.values() if self.store.has(drawn.stage)]
        rows = [
            {"synthetic": drawn.stage.key, "seed": drawn.seed, **drawn.sampling.model_dump(mode="json")}
            | {"file": str(self.store.path(drawn.stage) / "images.parquet")}
            for drawn in done
        ]
        return pd.DataFrame(rows, columns=None if rows else ["synthetic", "seed", "guidance", "file"])

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row for each finished stage: when, where, by what and for how long it was computed."""
        done = [stage for stage in self.graph.stages() if self.store.has(stage)]
        return pd.DataFrame([self.store.record(stage) for stage in done])

    def predictions(self, split: str = "test", **which: Any) -> pd.DataFrame:
        """The predictions (`ddb.training.predictions`) of the finished cells whose columns have the values of `which`.

        Raises DDBError where `cells` has no such column.
        """
        chosen = self.cells["state"] == "finished"
        for name, value in which.items():
            if name not in self.cells:
                raise DDBError(f"predictions: no column {name!r}; {unknown(name, [*map(str, self.cells)])}")
            wanted = tuple(value) if isinstance(value, list) else value
            chosen &= self.cells[name].isna() if wanted is None else self.cells[name].map(lambda v, w=wanted: v == w)
        parts = []
        for number in self.cells.index[chosen]:
            file = self.store.path(self.graph.cells[number].stage) / "predictions.parquet"
            parts.append(predictions.read(file, split).assign(cell=number))
        if not parts:
            return pd.DataFrame(columns=[*self._identity, "cell"])
        return self._identity.merge(pd.concat(parts), left_index=True, right_on="cell").reset_index(drop=True)

    @property
    def _identity(self) -> pd.DataFrame:
        """The columns of `cells` that say which cell it is."""
        return self.cells.drop(columns=["state", "evaluation", "classifier", "amplifier"])


def _flat(values: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Numbers in nested objects and lists, by their paths."""
    if isinstance(values, (dict, list)):
        pairs = values.items() if isinstance(values, dict) else enumerate(values)
        for key, value in pairs:
            yield from _flat(value, f"{name}/{key}" if name else str(key))
    elif isinstance(values, (int, float)):
        yield name, values
