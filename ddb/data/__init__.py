"""Benchmarks, one file each. A new one is a file with a settings class and `index`, and one line in `BENCHMARKS`."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import BeforeValidator, Field

from ddb.data import (
    align_conflict,
    bar,
    bffhq,
    colored_digits,
    folder,
    imagenet9,
    metadata_csv,
    pacs_biased,
    urbancars,
    waterbirds,
)
from ddb.data.colored_digits import ColoredDigitsConfig
from ddb.data.dataset import SPLITS, BiasedDataset, DatasetConfig, Split, group_names, groups
from ddb.data.files import DataMissing, FilesConfig, fingerprint, locate
from ddb.data.labels import doubts
from ddb.data.tree import left_out, walk
from ddb.settings import Settings, build


@dataclass(frozen=True)
class Benchmark:
    """What is known of a data set: its settings, how to list it, where it is looked for, what papers report of it."""

    settings: type[DatasetConfig]
    index: Callable[..., BiasedDataset]  # (settings, root) -> listed data set; of a built-in one: (settings)
    metric: str  # that papers compare
    places: tuple[str, ...] = ()  # below DDB_DATA; empty where it is built in, or only `root` can say
    # {split: images, or images per group or class}; a function of the settings where these decide it
    published: dict | Callable[..., dict] = field(default_factory=dict)
    marker: str = "."  # what a folder must hold to be taken for this data set
    size: tuple[int, int, int] | None = None  # classes, images to train and to validate on, for cost estimates
    version: int = 1  # of the code that reads it: increase it if the same files would give another data set
    source: Callable[[str], str] | None = None  # path -> what the image was made from, where several share it


BENCHMARKS = {
    "colored_digits": Benchmark(
        ColoredDigitsConfig, colored_digits.load, "conflicting_accuracy", source=colored_digits.scan_of),
    "waterbirds": Benchmark(
        waterbirds.WaterbirdsConfig, waterbirds.index, "worst_group_accuracy", waterbirds.PLACES,
        waterbirds.PUBLISHED, "metadata.csv", (2, 4795, 1199)),
    "bffhq": Benchmark(
        bffhq.BFFHQConfig, bffhq.index, "conflicting_accuracy", bffhq.PLACES,
        bffhq.published, "test", (2, 19_200, 1_000)),
    "bar": Benchmark(
        bar.BARConfig, bar.index, "average_accuracy", bar.PLACES,
        bar.published, "train", (6, 1746, 195)),
    "imagenet9": Benchmark(
        imagenet9.ImageNet9Config, imagenet9.index, "average_accuracy", imagenet9.PLACES,
        imagenet9.PUBLISHED, "train", (9, 54_600, 2_100)),
    "urbancars": Benchmark(
        urbancars.UrbanCarsConfig, urbancars.index, "id_accuracy", urbancars.PLACES,
        urbancars.PUBLISHED, urbancars.TRAIN, (2, 8_000, 1_000)),
    "pacs_biased": Benchmark(
        pacs_biased.PacsBiasedConfig, pacs_biased.index, "conflicting_accuracy", pacs_biased.PLACES,
        pacs_biased.PUBLISHED, "train", (4, 636, 160)),
    "metadata_csv": Benchmark(metadata_csv.MetadataConfig, metadata_csv.index, "worst_group_accuracy"),
    "align_conflict": Benchmark(align_conflict.AlignConflictConfig, align_conflict.index, "conflicting_accuracy"),
    "folder": Benchmark(folder.FolderConfig, folder.index, "average_accuracy"),
}  # fmt: skip


def _named(section: Any) -> Any:
    return {"name": "colored_digits"} | section if isinstance(section, dict) else section


if TYPE_CHECKING:
    AnyDatasetConfig = DatasetConfig
else:  # the settings class that `name` asks for
    AnyDatasetConfig = Annotated[
        Annotated[Union[tuple(each.settings for each in BENCHMARKS.values())], Field(discriminator="name")],  # noqa: UP007
        BeforeValidator(_named),
    ]


class DatasetSection(Settings):
    """The section `dataset` of a configuration; each data set has settings of its own."""

    dataset: AnyDatasetConfig = Field(default_factory=ColoredDigitsConfig)


def dataset_settings(section: Any) -> DatasetConfig:
    """A section `dataset`, checked. Raises DDBError, a line per mistake."""
    return build(DatasetSection, {} if section is None else {"dataset": section}, "").dataset


def load_dataset(config: DatasetConfig) -> BiasedDataset:
    """The data set that `config.name` names, checked; one of files is listed, not decoded.

    Every entry below the root is in a split, or counted in `reading`. Raises DataMissing where its folder is not there,
    and DDBError where it cannot be used.
    """
    benchmark = BENCHMARKS[config.name]
    if not isinstance(config, FilesConfig):
        return benchmark.index(config).validate()
    root = data_root(config)
    dataset = benchmark.index(config, root).validate()
    taken = [path for split in dataset.splits.values() for path in split.paths]
    told = (*dataset.reading, *doubts(dataset), *left_out(walk(root), taken, config.tables))
    return replace(dataset, reading=told)


def data_root(config: FilesConfig) -> Path:
    """The folder of a data set of files. Raises DataMissing where there is none."""
    benchmark = BENCHMARKS[config.name]
    return locate(config, benchmark.places or (config.name,), benchmark.marker)


__all__ = [
    "BENCHMARKS",
    "SPLITS",
    "Benchmark",
    "BiasedDataset",
    "DataMissing",
    "DatasetConfig",
    "DatasetSection",
    "FilesConfig",
    "Split",
    "data_root",
    "dataset_settings",
    "fingerprint",
    "group_names",
    "groups",
    "load_dataset",
]
