"""UrbanCars (Li et al., CVPR 2023): urban and country cars with two shortcuts, background and co-occurring object.

    bg-0.95_co_occur_obj-0.95/train/obj-<o>_bg-<b>_co_occur_obj-<c>/*.jpg
    bg-0.5_co_occur_obj-0.5/{val,test}/obj-<o>_bg-<b>_co_occur_obj-<c>/*.jpg        (<o>, <b>, <c>: urban, country)

Files named `*_mask.png` are masks, not images. Metrics: I.D. accuracy and the BG, CoObj and BG+CoObj gaps
(`ddb.training.metrics`). The images are not distributed; users generate them with the authors' script.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

from ddb.data.dataset import BiasedDataset, Split
from ddb.data.files import FilesConfig, folders, images, listed
from ddb.errors import DDBError
from ddb.lazy import np

VALUES = ("urban", "country")
FOLDER = re.compile(r"obj-(urban|country)_bg-(urban|country)_co_occur_obj-(urban|country)")
PLACES = ("urbancars", "urban_cars")
# Images per split and group: class x (aligned, bg, co_occur_obj, both).
PUBLISHED = {"train": (3610, 190, 190, 10) * 2, "val": (125,) * 8, "test": (125,) * 8}
TRAIN, BALANCED = "bg-0.95_co_occur_obj-0.95/train", "bg-0.5_co_occur_obj-0.5"


class UrbanCarsConfig(FilesConfig):
    """Settings of UrbanCars."""

    bias_labels: ClassVar[bool] = True
    name: Literal["urbancars"] = "urbancars"


def index(config: UrbanCarsConfig, root: Path) -> BiasedDataset:
    """List the data set. Raises DDBError that names the folder at fault."""
    places = {"train": TRAIN, "val": f"{BALANCED}/val", "test": f"{BALANCED}/test"}
    splits = {name: _read(root / place, root) for name, place in places.items()}
    return BiasedDataset("urbancars", VALUES, {"bg": VALUES, "co_occur_obj": VALUES}, splits)


def _read(directory: Path, root: Path) -> Split:
    cells = {}  # path -> class, background, object
    for name in folders(directory):
        match = FOLDER.fullmatch(name)
        if not match:
            raise DDBError(f"{directory / name}: must be named obj-<o>_bg-<b>_co_occur_obj-<c>")
        pictures = [path for path in images(directory / name, root) if not path.endswith("_mask.png")]
        cells |= dict.fromkeys(pictures, tuple(VALUES.index(value) for value in match.groups()))
    values = np.array([*cells.values()], np.int64).reshape(-1, 3)
    disagrees = values[:, 1:] != values[:, :1]  # (N, 2)
    return listed(root, [*cells], values[:, 0], values[:, 1:], ~disagrees.any(axis=1), disagrees)
