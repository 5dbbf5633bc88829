"""The practitioner's question: is there a shortcut in my images, which of them break it, and does it matter?

    result = audit(plan, store)                # of an experiment with `erm` and one of DDB's recipes, finished
    write_scores(result, Path("audit"))        # conflicts.parquet, conflicts.csv

Every training image has a conflict score, the Bias Amplifier's loss in nats; those that it misclassifies are taken for
conflicting. Hard images are misclassified too, bias or none, so the list alone proves nothing. The verdict rests on
validation images, which no model was trained on: a shortcut that matters is one whose removal helps where it misleads.
Among the validation images that the amplifier misclassifies, the debiased model must be right significantly more often
than ERM (one-sided exact sign test on the images where the two differ, McNemar's).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from scipy.stats import binomtest

from ddb.amplifier import Signals, compute_signals, signal_quality
from ddb.artifacts import Stage, Store
from ddb.classifier import load_classifier, predict
from ddb.data import BiasedDataset, Split, prepared
from ddb.data.loading import View
from ddb.diffusion import synthetic
from ddb.errors import DDBError
from ddb.experiment import Cell, Plan

SIGNIFICANCE = 0.01  # one-sided p below which the gain is no accident
LEAST_GAIN = 0.05  # of accuracy on the misclassified validation images, below which a shortcut is called none
FEWEST = 20  # misclassified validation images below which no verdict is given, unless the gain is significant


@dataclass(frozen=True)
class Evidence:
    """What the verdict rests on, over validation images."""

    validation: int  # images
    flagged: int  # of them misclassified by the amplifier
    erm: float | None  # accuracy of ERM on the flagged ones; None where there are none
    debiased: float | None  # accuracy of the debiased model on them
    p: float | None  # one-sided, that the debiased model is right more often than ERM

    @property
    def gain(self) -> float:
        return 0.0 if self.erm is None else self.debiased - self.erm

    @property
    def verdict(self) -> Literal["shortcut", "none", "unclear"]:
        """Sign of a shortcut, no sign of one, or too few images to say."""
        if self.flagged and self.p < SIGNIFICANCE and self.gain >= LEAST_GAIN:
            return "shortcut"
        return "none" if self.flagged >= FEWEST or self.flagged_share < 0.01 else "unclear"

    @property
    def flagged_share(self) -> float:
        return self.flagged / self.validation

    @property
    def reason(self) -> str:
        """The numbers in words."""
        first = f"The amplifier misclassifies {self.flagged:,} of {self.validation:,} validation images."
        if not self.flagged:
            return first
        return (f"{first} On those, the debiased model is right in {self.debiased:.0%} of the cases and plain training "
                f"(ERM) in {self.erm:.0%}: a gain of {100 * self.gain:.0f} points (one-sided exact p = {self.p:.2g}; "
                f"a shortcut is called at p < {SIGNIFICANCE:g} and {100 * LEAST_GAIN:.0f} points).")  # fmt: skip


@dataclass(frozen=True)
class AuditResult:
    """Scores, evidence, and what a page about them needs."""

    dataset: BiasedDataset
    signals: Signals  # of the training images
    evidence: Evidence
    synthetic: Split
    synthetic_loss: np.ndarray  # (M,) the amplifier's, in nats: the lowest are the most typical of their class
    precision: float | None  # of the misclassified training images against bias labels, where there are any
    recall: float | None
    amplifier: Stage


def audit(plan: Plan, store: Store, seed: int) -> AuditResult:
    """From the finished stages of `seed`. Raises DDBError where they are not there, or the plan lacks a method."""
    baseline = _cell(plan, store, seed, lambda cell: cell.stage.config["method"] == "erm", "erm")
    recipe = _cell(plan, store, seed, _is_recipe, "ddb_two_step")
    amplifier = recipe.stage.inputs["amplifier"]
    directory = store.path(amplifier)
    dataset = prepared.read(store.path(plan.data))
    signals = Signals.read(directory / "signals.parquet")
    flagged = Signals.read(directory / "signals_val.parquet").misclassified  # (V,)
    right = [_right(store.path(cell.stage), cell.stage, dataset["val"]) for cell in (baseline, recipe)]  # each (V,)
    aligned = dataset["train"].aligned
    quality = {"precision": None, "recall": None} if aligned is None else signal_quality(signals, aligned)
    drawn = synthetic.read(store.path(amplifier.inputs["synthetic"]))
    typical = compute_signals(load_classifier(directory), drawn, _view(amplifier, "amplifier")).loss
    evidence = weigh(*right, flagged)
    return AuditResult(dataset, signals, evidence, drawn, typical, quality["precision"], quality["recall"], amplifier)


def weigh(erm: np.ndarray, debiased: np.ndarray, flagged: np.ndarray) -> Evidence:
    """The evidence from who is right on which validation image, (V,) bool each, `flagged` the misclassified ones."""
    number = int(flagged.sum())
    if not number:
        return Evidence(len(flagged), 0, None, None, None)
    gained = int((debiased & ~erm & flagged).sum())
    lost = int((erm & ~debiased & flagged).sum())
    p = binomtest(gained, gained + lost, alternative="greater").pvalue if gained + lost else 1.0
    return Evidence(len(flagged), number, float(erm[flagged].mean()), float(debiased[flagged].mean()), float(p))


def write_scores(result: AuditResult, directory: Path) -> list[Path]:
    """`conflicts.parquet` and `.csv`: every training image, the highest conflict score first."""
    signals, classes = result.signals, result.dataset.classes
    order = np.argsort(-signals.loss, kind="stable")
    columns = {
        "path": [signals.paths[row] for row in order],
        "class": [classes[signals.labels[row]] for row in order],
        "taken_for": [classes[signals.predicted[row]] for row in order],
        "score": signals.loss[order],
        "probability": signals.probability[order],
        "conflicting": signals.misclassified[order],
    }
    if result.dataset["train"].aligned is not None:
        columns["bias_label_conflicting"] = ~result.dataset["train"].aligned[order]
    table = pa.table(columns)
    paths = [directory / "conflicts.parquet", directory / "conflicts.csv"]
    pq.write_table(table, paths[0])
    pyarrow.csv.write_csv(table, paths[1])
    return paths


def _is_recipe(cell: Cell) -> bool:
    amplifier = cell.stage.inputs.get("amplifier")
    return amplifier is not None and "synthetic" in amplifier.inputs


def _cell(plan: Plan, store: Store, seed: int, wanted, name: str) -> Cell:
    cells = [cell for cell in plan.cells if cell.seed == seed and wanted(cell)]
    if not cells:
        raise DDBError(f"audit: the experiment has no method {name}, which the verdict needs")
    if not store.has(cells[0].stage):
        raise DDBError(f"audit: {cells[0].method} of seed {seed} is not finished in the store {store.root}")
    return cells[0]


def _right(directory: Path, stage: Stage, split: Split) -> np.ndarray:
    """Whether the classifier of a cell is right on each image, (N,) bool."""
    predicted = predict(load_classifier(directory), split, _view(stage, "settings")).argmax(1).numpy()
    return predicted == split.labels


def _view(stage: Stage, section: str) -> View:
    """How the classifier of a stage sees images."""
    return View(stage.config[section]["image_size"])
