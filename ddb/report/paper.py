"""The numbers that the paper prints (`paper.json`, from its tables 1 to 3), and when ours may stand beside them.

They do where the setting is that of our benchmark: data set and the method's own settings, and CDPM, sampling and
amplifier where the method uses them, equal those of `configs/benchmarks/<name>.yaml`, whose comments tell each value's
origin. A gap between the two is a claim about the method, so it is printed only for the rows in SEEN; otherwise the
paper's number stands for orientation.
"""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ddb.experiment.config_file import CONFIGS

if TYPE_CHECKING:
    from ddb.experiment.config import ExperimentConfig, MethodConfig

METHODS = {  # ours -> the paper's name
    "erm": "ERM",
    "group_dro": "GroupDRO",
    "jtt": "JTT",
    "lff": "LfF",
    "ddb_two_step": "DDB-I",
    "ddb_two_step_error_set": "DDB-I (error set)",
    "ddb_end_to_end": "DDB-II",
}

# Data set -> rows of its benchmark of which every value was seen in the paper or its authors' code. None: the settings
# of the classifiers' training were found nowhere.
SEEN: dict[str, tuple[str, ...]] = {}


def published(config: "ExperimentConfig", row: "MethodConfig", amplified: bool) -> dict[str, dict[str, float | None]]:
    """{metric: {"mean", "std"}} in [0, 1] of the paper's row; empty where it has none or the setting is another.

    `amplified` says whether CDPM, sampling and amplifier have a part in the row.
    """
    found = _tables().get(config.dataset.name, {}).get(METHODS.get(row.method.name, ""))
    if not found or not _papers_setting(config, row, amplified):
        return {}
    return {
        metric: {"mean": mean / 100, "std": None if std is None else std / 100} for metric, (mean, std) in found.items()
    }


def _papers_setting(config: "ExperimentConfig", row: "MethodConfig", amplified: bool) -> bool:
    reference, rows = _reference(config.dataset.name)
    same = next((r for r in rows if r.method.name == row.method.name), None)
    data = [c.dataset.model_dump(exclude={"root"}) for c in (config, reference)]
    if same is None or row.settings != same.settings or data[0] != data[1]:
        return False
    ours, theirs = (row.sampling, row.amplifier, config.cdpm), (same.sampling, same.amplifier, reference.cdpm)
    return not amplified or ours == theirs


def setting_is_known(dataset: str, label: str) -> bool:
    """Whether all that shapes the numbers of a row of `configs/benchmarks` was seen in the paper or its code."""
    return label in SEEN.get(dataset, ())


@cache
def _reference(dataset: str) -> "tuple[ExperimentConfig, list[MethodConfig]]":
    from ddb.experiment.config import methods
    from ddb.experiment.config_file import load

    config = load(CONFIGS / "benchmarks" / f"{dataset}.yaml").config
    return config, methods(config)


@cache
def _tables() -> dict[str, dict[str, dict[str, tuple[float, float | None]]]]:
    """Data set -> the paper's method -> our metric -> mean and std, in percent."""
    return json.loads(Path(__file__).with_name("paper.json").read_text())
