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
    log_probabilities: np.ndarray | None = None  # (N, C) float32; None if the source has no more than a score

    @classmethod
    def of_logits(cls, logits: np.ndarray, split: Split) -> Signals:
        """The signals of a model with these logits (N, C), or log-probabilities, on the images of `split`."""
        return cls._of(log_softmax(logits), list(split.paths), split.labels.copy())

    @classmethod
    def _of(cls, log_probabilities: np.ndarray, paths: list[str], labels: np.ndarray) -> Signals:
        predicted = log_probabilities.argmax(1)  # (N,)
        loss = -log_probabilities[np.arange(len(labels)), labels]  # (N,)
        loss, probability, kept = (each.astype(np.float32) for each in (loss, np.exp(-loss), log_probabilities))
        return cls(paths, labels, predicted, loss, probability, predicted != labels, kept)

    @property
    def logits(self) -> np.ndarray:
        """The log-probabilities of a source that has them."""
        assert self.log_probabilities is not None
        return self.log_probabilities

    def with_logits(self, logits: np.ndarray) -> Signals:
        """Signals on the same images with other logits (N, C)."""
        return self._of(log_softmax(logits), self.paths, self.labels)

    def take(self, rows: np.ndarray) -> Signals:
        """The given rows, (M,) int64, in their order."""
        arrays = (self.labels, self.predicted, self.loss, self.probability, self.misclassified)
        kept = None if self.log_probabilities is None else self.log_probabilities[rows]
        return Signals([self.paths[row] for row in rows], *(each[rows] for each in arrays), log_probabilities=kept)

    def write(self, path: str | Path) -> None:
        """One Parquet file, one row per image: path, label, predicted, loss, probability, conflicting.

        And log_probabilities, a list with one number per class, if they are known.
        """
        columns = {
            "path": pa.array(self.paths, pa.string()),
            "label": self.labels,
            "predicted": self.predicted,
            "loss": self.loss,
            "probability": self.probability,
            "conflicting": self.misclassified,
        }
        if self.log_probabilities is not None:
            values = pa.array(self.log_probabilities.reshape(-1))
            columns["log_probabilities"] = pa.FixedSizeListArray.from_arrays(values, self.log_probabilities.shape[1])
        pq.write_table(pa.table(columns), path)

    @classmethod
    def read(cls, path: str | Path) -> Signals:
        """What `write` wrote. Raises DDBError where it is not there or lacks a column."""
        try:
            table = pq.read_table(path)
            columns = [table[name].to_numpy().copy() for name in ("label", "predicted", "loss", "probability")]
            known = "log_probabilities" in table.column_names
            kept = np.array(table["log_probabilities"].to_pylist(), np.float32) if known else None
            conflicting = table["conflicting"].to_numpy().astype(bool)
            return cls(table["path"].to_pylist(), *columns, misclassified=conflicting, log_probabilities=kept)
        except (FileNotFoundError, pa.ArrowInvalid, KeyError) as error:
            raise DDBError(f"signals {path} cannot be read: {error}") from None


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Normalised log-probabilities (N, C) float64 of logits (N, C)."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


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
        raise DDBError(f"signals: their {len(signals.paths)} rows are not the {len(split)} images of the split in the "
                       "same order")  # fmt: skip


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
