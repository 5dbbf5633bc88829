"""`file`: the signals of anyone's model, from a Parquet or CSV file with a row for each training image.

    amplifier: {source: file, file: scores.csv}

Columns: path (as in `ddb data describe` and in the records: relative to the data set's folder) and score, 0 or more,
the higher the more likely the image breaks the shortcut: a biased model's cross-entropy, where that is known. Optional:
conflicting (true or false), which images form the error set. Without it, these are the images whose score lies above
mean + standard deviation of the training images' scores, the paper's filter at gamma 1 (section 4.3). Rows of
validation images are used for `val_pseudo_worst_group`; other rows are ignored.
"""

from __future__ import annotations

from pathlib import Path

from ddb import csv_text
from ddb.data import Split
from ddb.errors import DDBError
from ddb.lazy import np, pa, pd
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.registry import Found, source
from ddb.signals.table import Signals
from ddb.training.loop import Context


@source("file", trains=False, own=("file",))
def file(train: Split, val: Split, synthetic: None, settings: AmplifierSettings, context: Context) -> Found:
    """Raises DDBError if the file cannot be read, or has not one row for each training image."""
    assert settings.file is not None  # AmplifierSettings checks it
    table = _read(settings.file, {*train.paths, *val.paths})
    missing = [path for path in train.paths if path not in table.index]
    if missing:
        raise DDBError(f"amplifier.file: {settings.file} has no row for {len(missing)} of {len(train)} training "
                       f"images, such as {missing[0]}")  # fmt: skip
    if "conflicting" not in table:
        score = table.loc[train.paths, "score"]
        table["conflicting"] = table["score"] > score.mean() + score.std(ddof=0)
    known = all(path in table.index for path in val.paths)
    return Found(_signals(table, train), _signals(table, val) if known else None)


def _read(name: str, paths: set[str]) -> pd.DataFrame:
    """The rows of the file for `paths`, which are the index. Raises DDBError."""
    try:
        table = pd.read_parquet(name) if Path(name).suffix == ".parquet" else _csv(Path(name))
    except (OSError, ValueError, pa.ArrowInvalid) as error:  # the last two: not a table
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DDBError(f"amplifier.file: {name} cannot be read: {reason}") from None
    for column in ("path", "score"):
        if column not in table:
            raise DDBError(f"amplifier.file: {name} has no column {column}; it has "
                           f"{', '.join(map(str, table.columns))}")  # fmt: skip
    table = table[table["path"].isin(paths)]
    score = pd.to_numeric(table["score"], errors="coerce")
    wrong = table[~np.isfinite(score) | (score < 0)]
    if len(wrong):
        raise DDBError(f"amplifier.file: {name}: the score of {wrong['path'].iloc[0]} is {wrong['score'].iloc[0]}; "
                       "scores are numbers from 0 up")  # fmt: skip
    if "conflicting" in table and table["conflicting"].dtype != bool:
        raise DDBError(f"amplifier.file: {name}: the column conflicting must be true or false in every row")
    twice = table["path"][table["path"].duplicated()]
    if len(twice):
        raise DDBError(f"amplifier.file: {name} has two rows for {twice.iloc[0]}")
    return table.assign(score=score.astype(np.float32)).set_index("path")


def _csv(path: Path) -> pd.DataFrame:
    """All columns as texts, but for `conflicting` where it is true or false in every row."""
    found = csv_text.read(path)
    table = pd.DataFrame(found.rows, columns=found.columns)
    if "conflicting" in table:
        values = table["conflicting"].str.lower()
        if values.isin(["true", "false"]).all():
            table["conflicting"] = values == "true"
    return table


def _signals(table: pd.DataFrame, split: Split) -> Signals:
    """A file does not say what a conflicting image was taken for: it is recorded as the next class."""
    rows = table.loc[split.paths]
    loss, conflicting = rows["score"].to_numpy(), rows["conflicting"].to_numpy(dtype=bool)
    predicted = np.where(conflicting, (split.labels + 1) % (split.labels.max() + 1), split.labels)
    return Signals(list(split.paths), split.labels.copy(), predicted, loss, np.exp(-loss), conflicting)
