"""The settings of an experiment, typed: every mistake is told in one line before work starts.

    config = check({"methods": {"erm": {}, "ddb_two_step": {"gamma": 2}}})      # from plain values
    [row.label for row in methods(config)]

Sections: `dataset`, `features`, `cdpm`, `sampling`, `amplifier`, `training` (defaults of every method), `methods`,
`seeds`, `memorisation`, and `resources`, which says how to compute and changes no number, so it is not hashed.
A method is `label: {settings}`; `method:` names it where the label is another, and `sampling:` and `amplifier:` in it
override those sections for this row alone. How a file becomes plain values: `ddb.experiment.config_file`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from ddb.data import DatasetSection
from ddb.diffusion.denoisers import DENOISERS
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.errors import DDBError
from ddb.features.settings import FeatureSettings
from ddb.recipes import Method, get_method
from ddb.settings import Settings, build, unknown
from ddb.signals import SOURCES
from ddb.signals.amplifier import AmplifierSettings
from ddb.stages.needs import ResourceSettings
from ddb.training.loop import TrainingSettings
from ddb.training.networks import HEADS, SMALLEST

OVERRIDABLE = {"sampling": SamplingSettings, "amplifier": AmplifierSettings}  # sections that a method may override


class ExperimentConfig(DatasetSection):
    """A configuration file with its defaults filled in."""

    features: FeatureSettings = Field(
        default_factory=FeatureSettings, description="for classifiers with network linear or mlp, and space features"
    )
    cdpm: CDPMSettings = Field(default_factory=CDPMSettings)
    sampling: SamplingSettings = Field(default_factory=SamplingSettings)
    amplifier: AmplifierSettings = Field(default_factory=AmplifierSettings)
    training: dict[str, Any] = Field(default_factory=dict, description="settings that every method starts from")
    methods: dict[str, dict[str, Any] | None] = Field(min_length=1, description="row label -> settings")
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, description="one repetition of everything per seed")
    memorisation: bool = Field(default=True, description="also train an amplifier on the real images, for its curve")
    resources: ResourceSettings = Field(default_factory=ResourceSettings)


@dataclass(frozen=True)
class MethodConfig:
    """One row of the table, resolved."""

    label: str
    method: Method
    settings: TrainingSettings
    sampling: SamplingSettings
    amplifier: AmplifierSettings


def check(values: dict[str, Any]) -> ExperimentConfig:
    """A checked configuration from plain values; also resolves every method, so that no mistake waits for its turn."""
    config = build(ExperimentConfig, values, "")
    if len(set(config.seeds)) != len(config.seeds) or min(config.seeds) < 0:
        raise DDBError(f"seeds: must be different numbers from 0 up (got {list(config.seeds)})")
    workers = config.resources.fixed_cdpm_workers
    if config.cdpm.batch_size % workers:
        raise DDBError(f"cdpm.batch_size: {config.cdpm.batch_size} is not divisible by {workers} workers "
                       "(resources.cdpm_workers)")  # fmt: skip
    if config.cdpm.pipeline is None:
        DENOISERS[config.cdpm.denoiser].check(config.cdpm, config.dataset.image_size)
    elif not (unet := Path(config.cdpm.pipeline) / "unet").is_dir():
        raise DDBError(f"cdpm.pipeline: no folder {unet}; diffusers' save_pretrained writes it")
    for row in methods(config):
        _check_row(row, config)
    return config


def _check_row(row: MethodConfig, config: ExperimentConfig) -> None:
    """Refuse what this row could only fail with later: too few synthetic images, no bias labels, images too small."""
    dataset = config.dataset
    wanted, drawn = row.amplifier.images_per_class, row.sampling.images_per_class
    if SOURCES[row.amplifier.source].needs_synthetic and wanted is not None and wanted > drawn:
        raise DDBError(f"amplifier.images_per_class: {wanted} asked for in row {row.label}, but "
                       f"sampling.images_per_class is {drawn}")  # fmt: skip
    source = row.amplifier.source
    if row.method.needs_synthetic and not SOURCES[source].needs_synthetic:
        raise DDBError(f"methods.{row.label}: trains an amplifier of its own on synthetic images; amplifier.source "
                       f"{source} provides none")  # fmt: skip
    if row.method.needs_synthetic and row.settings.network in HEADS:
        raise DDBError(f"methods.{row.label}.network: {row.settings.network} takes features, but its amplifier is "
                       "trained on images")  # fmt: skip
    if row.amplifier.file and not Path(row.amplifier.file).is_file():
        raise DDBError(f"amplifier.file: {row.amplifier.file}: No such file")
    if row.amplifier.generated and not Path(row.amplifier.generated).is_dir():
        raise DDBError(f"amplifier.generated: no folder {row.amplifier.generated}")
    temperature = getattr(row.settings, "temperature", 1)
    if temperature != 1 and source == "file":
        raise DDBError(f"methods.{row.label}.temperature: {temperature}, but amplifier.source file has no "
                       "log-probabilities to divide; use 1")  # fmt: skip
    oracle = "its method" if row.method.needs_groups else "selection val_worst_group"
    if not dataset.bias_labels and (row.method.needs_groups or row.settings.selection == "val_worst_group"):
        raise DDBError(f"methods.{row.label}: {oracle} needs bias labels, and {dataset.name} has none")
    layers = config.features.layers
    if row.amplifier.layer and layers and row.amplifier.layer not in layers:
        raise DDBError(f"amplifier.layer: {unknown(row.amplifier.layer, list(layers))}, of features.layers")
    for where, settings in ((f"methods.{row.label}", row.settings), ("amplifier", row.amplifier)):
        if settings.network in HEADS:
            continue
        size, smallest = settings.image_size or dataset.image_size, SMALLEST[settings.network]
        if size < smallest:
            raise DDBError(f"{where}.image_size: {settings.network} needs at least {smallest} pixels, not {size}")
        if settings.image_size and dataset.name == "colored_digits":
            raise DDBError(f"{where}.image_size: {dataset.name} has no files to read; set dataset.image_size")


def setting_value(config: ExperimentConfig, row: MethodConfig, name: str) -> Any:
    """What a setting, by its full name, comes to in a row. Raises KeyError where the row has no such setting."""
    section, _, rest = name.partition(".")
    if section == "methods":
        label, _, rest = rest.partition(".")
        if label != row.label:
            raise KeyError(name)
        section, _, inner = rest.partition(".")
        if section not in OVERRIDABLE:
            section, inner = "training", rest
        rest = inner
    own = {"training": row.settings, "sampling": row.sampling, "amplifier": row.amplifier}
    values = own[section] if section in own else getattr(config, section, None)
    if not isinstance(values, Settings) or rest not in type(values).model_fields:
        raise KeyError(name)
    return getattr(values, rest)


def methods(config: ExperimentConfig) -> list[MethodConfig]:
    """The rows of the table in the order of the file."""
    return [_method(config, label, dict(entry or {})) for label, entry in config.methods.items()]


def _method(config: ExperimentConfig, label: str, entry: dict[str, Any]) -> MethodConfig:
    try:
        method = get_method(entry.pop("method", label))
    except DDBError as error:
        raise DDBError(f"methods.{label}: {error}") from None
    sections = {}
    for name, model in OVERRIDABLE.items():
        values = getattr(config, name).model_dump() | (entry.pop(name, None) or {})
        sections[name] = build(model, values, f"methods.{label}.{name}")
    build(TrainingSettings, config.training, "training")
    settings = build(method.settings_class, {**config.training, **entry}, f"methods.{label}")
    return MethodConfig(label, method, settings, **sections)
