"""The practitioner's question: is there a shortcut in my images, which of them break it, and does it matter?

    graph = audit_graph(config)                 # ERM, Recipe I and its control, every seed; compute it, then
    result = audit(graph, store)
    write_scores(result, Path("audit"))        # conflicts.parquet, conflicts.csv, summary.json

Every image has a score, the probability of its label according to the source of signals; images that the source
misclassifies are flagged. Hard images are misclassified too, biased data or not, so the list alone proves nothing. The
verdict rests on validation images, on which no model was trained or selected: a shortcut that matters is one whose
removal helps where it misleads. Two numbers are computed on the flagged validation images:

    gain    accuracy of the debiased model (Recipe I) minus that of ERM
    lead    accuracy of the debiased model minus that of the control, which weights as many other hard images of each
            class (`ddb.recipes.hard_control` says what this rules out, and what it does not)

Each has a 95 % confidence interval (`evidence`). All seeds of the experiment take part, each with its own flags: which
images an amplifier flags depends on its training, and the recipe of a seed uses the flags of this seed. A
shortcut is called where both intervals lie above 0 and the gain is at least 5 points. Without one, each lies above 0 by
accident at most once in 40, so both together do not more often. None is called where the interval of the gain lies
below 5 points: where there is such a gain, at most once in 40. All else is too little evidence.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ddb.audit.evidence import CONFIDENCE, Interval, interval
from ddb.audit.second_opinion import Opinion, second_opinion
from ddb.data import BENCHMARKS, BiasedDataset, Split, prepared
from ddb.data.duplicates import near_duplicates
from ddb.data.loading import ImageTransform
from ddb.diffusion import synthetic
from ddb.errors import DDBError
from ddb.experiment.config import ExperimentConfig, methods
from ddb.experiment.config_file import Experiment, Point
from ddb.experiment.graph import Cell, Graph, build_graph
from ddb.features import table
from ddb.signals.amplifier import compute_signals
from ddb.signals.table import Signals, check_signals, signal_quality, validation_signals
from ddb.store import Stage, Store
from ddb.training import predictions
from ddb.training.classifier import load_classifier
from ddb.training.networks import HEADS

BASELINE, RECIPE, CONTROL = "erm", "ddb_two_step", "ddb_two_step_control"
BREAKS_SHORTCUT, CHECK_LABEL = "breaks the shortcut", "check the label"
FEW = 10  # flagged images, below which nothing is extrapolated
LEAST_GAIN = 0.05  # of accuracy on the flagged validation images, below which a shortcut does not matter


@dataclass(frozen=True)
class Observations:
    """Who is right on which of V validation images after each of S trainings; (S, V) bool each."""

    flagged: np.ndarray  # misclassified by the seed's source of signals
    erm: np.ndarray
    debiased: np.ndarray
    control: np.ndarray
    cluster: np.ndarray  # (V,) int64, the same number for images that depend on each other


@dataclass(frozen=True)
class Evidence:
    """What the verdict rests on. Accuracies and intervals are over the flagged images; None where there are none."""

    seeds: int
    validation: int  # images
    flagged: int  # of them misclassified by the source in at least one seed
    clusters: int  # that these are
    erm: float | None
    debiased: float | None
    control: float | None
    gain: Interval | None  # debiased - erm
    lead: Interval | None  # debiased - control

    @property
    def verdict(self) -> Literal["shortcut", "none", "unclear"]:
        """Shortcut found, none found, or not enough evidence."""
        if self.gain is None or self.lead is None:
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
        if self.gain is None or self.lead is None:
            return None
        if self.gain.estimate < LEAST_GAIN:
            times = [self.gain.images_to_see(LEAST_GAIN - self.gain.estimate)]
        else:
            times = [each.images_to_see(each.estimate) for each in (self.gain, self.lead)]
        known = [each for each in times if each is not None]
        if len(known) < len(times):
            return None
        number = max(1, math.ceil((max(known) - 1) * self.validation))
        unit = 10 ** max(0, len(str(number)) - 2)
        return math.ceil(number / unit) * unit

    @property
    def reason(self) -> str:
        """The numbers in words."""
        text = f"The source of signals flags {self.flagged:,} of {self.validation:,} validation images"
        if self.gain is None or self.lead is None:
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
        assert self.gain is not None and self.lead is not None
        if self.clusters < FEW:
            return (f"Fewer than {FEW} flagged images do not allow an estimate; more validation images are needed "
                    "(dataset.val_share sets their share of a folder).")  # fmt: skip
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
    signals: dict[str, Signals]  # of every split that the source judges
    opinions: dict[str, Opinion]  # of the same splits; empty in pixels
    observations: Observations
    evidence: Evidence
    typical: Split  # synthetic images, or the training images if the source needs no synthetic ones
    typical_loss: np.ndarray  # (M,) of the source, in nats: the lowest are the most typical of their class
    precision: float | None  # of the flagged training images against bias labels; None without bias labels
    recall: float | None
    amplifier: Stage


def audit_graph(config: ExperimentConfig) -> Graph:
    """What the verdict needs, for every seed. Raises DDBError where a row is chosen by the validation images."""
    # The audit needs the recipe itself, also if it would harm.
    recipe = {name: value for name, value in (config.methods.get(RECIPE) or {}).items() if name != "safeguard"}
    rows = {BASELINE: config.methods.get(BASELINE) or {}, RECIPE: recipe, CONTROL: recipe | {"method": CONTROL}}
    config = config.model_copy(update={"methods": rows, "memorisation": False})
    for row in methods(config):
        if row.settings.selection != "last":
            raise DDBError(f"methods.{row.label}.selection: {row.settings.selection} chooses by the validation images, "
                           "which are the audit's evidence; ddb audit needs last")  # fmt: skip
    return build_graph(Experiment((Point({}, config),)))


def audit(graph: Graph, store: Store) -> AuditResult:
    """From the finished stages of an `audit_graph`. Raises DDBError where they are not there."""
    dataset = prepared.read(store.path(graph.data))
    seeds = graph.config.seeds
    cells = {name: [_cell(graph, store, seed, name) for seed in seeds] for name in (BASELINE, RECIPE, CONTROL)}
    right = {name: np.stack([_right(store, cell.stage) for cell in cells[name]]) for name in cells}
    amplifiers = [cell.classifier.inputs["amplifier"] for cell in cells[RECIPE]]
    of_val = [validation_signals(store.path(amplifier)) for amplifier in amplifiers]
    for each in of_val:
        check_signals(each, dataset["val"])
    flagged = np.stack([each.misclassified for each in of_val])  # (S, V)
    cluster = clusters(dataset, np.asarray(flagged.any(0)))
    observations = Observations(flagged, right[BASELINE], right[RECIPE], right[CONTROL], cluster)

    amplifier, aligned = amplifiers[0], dataset["train"].aligned
    files = {"train": "signals.parquet", "val": "signals_val.parquet", "test": "signals_test.parquet"}
    signals = {name: Signals.read(path) for name in files if (path := store.path(amplifier) / files[name]).exists()}
    quality = {"precision": None, "recall": None} if aligned is None else signal_quality(signals["train"], aligned)
    typical, loss = dataset["train"], signals["train"].loss
    if "synthetic" in amplifier.inputs:
        typical = synthetic.read(store.path(amplifier.inputs["synthetic"]))
        transform = ImageTransform(amplifier.config["amplifier"]["image_size"])
        loss = compute_signals(load_classifier(store.path(amplifier)), typical, transform).loss
    opinions: dict[str, Opinion] = {}
    if "features" in amplifier.inputs:
        features = store.path(amplifier.inputs["features"])
        layers = [table.with_features(dataset, features, layer) for layer in table.layers(features)]
        baseline = next(row for row in methods(graph.config) if row.label == BASELINE)
        if baseline.settings.network in HEADS:
            opinions = second_opinion(layers, signals, amplifier.config["amplifier"]["source"], baseline.settings)
    scores = (typical, loss, quality["precision"], quality["recall"], amplifier)
    return AuditResult(dataset, signals, opinions, observations, weigh(observations), *scores)


def weigh(seen: Observations) -> Evidence:
    """The evidence from who is right on which validation image."""
    counts = (len(seen.flagged), seen.flagged.shape[1], int(seen.flagged.any(0).sum()))
    number = len(np.unique(seen.cluster[seen.flagged.any(0)]))
    if not seen.flagged.any():
        return Evidence(*counts, number, None, None, None, None, None)
    erm, debiased, control = (float(right[seen.flagged].mean()) for right in (seen.erm, seen.debiased, seen.control))
    differences = (seen.debiased.astype(int) - other for other in (seen.erm, seen.control))
    gain, lead = (interval(difference, seen.flagged, seen.cluster) for difference in differences)
    return Evidence(*counts, number, erm, debiased, control, gain, lead)


def clusters(dataset: BiasedDataset, flagged: np.ndarray) -> np.ndarray:
    """(V,) int64: validation images with the same number depend on each other; `flagged` (V,) bool.

    They come from one source where the data set says so, as the colourings of a scan do, and elsewhere are nearly the
    same picture. Only flagged images are looked at for that: no other counts.
    """
    split, benchmark = dataset["val"], BENCHMARKS.get(dataset.name)
    if benchmark and benchmark.source:
        return np.unique([benchmark.source(path) for path in split.paths], return_inverse=True)[1]
    cluster, rows = np.arange(len(split)), np.flatnonzero(flagged)
    cluster[rows] = len(split) + near_duplicates(split.array[rows])
    return cluster


def scores(result: AuditResult) -> pd.DataFrame:
    """A row per image, the lowest score first.

    file_name is relative to the data set's folder, as in the metadata of Hugging Face's ImageFolder; the columns of the
    issue have the names of cleanlab: a low score, from 0 to 1, is bad.
    """
    table = pd.concat([_rows(result, name) for name in result.signals])
    return table.sort_values("shortcut_conflict_score", kind="stable")


def write_scores(result: AuditResult, directory: Path) -> list[Path]:
    """Write `conflicts.parquet` and `.csv`, as `scores` returns them, and `summary.json`."""
    table = scores(result)
    paths = [directory / name for name in ("conflicts.parquet", "conflicts.csv", "summary.json")]
    table.to_parquet(paths[0], index=False)
    table.to_csv(paths[1], index=False)
    evidence = result.evidence
    summary = {
        "verdict": evidence.verdict,
        "reason": evidence.reason,
        "gain": _bounds(evidence.gain),
        "lead": _bounds(evidence.lead),
        "seeds": evidence.seeds,
        "images": len(table),
        "flagged": int(table["is_shortcut_conflict_issue"].sum()),
        "flagged_validation_images": evidence.flagged,
        "source": result.amplifier.config["amplifier"]["source"],
        "precision": result.precision,
        "recall": result.recall,
    }
    paths[2].write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return paths


def _rows(result: AuditResult, name: str) -> pd.DataFrame:
    """The rows of one split."""
    signals, opinion, classes = result.signals[name], result.opinions.get(name), np.array(result.dataset.classes)
    columns = {
        "file_name": signals.paths,
        "split": name,
        "label": classes[signals.labels],
        "predicted": classes[signals.predicted],
        "loss": signals.loss,
        "is_shortcut_conflict_issue": signals.misclassified,
        "shortcut_conflict_score": signals.probability,
    }
    if opinion is not None:
        columns |= {
            "second_source_agrees": opinion.agrees,
            "neighbours_with_label": opinion.neighbours,
            "debiased_prediction": classes[opinion.predicted],
            "suggestion": suggestions(signals, opinion),
        }
    if (aligned := result.dataset[name].aligned) is not None:
        columns["bias_label_conflicting"] = ~aligned
    return pd.DataFrame(columns)


def suggestions(signals: Signals, opinion: Opinion) -> np.ndarray:
    """(N,) strings; empty for images that are not flagged."""
    flagged = np.where(opinion.check_label, CHECK_LABEL, BREAKS_SHORTCUT)
    return np.where(signals.misclassified, flagged, "")


def _bounds(found: Interval | None) -> dict[str, float] | None:
    return found and {"estimate": found.estimate, "low": found.low, "high": found.high}


def _cell(graph: Graph, store: Store, seed: int, method: str) -> Cell:
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
