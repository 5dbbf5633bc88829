"""Waterbirds (Sagawa et al., ICLR 2020): landbirds and waterbirds, pasted on land or water.

    waterbird_complete95_forest2water2/metadata.csv and one folder of images per species

Group = class x place; a landbird on land and a waterbird on water are aligned. Validation and test are balanced over
places within a class, so the average that papers print weights the test groups by their shares of the training split.
Three species are known to be labelled waterbirds wrongly (Eastern Towhee, Western Meadowlark, Western Wood Pewee).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from ddb.data.dataset import BiasedDataset
from ddb.data.files import FilesConfig
from ddb.data.metadata_csv import MetadataConfig, from_table
from ddb.errors import DDBError
from ddb.lazy import np

CLASSES = ("landbird", "waterbird")
PLACES = ("waterbirds/waterbird_complete95_forest2water2", "waterbird_complete95_forest2water2", "waterbirds")
PUBLISHED = {  # images per split and group
    "train": (3498, 184, 1057, 56),
    "val": (467, 466, 133, 133),
    "test": (2255, 2255, 642, 642),
}


class WaterbirdsConfig(FilesConfig):
    """Settings of Waterbirds."""

    name: Literal["waterbirds"] = "waterbirds"

    @property
    def bias_labels(self) -> bool:
        return True

    @property
    def tables(self) -> tuple[str, ...]:
        return ("metadata.csv",)


def published(config: WaterbirdsConfig) -> dict[str, tuple[int, ...]]:
    """Images per split and group."""
    return PUBLISHED


def index(config: WaterbirdsConfig, root: Path) -> BiasedDataset:
    """List the data set from its official table."""
    table = from_table(MetadataConfig(root=root), root)
    for column, values in (("y", table.classes), ("place", table.bias_attributes["place"])):
        if strange := [value for value in values if value not in ("0", "1")]:
            raise DDBError(f"{root}/metadata.csv: column {column!r} says {strange[0]!r}; Waterbirds has 0 and 1")
    numbers = np.array(table.classes, np.int64), np.array(table.bias_attributes["place"], np.int64)
    splits = {}
    for name, split in table.splits.items():
        labels, bias = numbers[0][split.labels], numbers[1][split.bias]  # (N,), (N, 1): what the table says
        # 0: land and landbird, 1: water and waterbird
        splits[name] = replace(split, labels=labels, bias=bias, aligned=bias[:, 0] == labels)
    return BiasedDataset("waterbirds", CLASSES, {"place": ("land", "water")}, splits)
