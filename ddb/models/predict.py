"""Predictions of a model for image files: a row for each, and a line for each that cannot be read.

    table, broken = predict(model, files([Path("my_images")]), lambda done, total: None)

Columns: file, class, probability and, if the model has its Bias Amplifier, conflict_score: 1 minus the probability that
the amplifier gives to the predicted class. It is high where the prediction is not what the bias suggests.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ddb import csv_text
from ddb.data.images import is_image_name, look_at, read_image
from ddb.errors import DDBError
from ddb.lazy import np, pd
from ddb.models.model import Model

BATCH = 16  # pictures of a network pass
COLUMNS = ("file", "file_name", "path")  # of a CSV; the first that it has


def files(named: list[Path]) -> list[Path]:
    """The image files that are named, that lie in a named folder at any depth, or that a CSV lists.

    Raises DDBError for what does not exist, for a CSV that cannot be read, and where there are no images.
    """
    found: list[Path] = []
    for path in named:
        if path.is_dir():
            inside = sorted(path.rglob("*"))
            found += [each for each in inside if is_image_name(each.name) and each.is_file()]
        elif path.suffix.lower() == ".csv":
            found += _listed(path)
        elif path.is_file():
            found.append(path)
        else:
            raise DDBError(f"{path}: no such file or folder")
    if not found:
        raise DDBError(f"{', '.join(map(str, named))}: no images")
    return list(dict.fromkeys(found))


def _listed(path: Path) -> list[Path]:
    """Paths of a CSV, relative to its folder."""
    try:
        table = csv_text.read(path)
    except OSError as error:
        raise DDBError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise DDBError(f"{path}: {error}") from None
    column = next((name for name in COLUMNS if name in table.columns), None)
    if column is None:
        raise DDBError(f"{path}: needs a column of paths, named {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}")
    return [path.parent / row[column] for row in table.rows]


def predict(
    model: Model, images: list[Path], progress: Callable[[int, int], None]
) -> tuple[pd.DataFrame, list[DDBError]]:
    """A row for each image that can be read, in their order, and what is wrong with the others."""
    rows, broken = [], []
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        pictures = list(look_at(part, read_image, os.cpu_count() or 1, lambda done, total: None))
        broken += [picture for picture in pictures if isinstance(picture, DDBError)]
        read = {str(path): p for path, p in zip(part, pictures, strict=True) if not isinstance(p, DDBError)}
        if read:
            rows.append(_rows(model, list(read), list(read.values())))
        progress(start + len(part), len(images))
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["file", "class", "probability"])
    return table, broken


def _rows(model: Model, names: list[str], pictures: list) -> pd.DataFrame:
    probabilities = model(pictures)  # (B, C)
    predicted = probabilities.argmax(1)  # (B,)
    columns = {
        "file": names,
        "class": [model.classes[label] for label in predicted],
        "probability": probabilities.max(1),
    }
    if model.amplifier:
        columns["conflict_score"] = 1 - model.amplifier(pictures)[np.arange(len(names)), predicted]
    return pd.DataFrame(columns)
