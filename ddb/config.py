"""The experiment as its author writes it: one YAML file, `key=value` overrides, every mistake told before work starts.

    config = load("configs/colored_digits.yaml", ["sampling.guidance=3", "seeds=[0]"])

Sections: `dataset`, `cdpm`, `sampling`, `amplifier`, `training` (defaults of every method), `methods`, `seeds`,
`memorisation`, and `resources`, which says how to compute and never changes what is computed, so it is not hashed.
A method is `label: {settings}`; `method:` names it where the label is another, and `sampling:` and `amplifier:` in it
override those sections for this row alone. A file may offer `presets`, sets of changes by name; `preset=fast` on the
command line applies one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, SerializeAsAny

from ddb.amplifier import AmplifierSettings
from ddb.backbones import SMALLEST
from ddb.data import BENCHMARKS
from ddb.data.colored_digits import ColoredDigitsConfig
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.errors import DDBError
from ddb.recipes import Method, get_method
from ddb.recipes.training import TrainingSettings
from ddb.settings import Settings, build, unknown

OVERRIDABLE = {"sampling": SamplingSettings, "amplifier": AmplifierSettings}  # sections that a method may override


class ResourceSettings(Settings):
    """How the work is spread out. Changes no number beyond floating-point summation order."""

    cdpm_workers: int = Field(1, ge=1, description="processes that train one CDPM, each on a GPU where there are any")
    checkpoint_every: int = Field(200, ge=1, description="CDPM steps between checkpoints")
    sampling_actors: int | None = Field(None, ge=1, description="null: one per GPU, or one per CPU")
    sampling_batch: int = Field(50, ge=1, description="images per network call of a sampling actor")
    cell_cpus: int = Field(
        1, ge=1, description="CPUs of each amplifier or target; as many processes load its images from files"
    )


class ExperimentConfig(Settings):
    """A configuration file with its defaults filled in."""

    dataset: SerializeAsAny[Settings] = Field(default_factory=ColoredDigitsConfig)
    cdpm: CDPMSettings = Field(default_factory=CDPMSettings)
    sampling: SamplingSettings = Field(default_factory=SamplingSettings)
    amplifier: AmplifierSettings = Field(default_factory=AmplifierSettings)
    training: dict[str, Any] = Field(default_factory=dict, description="settings that every method starts from")
    methods: dict[str, dict[str, Any] | None] = Field(min_length=1, description="row label -> settings")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="one repetition of everything per seed")
    memorisation: bool = Field(True, description="also train an amplifier on the real images, for its curve")
    resources: ResourceSettings = Field(default_factory=ResourceSettings)


@dataclass(frozen=True)
class MethodConfig:
    """One row of the table, resolved."""

    label: str
    method: Method
    settings: TrainingSettings
    sampling: SamplingSettings
    amplifier: AmplifierSettings


def load(path: str | Path, overrides: list[str] | None = None) -> ExperimentConfig:
    """Read a configuration file and apply preset and overrides, in this order. Raises DDBError, a line per mistake."""
    values = read_file(path)
    presets = values.pop("presets", None) or {}
    for override in overrides or []:
        if override.startswith("preset="):
            apply_override(values, override)
    if (name := values.pop("preset", None)) is not None:
        if name not in presets:
            raise DDBError(f"preset: {name!r} is not in {path}; {unknown(str(name), list(presets))}")
        values = _merged(values, presets[name])
    for override in overrides or []:
        if not override.startswith("preset="):
            apply_override(values, override)
    return resolve(values)


def read_file(path: str | Path) -> dict[str, Any]:
    """The plain values of a configuration file. Raises DDBError where it is none."""
    try:
        values = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DDBError(f"configuration {path}: {reason}") from None
    except yaml.YAMLError as error:
        raise DDBError(f"configuration {path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise DDBError(f"configuration {path}: must hold sections such as 'methods:'")
    return values


def preset_changes(path: str | Path, name: str) -> list[str]:
    """`section.setting: before -> after` for everything that a preset of the file changes."""
    values = read_file(path)
    before = resolve({key: value for key, value in values.items() if key not in ("preset", "presets")})
    after = load(path, [f"preset={name}"])
    old, new = (_flat(config.model_dump(mode="json")) for config in (before, after))
    return [f"{key}: {old.get(key)} -> {value}" for key, value in new.items() if old.get(key) != value]


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` laid over `values`, section by section."""
    result = dict(values)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if nested else value
    return result


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one level of dotted names."""
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def resolve(values: dict[str, Any]) -> ExperimentConfig:
    """A checked configuration from plain values; also resolves every method, so that no mistake waits for its turn."""
    config = build(ExperimentConfig, values | {"dataset": dataset_settings(values.get("dataset"))}, "")
    if len(set(config.seeds)) != len(config.seeds) or min(config.seeds) < 0:
        raise DDBError(f"seeds: must be different numbers from 0 up (got {list(config.seeds)})")
    workers = config.resources.cdpm_workers
    if config.cdpm.batch_size % workers:
        raise DDBError(f"cdpm.batch_size: {config.cdpm.batch_size} is not divisible by {workers} workers "
                       "(resources.cdpm_workers)")  # fmt: skip
    config.cdpm.check_image_size(config.dataset.image_size)
    for row in methods(config):
        _check_row(row, config.dataset)
    return config


def dataset_settings(values: Any) -> Settings:
    """The dataset section by its name, so that each benchmark has its own settings and messages. Raises DDBError."""
    if isinstance(values, Settings):
        return values
    if not isinstance(values, dict | None):
        raise DDBError(f"dataset: must be a section with a name (got {values!r})")
    name = (values or {}).get("name", "colored_digits")
    if name not in BENCHMARKS:
        raise DDBError(f"dataset.name: {name!r} is unknown; {unknown(str(name), list(BENCHMARKS))}")
    return build(BENCHMARKS[name].settings, values or {}, "dataset")


def _check_row(row: MethodConfig, dataset: Settings) -> None:
    """Refuse what this row could only fail with later: too few synthetic images, no bias labels, images too small."""
    wanted, drawn = row.amplifier.images_per_class, row.sampling.images_per_class
    if row.amplifier.source == "synthetic" and wanted is not None and wanted > drawn:
        raise DDBError(f"amplifier.images_per_class: {wanted} asked for in row {row.label}, but "
                       f"sampling.images_per_class is {drawn}")  # fmt: skip
    oracle = "its method" if row.method.needs_groups else "selection val_worst_group"
    if not dataset.bias_labels and (row.method.needs_groups or row.settings.selection == "val_worst_group"):
        raise DDBError(f"methods.{row.label}: {oracle} needs bias labels, and {dataset.name} has none")
    for where, settings in ((f"methods.{row.label}", row.settings), ("amplifier", row.amplifier)):
        size, smallest = settings.image_size or dataset.image_size, SMALLEST[settings.network]
        if size < smallest:
            raise DDBError(f"{where}.image_size: {settings.network} needs at least {smallest} pixels, not {size}")
        if settings.image_size and dataset.name == "colored_digits":
            raise DDBError(f"{where}.image_size: {dataset.name} has no files to read; set dataset.image_size")


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


def apply_override(values: dict[str, Any], override: str) -> None:
    """`sampling.guidance=3`: set a value in place; the value is YAML. Raises DDBError where it is not of that form."""
    name, separator, text = override.partition("=")
    path = name.split(".")
    if not separator or not all(path):
        raise DDBError(f"override {override!r}: must be key=value, as in sampling.guidance=3")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise DDBError(f"override {override!r}: the value is not YAML") from None
    for part in path[:-1]:
        if values.get(part) is None:
            values[part] = {}
        values = values[part]
        if not isinstance(values, dict):
            raise DDBError(f"override {override!r}: {part} is a value, not a section")
    values[path[-1]] = value


def json_schema() -> dict[str, Any]:
    """JSON Schema of a configuration file, for editors."""
    schema = ExperimentConfig.model_json_schema()
    datasets = {name: benchmark.settings.model_json_schema() for name, benchmark in BENCHMARKS.items()}
    schema["properties"]["dataset"] = {"anyOf": list(datasets.values())}
    return schema
