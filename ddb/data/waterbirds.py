"""Waterbirds (Sagawa et al., ICLR 2020): landbirds and waterbirds, pasted on land or water.

    waterbird_complete95_forest2water2/metadata.csv and one folder of images per species

Group = class x place; a landbird on land and a waterbird on water are aligned. Validation and test are balanced over
places within a class, so the average that papers print weights the test groups by their shares of the training split.
Three species are known to be labelled waterbirds wrongly (Eastern Towhee, Western Meadowlark, Western Wood Pewee).
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from ddb.data.dataset import BiasedDataset
from ddb.data.files import FilesConfig
from ddb.data.metadata_csv import MetadataConfig
from ddb.data.metadata_csv import index as index_table

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


def published(config: WaterbirdsConfig) -> dict[str, tuple[int, ...]]:
    """Images per split and group."""
    return PUBLISHED


def index(config: WaterbirdsConfig, root: Path) -> BiasedDataset:
    """List the data set from its official table."""
    table = index_table(MetadataConfig(root=root), root)
    splits = {}
    for name, split in table.splits.items():
        aligned = split.bias[:, 0] == split.labels  # 0: land and landbird, 1: water and waterbird
        splits[name] = replace(split, aligned=aligned)
    return BiasedDataset("waterbirds", CLASSES, {"place": ("land", "water")}, splits)
