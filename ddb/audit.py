"""The practitioner's question: is there a shortcut in my images, which of them break it, and does it matter?

    graph = audit_plan(config)                 # ERM, Recipe I and its control, every seed; compute it, then
    result = audit(graph, store)
    write_scores(result, Path("audit"))        # conflicts.parquet, conflicts.csv

Every training image has a conflict score, the Bias Amplifier's loss in nats; those that it misclassifies are taken for
conflicting. Hard images are misclassified too, bias or none, so the list alone proves nothing. The verdict rests on
validation images, which no model was trained on or chosen by: a shortcut that matters is one whose removal helps where
it misleads. Two numbers are taken on the validation images that the amplifier misclassifies ("flagged"):

    gain    accuracy of the debiased model (Recipe I) minus that of ERM
    lead    accuracy of the debiased model minus that of the control, which weights as many other hard images of each
            class (`ddb.recipes.hard_control` says what this rules out, and what it does not)

Each has a 95 % confidence interval (`ddb.evidence`). All seeds of the experiment take part, each with its own
amplifier's flags: which images an amplifier flags depends on its training, and each is followed by the recipe that was
made from it. A shortcut is called where both intervals lie above 0 and the gain is at least 5 points. Without one, each
lies above 0 by accident at most once in 40, so both together do not more often. None is called where the interval
of the gain lies below 5 points: where there is such a gain, at most once in 40. All else is too little evidence.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ddb import predictions
from ddb.classifier import load_classifier
from ddb.config import ExperimentConfig, methods
from ddb.config_file import Experiment, Point
from ddb.data import BENCHMARKS, BiasedDataset, Split, prepared
from ddb.data.duplicates import near_duplicates
from ddb.data.loading import View
from ddb.diffusion import synthetic
from ddb.errors import DDBError
from ddb.evidence import CONFIDENCE, Interval, interval
from ddb.experiment import Cell, Plan, plan
from ddb.signals.amplifier import compute_signals
from ddb.signals.table import Signals, check_signals, signal_quality
from ddb.store import Stage, Store

BASELINE, RECIPE, CONTROL = "erm", "ddb_two_step", "ddb_two_step_control"
LEAST_GAIN = 0.05  # of accuracy on the flagged validation images, below which a shortcut does not matter


@dataclass(frozen=True)
class Observations:
    """Who is right on which of V validation images after each of S trainings; (S, V) bool each."""

    flagged: np.ndarray  # misclassified by the seed's amplifier
    erm: np.ndarray
    debiased: np.ndarray
    control: np.ndarray
    cluster: np.ndarray  # (V,) int64, the same number for images that depend on each other


@dataclass(frozen=True)
class Evidence:
    """What the verdict rests on. Accuracies and intervals are over the flagged images; None where there are none."""

    seeds: int
    validation: int  # images
    flagged: int  # of them misclassified by the amplifier of at least one seed
    clusters: int  # that these are
    erm: float | None
    debiased: float | None
    control: float | None
    gain: Interval | None  # debiased - erm
    lead: Interval | None  # debiased - control

    @property
    def verdict(self) -> Literal["shortcut", "none", "unclear"]:
        """Sign of a shortcut, no sign of one, or not enough evidence."""
        if self.gain is None:
            return "unclear"
        if self.gain.low > 0 and self.gain.estimate >= LEAST_GAIN and self.lead.low > 0:
            return "shortcut"
        return "none" if self.gain.high < LEAST_GAIN else "unclear"

    @property
    def more_images(self) -> int | None:
        """How many more validation images would likely settle what is unclear; None where no number would.

        An estimate, to two digits: it takes gain, lead and the share of flagged images to stay as they are, and the
        variance to fall with the number of images; in 4 of 5 cases the interval is then narrow enough.
        """
        if self.gain is None:
            return None
        if self.gain.estimate < LEAST_GAIN:
            times = [self.gain.images_to_see(LEAST_GAIN - self.gain.estimate)]
        else:
            times = [each.images_to_see(each.estimate) for each in (self.gain, self.lead)]
        if None in times:
            return None
        number = max(1, math.ceil((max(times) - 1) * self.validation))
        unit = 10 ** max(0, len(str(number)) - 2)
        return math.ceil(number / unit) * unit

    @property
    def reason(self) -> str:
        """The numbers in words."""
        who = "The amplifier misclassifies" if self.seeds == 1 else f"The amplifiers of {self.seeds} seeds misclassify"
        text = f"{who} {self.flagged:,} of {self.validation:,} validation images"
        if self.gain is None:
            return f"{text}: nothing can be compared."
        if self.clusters < self.flagged:
            text += f", which count as {self.clusters:,}, since some are variants of each other"
        text += (
            f". On those, the debiased model is right in {self.debiased:.0%} of the cases and plain training (ERM) in "
            f"{self.erm:.0%}: a gain of {_points(self.gain)}. A control that weights other hard images is right in "
            f"{self.control:.0%}: the debiased model leads by {_points(self.lead)}. A shortcut is called where both "
            f"intervals lie above 0 and the gain reaches {100 * LEAST_GAIN:.0f} points; none, where the gain's "
            f"interval lies below {100 * LEAST_GAIN:.0f}."
        )
        if self.verdict == "unclear":
            text += f" {self._way_out}"
        if self.seeds == 1:
            text += " With one seed, the intervals do not say what another training would give."
        return text

    @property
    def _way_out(self) -> str:
        if self.more_images is not None:
            return (f"About {self.more_images:,} more validation images would likely settle it (an estimate: if the "
                    "gain stays as it is, in 4 of 5 cases).")  # fmt: skip
        if self.gain.estimate >= LEAST_GAIN and self.lead.estimate <= 0:
            return "More validation images would not settle it: weighting other hard images helps as much."
        return "More validation images alone would not settle it: the trainings differ too much; more seeds might."


@dataclass(frozen=True)
class AuditResult:
    """Scores, evidence, and what a page about them needs. All but the evidence is of the first seed."""

    dataset: BiasedDataset
    signals: Signals  # of the training images
    observations: Observations
    evidence: Evidence
    synthetic: Split
    synthetic_loss: np.ndarray  # (M,) the amplifier's, in nats: the lowest are the most typical of their class
    precision: float | None  # of the misclassified training images against bias labels, where there are any
    recall: float | None
    amplifier: Stage


def audit_plan(config: ExperimentConfig) -> Plan:
    """What the verdict needs, for every seed. Raises DDBError where a row is chosen by the validation images."""
    recipe = config.methods.get(RECIPE) or {}
    rows = {BASELINE: config.methods.get(BASELINE) or {}, RECIPE: recipe, CONTROL: recipe | {"method": CONTROL}}
    config = config.model_copy(update={"methods": rows, "memorisation": False})
    for row in methods(config):
        if row.settings.selection != "last":
            raise DDBError(f"methods.{row.label}.selection: {row.settings.selection} chooses by the validation images, "
                           "which are the audit's evidence; ddb audit needs last")  # fmt: skip
        if row.method.needs_signals and row.amplifier.source != "synthetic":
            raise DDBError(f"amplifier.source: {row.amplifier.source}; ddb audit shows synthetic images, so it needs "
                           "their amplifier: synthetic")  # fmt: skip
    return plan(Experiment((Point({}, config),)))


def audit(graph: Plan, store: Store) -> AuditResult:
    """From the finished stages of an `audit_plan`. Raises DDBError where they are not there."""
    dataset = prepared.read(store.path(graph.data))
    seeds = graph.config.seeds
    cells = {name: [_cell(graph, store, seed, name) for seed in seeds] for name in (BASELINE, RECIPE, CONTROL)}
    right = {name: np.stack([_right(store, cell.stage) for cell in cells[name]]) for name in cells}
    amplifiers = [cell.classifier.inputs["amplifier"] for cell in cells[RECIPE]]
    signals = [Signals.read(store.path(amplifier) / "signals_val.parquet") for amplifier in amplifiers]
    for each in signals:
        check_signals(each, dataset["val"])
    flagged = np.stack([each.misclassified for each in signals])  # (S, V)
    cluster = clusters(dataset, flagged.any(0))
    observations = Observations(flagged, right[BASELINE], right[RECIPE], right[CONTROL], cluster)

    amplifier, aligned = amplifiers[0], dataset["train"].aligned
    signals = Signals.read(store.path(amplifier) / "signals.parquet")
    quality = {"precision": None, "recall": None} if aligned is None else signal_quality(signals, aligned)
    drawn = synthetic.read(store.path(amplifier.inputs["synthetic"]))
    typical = compute_signals(
        load_classifier(store.path(amplifier)), drawn, View(amplifier.config["amplifier"]["image_size"])
    ).loss
    scores = (drawn, typical, quality["precision"], quality["recall"], amplifier)
    return AuditResult(dataset, signals, observations, weigh(observations), *scores)


def weigh(seen: Observations) -> Evidence:
    """The evidence from who is right on which validation image."""
    counts = (len(seen.flagged), seen.flagged.shape[1], int(seen.flagged.any(0).sum()))
    number = len(np.unique(seen.cluster[seen.flagged.any(0)]))
    if not seen.flagged.any():
        return Evidence(*counts, number, None, None, None, None, None)
    accuracies = (float(right[seen.flagged].mean()) for right in (seen.erm, seen.debiased, seen.control))
    differences = (seen.debiased.astype(int) - other for other in (seen.erm, seen.control))
    return Evidence(*counts, number, *accuracies, *(interval(d, seen.flagged, seen.cluster) for d in differences))


def clusters(dataset: BiasedDataset, flagged: np.ndarray) -> np.ndarray:
    """(V,) int64: validation images with the same number depend on each other; `flagged` (V,) bool.

    They come from one source where the data set says so, as the colourings of a scan do, and elsewhere are nearly the
    same picture. Only flagged images are looked at for that: no other counts.
    """
    split, benchmark = dataset["val"], BENCHMARKS.get(dataset.name)
    if benchmark and benchmark.source:
        return np.unique([benchmark.source(path) for path in split.paths], return_inverse=True)[1]
    cluster, rows = np.arange(len(split)), np.flatnonzero(flagged)
    cluster[rows] = len(split) + near_duplicates(split.images[rows])
    return cluster


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


def _cell(graph: Plan, store: Store, seed: int, method: str) -> Cell:
    cells = [cell for cell in graph.cells if cell.seed == seed and cell.row.method.name == method]
    if not cells:
        raise DDBError(f"audit: the experiment has no method {method}, which the verdict needs")
    if not store.has(cells[0].stage):
        raise DDBError(f"audit: {method} of seed {seed} is not finished in the store {store.root}")
    return cells[0]


def _right(store: Store, evaluation: Stage) -> np.ndarray:
    """Whether the classifier of a cell is right on each validation image, (V,) bool."""
    found = predictions.read(store.path(evaluation) / "predictions.parquet", "val")
    return (found["predicted"] == found["label"]).to_numpy()


def _points(found: Interval) -> str:
    low, middle, high = (f"{round(100 * value, 1) + 0.0:.1f}" for value in (found.low, found.estimate, found.high))
    return f"{middle} points ({CONFIDENCE:.0%} interval {low} to {high})"
