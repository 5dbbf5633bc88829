"""BFFHQ (Kim et al. 2021; Lee et al. 2021): the target is age, the bias is gender.

    <pct>/align/<class>/*, <pct>/conflict/<class>/*, flat valid/* and test/*        (the original)
    train/align/<class>/*, train/conflict/<class>/*, flat valid/* and test/*        (also in use; `pct` must be train)

Names are `<id>_<target>_<bias>.png`: target 0 young (10-29), 1 old (40-59). The metric is the accuracy on the
conflicting test images; the average over all is reported beside it (some loaders drop the aligned ones silently).
"""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ddb.data.align_conflict import class_folders, read_splits
from ddb.data.dataset import BiasedDataset
from ddb.data.files import FilesConfig
from ddb.errors import DDBError

CLASSES = ("young", "old")
PLACES = ("bffhq",)
PUBLISHED = {"train": 19_200, "val": 1_000, "test": 1_000}  # of 0.5pct: 19,104 aligned and 96 conflicting


class BFFHQConfig(FilesConfig):
    """Settings of BFFHQ."""

    bias_labels: ClassVar[bool] = True
    name: Literal["bffhq"] = "bffhq"
    pct: Literal["0.5pct", "1pct", "2pct", "5pct", "train"] = Field(
        default="0.5pct", description="share of conflicting training images: the folder's name"
    )


def published(config: BFFHQConfig) -> dict[str, int]:
    """Images per split; of the training splits only the original's size is known to us."""
    return PUBLISHED if config.pct == "0.5pct" else {name: PUBLISHED[name] for name in ("val", "test")}


def index(config: BFFHQConfig, root: Path) -> BiasedDataset:
    """List the data set. Raises DDBError where the folder of `pct` is not there, naming those that are."""
    align = root / config.pct / "align"
    if not align.is_dir():
        there = sorted(path.parent.name for path in root.glob("*/align"))
        raise DDBError(f"dataset.pct: {align} is not there; {root} has {', '.join(there) or 'none'}")
    numbers = class_folders(align)
    if len(numbers) != 2:
        raise DDBError(f"{align}: BFFHQ has two classes, here are {', '.join(numbers)}")
    splits = read_splits(root, numbers, root / config.pct / "conflict", align)
    return BiasedDataset("bffhq", CLASSES, {"gender": ("gender 0", "gender 1")}, splits)
