"""Benchmarks, one file each. A new one is a file with a settings class and `load`, and one line in `BENCHMARKS`."""

from ddb.data import colored_digits
from ddb.data.colored_digits import ColoredDigitsConfig
from ddb.data.dataset import SPLITS, BiasedDataset, Split, group_names, groups

BENCHMARKS = {"colored_digits": (ColoredDigitsConfig, colored_digits.load)}  # name -> (settings, loader)
DatasetConfig = ColoredDigitsConfig


def load_dataset(config: DatasetConfig) -> BiasedDataset:
    """The benchmark that `config.name` names, checked. Raises DDBError where it cannot be used."""
    return BENCHMARKS[config.name][1](config).validate()


__all__ = ["BENCHMARKS", "SPLITS", "BiasedDataset", "DatasetConfig", "Split", "group_names", "groups", "load_dataset"]
