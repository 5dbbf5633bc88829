"""From a configuration file to the settings that it stands for: base, preset, overrides, and what it varies.

    experiment = load("configs/ablations/guidance.yaml", ["base=waterbirds", "seeds=[0]"])
    for point in experiment.points:         # one for each combination of the varied settings
        point.varied, point.config          # {"sampling.guidance": 0.5}, ExperimentConfig

    base: colored_digits          # a file, or the name of one in configs/ or configs/benchmarks/; ours lies over it
    vary:                         # every combination; a list of such sections: one grid after the other
      sampling.guidance: [0, 1, 3]
    presets: {fast: {...}}        # sets of changes by name; `preset=fast` on the command line applies one
    methods: {ddb_two_step: {}}   # of the base's rows these alone, with its settings

Later wins: base, file, preset, `key=value` overrides, varied settings. With a base, rows that need bias labels are left
out, with a note, for a data set that has none.
"""

import copy
import difflib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ddb import yaml_text
from ddb.data import dataset_settings
from ddb.errors import DDBError
from ddb.experiment.config import ExperimentConfig, check
from ddb.recipes import METHODS
from ddb.settings import unknown

CONFIGS = Path(__file__).parents[1] / "configs"  # a part of the package
EARLY = ("base", "vary", "preset")  # overrides of these decide which settings the others change
COMMON = ("seeds", "resources", "memorisation", "vary", "preset", "presets")  # the same at every point


@dataclass(frozen=True)
class Point:
    """One combination of the varied settings, resolved."""

    varied: dict[str, Any]  # full name of a setting -> its value here
    config: ExperimentConfig


@dataclass(frozen=True)
class Experiment:
    """Everything that a file asks for."""

    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()  # what was left out, and why

    @property
    def config(self) -> ExperimentConfig:
        """Of the first point; seeds, resources and memorisation are those of all."""
        return self.points[0].config

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Full names of the varied settings, in the order of the file."""
        return tuple(dict.fromkeys(name for point in self.points for name in point.varied))


def load(path: str | Path, overrides: list[str] | None = None) -> Experiment:
    """Read a configuration file and resolve it. Raises DDBError, a line per mistake."""
    return resolve(read_file(path), overrides, locate(path))


def resolve(values: dict[str, Any], overrides: list[str] | None = None, path: Path = Path()) -> Experiment:
    """Plain values of a file at `path`, changed by `overrides`, as checked settings of every point."""
    if "sweep" in values:
        raise DDBError(f"configuration {path}: holds a search, for ddb sweep, status, table and submit")
    values, late = copy.deepcopy(values), []
    for override in overrides or []:
        if override.partition("=")[0].partition(".")[0] in EARLY:
            _apply_early(values, override)
        else:
            late.append(override)
    combinations = list(_combinations(values.pop("vary", None)))
    for name in {override.partition("=")[0] for override in late} & {name for each in combinations for name in each}:
        raise DDBError(f"override {name}: {path} varies it; narrow it with vary.{name}=[...]")
    found = [_point(values, varied, late, path) for varied in combinations]
    notes = dict.fromkeys(note for _, left_out in found for note in left_out)
    return Experiment(tuple(point for point, _ in found), tuple(notes))


def _apply_early(values: dict[str, Any], override: str) -> None:
    """An override that decides what others change; that of an axis holds in each grid that has it, or else in all."""
    grids, name = values.get("vary"), override.partition("=")[0].removeprefix("vary.")
    if not isinstance(grids, list) or not override.startswith("vary."):
        apply_override(values, override)
        return
    grids = [grid for grid in grids if isinstance(grid, dict)]
    for grid in [grid for grid in grids if name in _flat(grid)] or grids:
        apply_override({"vary": grid}, override)


def _point(values: dict[str, Any], varied: dict[str, Any], late: list[str], path: Path) -> tuple[Point, list[str]]:
    if "base" in varied:
        values = values | {"base": varied["base"]}
    has_base = values.get("base") is not None
    values = over_base(values, path)
    presets = values.pop("presets", None) or {}
    if (name := values.pop("preset", None)) is not None:
        if name not in presets:
            raise DDBError(f"preset: {name!r} is not in {path}; {unknown(str(name), list(presets))}")
        values = _merged(values, presets[name])
    values = copy.deepcopy(values)
    for override in late:
        apply_override(values, override)
    for name, value in varied.items():
        if name != "base":
            _set(values, name.split("."), value, f"vary.{name}")
    _rows(values.get("methods"))
    notes = _leave_oracles_out(values) if has_base else []
    return Point(varied, check(values)), notes


def locate(path: str | Path) -> Path:
    """The file at `path`, or else the package's configuration of that name; `path` if neither exists."""
    path = Path(path)
    name = path.relative_to("configs") if path.is_relative_to("configs") else path
    places = (path, CONFIGS / name, CONFIGS / f"{name}.yaml", CONFIGS / "benchmarks" / f"{name}.yaml")
    return next((place for place in places if place.is_file()), path)


def names() -> dict[str, Path]:
    """The package's configurations: the shortest name that `locate` accepts -> file."""
    files = {path.relative_to(CONFIGS).with_suffix("").as_posix(): path for path in sorted(CONFIGS.rglob("*.yaml"))}
    return {name.removeprefix("benchmarks/"): path for name, path in files.items()}


def read_file(path: str | Path) -> dict[str, Any]:
    """The plain values of a configuration file. Raises DDBError if it does not exist or is not one."""
    found = locate(path)
    if not found.exists():
        known = {Path(name).name: name for name in sorted(names(), key=lambda name: -name.count("/"))}
        if near := difflib.get_close_matches(found.stem, known, n=1):
            raise DDBError(f"configuration {path}: No such file or directory; did you mean {known[near[0]]}?")
    values = yaml_text.read_file(found, "configuration")
    if not isinstance(values, dict):
        raise DDBError(f"configuration {path}: must hold sections such as 'methods:'")
    return values


def preset_changes(path: str | Path, overrides: list[str]) -> list[str]:
    """`section.setting: before -> after` for all that the preset among `overrides` changes at the first point."""
    without = [override for override in overrides if not override.startswith("preset=")]
    configs = (load(path, given).config for given in (without, overrides))
    old, new = (_flat(config.model_dump(mode="json")) for config in configs)
    return [f"{key}: {old.get(key)} -> {value}" for key, value in new.items() if old.get(key) != value]


def apply_override(values: dict[str, Any], override: str) -> None:
    """`sampling.guidance=3`: set a value in place; the value is YAML. Raises DDBError where it is not of that form."""
    name, separator, text = override.partition("=")
    if not separator or not all(name.split(".")):
        raise DDBError(f"override {override!r}: must be key=value, as in sampling.guidance=3")
    try:
        value = yaml_text.read(text)
    except ValueError as error:
        raise DDBError(f"override {override!r}: the value is not YAML: {error}") from None
    _set(values, name.split("."), value, f"override {override!r}")


def _set(values: dict[str, Any], path: list[str], value: Any, where: str) -> None:
    """Set the value at `path`, making sections on the way."""
    for part in path[:-1]:
        if values.get(part) is None:
            values[part] = {}
        values = values[part]
        if not isinstance(values, dict):
            raise DDBError(f"{where}: {part} is a value, not a section")
    values[path[-1]] = value


def _combinations(vary: Any) -> Iterator[dict[str, Any]]:
    """{setting: value} for every combination that `vary` asks for, each once; a single empty one where it is absent.

    An axis that is null, as an override can make it, is not varied.
    """
    grids = vary if isinstance(vary, list) else [vary or {}]
    if not grids:
        raise DDBError("vary: must not be empty")
    seen = []
    for grid in grids:
        if not isinstance(grid, dict):
            raise DDBError(f"vary: must be a section of setting: [values] (got {grid!r})")
        axes = {name: choices for name, choices in _flat(grid).items() if choices is not None}
        for name, choices in axes.items():
            if name.partition(".")[0] in COMMON:
                raise DDBError(f"vary.{name}: cannot be varied")
            if not isinstance(choices, list) or not choices:
                raise DDBError(f"vary.{name}: must be a list of values (got {choices!r})")
        for values in itertools.product(*axes.values()):
            combination = dict(zip(axes, values, strict=True))
            if combination not in seen:
                seen.append(combination)
                yield combination


def over_base(values: dict[str, Any], path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """`values` laid over the file that they name as `base`, which may have one itself; files `above` led here."""
    values = dict(values)
    name = values.pop("base", None)
    if name is None:
        return values
    found = _find(str(name), path)
    above = (*above, path.resolve())
    if found.resolve() in above:
        raise DDBError(f"base: {found} is, in the end, its own base")
    below = over_base(read_file(found), found, above)
    rows = _rows(values.pop("methods", None))
    known = _rows(below.pop("methods", None)) or {}
    merged = _merged(below, values)
    merged["methods"] = known if rows is None else {label: _row(label, row, known) for label, row in rows.items()}
    return merged


def _rows(rows: Any) -> dict[str, dict[str, Any] | None] | None:
    """The section `methods` as it stands. Raises DDBError where it is none."""
    inner = rows if isinstance(rows, dict) else {}
    for name, value in {"methods": rows, **{f"methods.{label}": row for label, row in inner.items()}}.items():
        if not isinstance(value, dict | None):
            raise DDBError(f"{name}: must be a section of settings (got {value!r})")
    return rows


def _row(label: str, entry: dict[str, Any] | None, known: dict[str, Any]) -> dict[str, Any]:
    """A row's settings over those that the base gives this label, or else the row's method."""
    entry = entry or {}
    return _merged(known.get(label) or known.get(entry.get("method", "")) or {}, entry)


def _find(name: str, path: Path) -> Path:
    for place in (path.parent / name, locate(name)):
        if place.is_file():
            return place
    known = [each.stem for folder in (CONFIGS, CONFIGS / "benchmarks") for each in folder.glob("*.yaml")]
    raise DDBError(f"base: {name!r} is no file and no configuration of ours; {unknown(name, known)}")


def _leave_oracles_out(values: dict[str, Any]) -> list[str]:
    """Drop, in place, the rows that need bias labels where the data set has none; returns a note for each."""
    dataset = dataset_settings(values.get("dataset"))
    if dataset.bias_labels:
        return []
    notes, common = [], (values.get("training") or {}).get("selection")
    for label, entry in list(values["methods"].items()):
        method = METHODS.get((entry or {}).get("method", label))
        selection = (entry or {}).get("selection", common)
        if (method and method.needs_groups) or selection == "val_worst_group":
            del values["methods"][label]
            notes.append(f"{label}: left out for {dataset.name}, which has no bias labels")
    return notes


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
