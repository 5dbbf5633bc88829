"""`ddb debias`: a classifier without the shortcut, for a folder of images and without bias labels.

    ddb debias my_images --output debias

Features of a frozen encoder, signals of a closed form, and Recipe II with Learning from Failure's normalisation
(`lff_ddb`) at the strongest temperature that a safeguard allows (`ddb.recipes.safeguard`). The classifier of the first
seed becomes a model in <output>/classifier (`ddb.models`).
"""

import shlex
from pathlib import Path

import numpy as np

from ddb.errors import DDBError
from ddb.experiment.config import ExperimentConfig, methods
from ddb.experiment.config_file import Experiment, Point
from ddb.experiment.graph import Cell, build_graph
from ddb.models.export import export_model
from ddb.report.paired import interval
from ddb.signals.table import Signals
from ddb.store import Store
from ddb.training import predictions
from ddb.training.networks import HEADS
from ray_jobs.job import execute

BASELINE, RECIPE = "erm", "lff_ddb_safe"


def run_debias(config: ExperimentConfig, store: Store, output: Path) -> tuple[list[str], list[Path]]:
    """Train with all seeds of `config`; lines for the reader, and the folder of the classifier.

    Raises DDBError if the configuration has not the rows erm and lff_ddb_safe on features, or if a stage fails.
    """
    rows = {name: config.methods[name] for name in (BASELINE, RECIPE) if name in config.methods}
    config = config.model_copy(update={"methods": rows, "memorisation": False}) if rows else config
    heads = all(row.settings.network in HEADS for row in methods(config))
    if len(rows) < 2 or not heads or config.amplifier.space != "features":
        raise DDBError(f"ddb debias: needs a folder, or a configuration with the rows {BASELINE} and {RECIPE}, network "
                       "linear or mlp, and amplifier.space features")  # fmt: skip
    graph = build_graph(Experiment((Point({}, config),)))
    if execute(graph, store, f"debias-{output.name}"):
        raise DDBError("debias: a stage failed; see above")
    cells = {name: [cell for cell in graph.cells if cell.method == name] for name in rows}
    chosen = cells[RECIPE][0].classifier
    export_model(store, store.path(chosen), config.features.weights, output / "classifier")
    lines = [*_decisions(cells[RECIPE], store), *_gains(cells, store)]
    lines.append(f"to use it: {shlex.join(['ddb', 'predict', str(output / 'classifier'), 'IMAGES'])}")
    return lines, [output / "classifier"]


def _decisions(cells: list[Cell], store: Store) -> list[str]:
    """What the safeguard chose, once for each different choice."""
    entries = ((cell.seed, entry) for cell in cells for entry in store.read_json(cell.classifier, "history"))
    return [f"seed {seed}: {entry['note']}" for seed, entry in entries if entry.get("note", "").startswith("safeguard")]


def _gains(cells: dict[str, list[Cell]], store: Store) -> list[str]:
    """Accuracies on held-out images, all and flagged ones, with the paired difference over seeds."""
    source = cells[RECIPE][0].classifier.inputs["amplifier"]
    right, lines = {}, []
    flagged = Signals.read(store.path(source) / "signals_test.parquet").misclassified  # (T,)
    for name, each in cells.items():
        tables = [predictions.read(store.path(cell.stage) / "predictions.parquet", "test") for cell in each]
        right[name] = np.stack([(table["predicted"] == table["label"]).to_numpy() for table in tables])  # (S, T)
    for what, rows in (("all", np.ones(len(flagged), bool)), ("flagged", flagged), ("other", ~flagged)):
        if not rows.any():
            lines.append(f"test images, {what}: none")
            continue
        erm, debiased = (100 * right[name][:, rows].mean(1) for name in (BASELINE, RECIPE))  # (S,)
        lines.append(
            f"test images, {what} ({rows.sum()}): plain training {erm.mean():.1f} %, debiased {debiased.mean():.1f} %, "
            f"difference {_difference(debiased - erm)}"
        )
    return lines


def _difference(values: np.ndarray) -> str:
    """Mean and, with two seeds or more, 95 % interval of paired differences (S,) in points."""
    found = interval(values.tolist())
    if found["low"] is None:
        return f"{found['mean']:+.1f} points (1 seed)"
    return f"{found['mean']:+.1f} points [{found['low']:.1f}, {found['high']:.1f}] ({found['n']} seeds)"
