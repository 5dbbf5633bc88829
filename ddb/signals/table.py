"""The table of signals: one row for each real image, and what recipes make of it without bias labels.

    signals = Signals.read("signals.parquet")
    groups = pseudo_groups(signals.labels, error_set(signals))      # class x {aligned, conflicting}

A source of signals knows the bias and little else, so the images that it gets wrong are those that break the bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ddb.data import Split
from ddb.errors import DDBError
from ddb.lazy import np, pa, pq


@dataclass(frozen=True)
class Signals:
    """What a source of signals says about each real image, row by row."""

    paths: list[str]  # (N,)
    labels: np.ndarray  # (N,) int64
    predicted: np.ndarray  # (N,) int64
    loss: np.ndarray  # (N,) float32, cross-entropy in nats
    probability: np.ndarray  # (N,) float32, of the label
    misclassified: np.ndarray  # (N,) bool; column `conflicting` on disk

    def write(self, path: str | Path) -> None:
        """One Parquet file, one row per image: path, label, predicted, loss, probability, conflicting."""
        columns = {
            "path": pa.array(self.paths, pa.string()),
            "label": self.labels,
            "predicted": self.predicted,
            "loss": self.loss,
            "probability": self.probability,
            "conflicting": self.misclassified,
        }
        pq.write_table(pa.table(columns), path)

    @classmethod
    def read(cls, path: str | Path) -> Signals:
        """What `write` wrote. Raises DDBError where it is not there or lacks a column."""
        try:
            table = pq.read_table(path)
            column = {name: table[name].to_numpy() for name in ("label", "predicted", "loss", "probability")}
            return cls(
                table["path"].to_pylist(),
                *(column[name].copy() for name in column),
                table["conflicting"].to_numpy().astype(bool),
            )
        except (FileNotFoundError, pa.ArrowInvalid, KeyError) as error:
            raise DDBError(f"signals {path} cannot be read: {error}") from None


def validation_signals(amplifier: Path) -> Signals:
    """The signals on the validation images in an amplifier's result. Raises DDBError if its source has none."""
    path = amplifier / "signals_val.parquet"
    if not path.exists():
        raise DDBError("val_pseudo_worst_group: the source of the signals knows nothing of the validation images; add "
                       "their rows to amplifier.file")  # fmt: skip
    return Signals.read(path)


def error_set(signals: Signals) -> np.ndarray:
    """Every misclassified image, (N,) bool: the paper's "w/ err. set"."""
    return signals.misclassified.copy()


def filtered_error_set(signals: Signals, gamma: float) -> np.ndarray:
    """Misclassified *and* loss > mu + gamma * sigma, (N,) bool; mu, sigma (ddof 0) of all losses.

    The filter drops images that were misclassified by a little: hard ones, rather than conflicting ones.
    """
    loss = signals.loss.astype(np.float64)
    return signals.misclassified & (loss > loss.mean() + gamma * loss.std())


def pseudo_groups(labels: np.ndarray, conflicting: np.ndarray) -> np.ndarray:
    """(N,) int64: 2 * class + (1 if suspected of conflicting), numbered as the true groups in `ddb.data.groups`."""
    return 2 * labels + conflicting.astype(np.int64)


def check_signals(signals: Signals, split: Split) -> None:
    """Raise DDBError unless row i of the signals is image i of the split: a shifted signal would weight at random."""
    if signals.paths != split.paths or not np.array_equal(signals.labels, split.labels):
        raise DDBError(
            f"signals: their {len(signals.paths)} rows are not the {len(split)} images of the split in the same order"
        )


def signal_quality(signals: Signals, aligned: np.ndarray) -> dict[str, float | int | None]:
    """How well the signals find the truly conflicting images (`aligned` (N,) bool). Undefined numbers are None.

    precision and recall of the error set; auroc of the loss as a ranking; errors and conflicting, the two sets' sizes.
    """
    from sklearn.metrics import precision_score, recall_score, roc_auc_score  # takes seconds to import

    conflicting, wrong = ~aligned, signals.misclassified
    both_kinds = conflicting.any() and aligned.any()
    return {
        "precision": float(precision_score(conflicting, wrong)) if wrong.any() else None,
        "recall": float(recall_score(conflicting, wrong)) if conflicting.any() else None,
        "auroc": float(roc_auc_score(conflicting, signals.loss)) if both_kinds else None,
        "errors": int(wrong.sum()),
        "conflicting": int(conflicting.sum()),
    }
