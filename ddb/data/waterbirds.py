"""Waterbirds (Sagawa et al., ICLR 2020): landbirds and waterbirds, pasted on land or water.

    waterbird_complete95_forest2water2/metadata.csv and one folder of images per species

Group = class x place; a landbird on land and a waterbird on water are aligned. Validation and test are balanced over
places within a class, so the average that papers print weights the test groups by their shares of the training split.
Three species are known to be labelled waterbirds wrongly (Eastern Towhee, Western Meadowlark, Western Wood Pewee).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from ddb.data.dataset import BiasedDataset
from ddb.data.files import FilesConfig
from ddb.data.metadata_csv import MetadataConfig, from_table
from ddb.errors import DDBError
from ddb.lazy import np

CLASSES = ("landbird", "waterbird")
PLACES = ("waterbirds/waterbird_complete95_forest2water2", "waterbird_complete95_forest2water2", "waterbirds")
# Images per split and group.
PUBLISHED = {"train": (3498, 184, 1057, 56), "val": (467, 466, 133, 133), "test": (2255, 2255, 642, 642)}


class WaterbirdsConfig(FilesConfig):
    """Settings of Waterbirds."""

    bias_labels: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = ("metadata.csv",)
    name: Literal["waterbirds"] = "waterbirds"


def index(config: WaterbirdsConfig, root: Path) -> BiasedDataset:
    """List the data set from its official table."""
    table = from_table(MetadataConfig(root=root), root)
    columns = {"y": table.classes, "place": table.bias_attributes["place"]}
    for column, values in columns.items():
        if strange := [value for value in values if value not in ("0", "1")]:
            raise DDBError(f"{root}/metadata.csv: column {column!r} says {strange[0]!r}; Waterbirds has 0 and 1")
    classes, places = (np.array(values, np.int64) for values in columns.values())
    splits = {}
    for name, split in table.splits.items():
        labels, bias = classes[split.labels], places[split.bias]  # (N,), (N, 1): what the table says
        # 0: land and landbird, 1: water and waterbird
        splits[name] = replace(split, labels=labels, bias=bias, aligned=bias[:, 0] == labels)
    return BiasedDataset("waterbirds", CLASSES, {"place": ("land", "water")}, splits)
