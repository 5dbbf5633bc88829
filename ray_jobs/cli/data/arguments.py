"""What the commands about data sets share: a data set by its name, or a folder of images."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ddb.data import BENCHMARKS, DatasetConfig, dataset_settings
from ddb.errors import DDBError
from ddb.experiment.config_file import apply_override

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME|DIR", help="A name that ddb data list shows, or a folder of images.")
]


def dataset_config(name: str, overrides: list[str] | None) -> DatasetConfig:
    """Settings of a data set from its name, or of a folder of images, and KEY=VALUE overrides."""
    place = name not in BENCHMARKS and (Path(name).exists() or os.sep in name)  # the name of a data set comes first
    folder = place and Path(name).is_dir()
    if place and not folder:
        raise DDBError(f"{name}: not a folder, and no data set has that name; an archive must be unpacked first")
    values = {"dataset": {"name": "folder", "root": name} if folder else {"name": name}}
    for override in overrides or []:
        apply_override(values, f"dataset.{override.removeprefix('dataset.')}")
    return dataset_settings(values["dataset"])
