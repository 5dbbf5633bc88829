"""A search over settings: what may vary, what is maximised, and the study that remembers every trial.

    sweep = load_sweep("configs/sweeps/colored_digits.yaml", ["sweep.trials=5"])
    sweep.experiment({"sampling.guidance": 3, "methods.ddb_two_step.gamma": 1.5})
    study, storage = open_study(folder, sweep)          # Optuna's; `optuna-dashboard <folder>/journal.log` shows it

    sweep:
      trials: 20
      space:
        sampling.guidance: {choices: [0, 1, 3]}
        methods.ddb_two_step.gamma: {uniform: [0, 3]}

The test split has no part in it. The objective is a number of the validation split, the mean over seeds; where it is
the worst pseudo-group, the pseudo-groups are those of the *default* configuration's amplifier in every trial, since a
trial that could choose its own groups would win with an amplifier that finds none.
"""

import hashlib
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field, model_validator

from ddb.errors import DDBError
from ddb.experiment.config import ExperimentConfig, MethodConfig, methods, setting_value
from ddb.experiment.config_file import Experiment, apply_override, locate, read_file, resolve
from ddb.experiment.graph import build_graph
from ddb.json_lines import mend
from ddb.settings import Settings, build
from ddb.signals.table import error_set, pseudo_groups, validation_signals
from ddb.store import KEY_LENGTH, canonical_json
from ddb.training.metrics import worst

if TYPE_CHECKING:
    import pandas as pd

COUNT = "sampling.images_per_class"
STATES_OF_TRIALS = {
    TrialState.COMPLETE: "whole",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
STUDY = "ddb"  # its name in the journal
INTERRUPTED = "interrupted"  # user attribute of a trial whose driver was killed: its point is queued again
AGAIN = "again"  # user attribute of the trial that repeats it: the number of the interrupted one


class Dimension(Settings):
    """Values that one setting may take; exactly one of the four."""

    choices: tuple[Any, ...] | None = Field(default=None, min_length=1)
    uniform: tuple[float, float] | None = None
    log_uniform: tuple[float, float] | None = None
    integers: tuple[int, int] | None = Field(default=None, description="both ends included")

    @model_validator(mode="after")
    def _consistent(self):
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"must be one of choices, uniform, log_uniform, integers, not {given or 'none'}")
        if given[0] != "choices":
            low, high = getattr(self, given[0])
            if not low < high or (given[0] == "log_uniform" and low <= 0):
                raise ValueError(f"{given[0]} must go from a lower to a higher value, log_uniform above 0")
        return self

    def ends(self) -> tuple[Any, ...]:
        """All choices, or the two ends of the interval."""
        return self.choices or self.integers or self.uniform or self.log_uniform or ()

    def probes(self) -> tuple[Any, ...]:
        """Values that show whether all can be taken: the ends, and of an interval of numbers one that is not whole."""
        if self.choices is not None or self.integers is not None:
            return self.ends()
        low, high = self.ends()
        return low, low + (high - low) / math.e, high

    def including(self, value: Any) -> "Dimension":
        """With `value` among the choices, where there are choices: the default is always one of them."""
        if self.choices is None or value in self.choices:
            return self
        return self.model_copy(update={"choices": (*self.choices, value)})

    def contains(self, value: Any) -> bool:
        """Whether a trial may take `value`."""
        if self.choices is not None:
            return value in self.choices
        return value is not None and self.ends()[0] <= value <= self.ends()[1]

    def distribution(self) -> BaseDistribution:
        """Optuna's form of it."""
        if self.choices is not None:
            return CategoricalDistribution(self.choices)
        if self.integers is not None:
            return IntDistribution(*self.integers)
        low, high = self.ends()
        return FloatDistribution(low, high, log=self.log_uniform is not None)


class SweepSettings(Settings):
    """The section `sweep` of a configuration."""

    trials: int = Field(default=20, ge=1, description="points to try, the default configuration among them")
    space: dict[str, Dimension] = Field(min_length=1, description="setting -> values that it may take")
    objective: Literal["val_average", "val_worst_group", "val_pseudo_worst_group"] = Field(
        default="val_pseudo_worst_group",
        description="of the validation split; val_worst_group needs bias labels: an oracle",
    )
    rungs: tuple[float, ...] = Field(
        default=(),
        description="shares of the training steps after which weak trials stop (ASHA), the last 1; empty: none does",
    )
    reduction_factor: int = Field(default=2, ge=2, description="of every so many trials on a rung one goes on")
    seed: int = Field(default=0, ge=0, description="of the search (TPE)")

    @model_validator(mode="after")
    def _consistent(self):
        ascending = list(self.rungs) == sorted(set(self.rungs)) and len(self.rungs) > 1
        if self.rungs and not (ascending and self.rungs[0] > 0 and self.rungs[-1] == 1):
            raise ValueError("rungs must be two or more ascending shares above 0, the last 1")
        if self.rungs and any(name.endswith(".steps") and not name.startswith("amplifier.") for name in self.space):
            raise ValueError("the rungs vary the training steps already; the space cannot")
        return self


class Sweep:
    """A sweep file: its default configuration, and the experiment at any point of the space."""

    def __init__(self, values: dict[str, Any], overrides: list[str], path: Path):
        """`values` are those of the file at `path`. Raises DDBError, a line per mistake."""
        section = {"sweep": values.get("sweep")}
        if section["sweep"] is None:
            raise DDBError(f"configuration {path}: has no section 'sweep'")
        for override in overrides:
            if override.startswith("sweep."):
                apply_override(section, override)
        self.settings = build(SweepSettings, section["sweep"], "sweep")
        self.path, self.values = path, {name: value for name, value in values.items() if name != "sweep"}
        self.overrides = [override for override in overrides if not override.startswith("sweep.")]
        default = resolve(self.values, self.overrides, path)
        rows = methods(default.config)
        if len(default.points) != 1 or len(rows) != 1:
            raise DDBError(f"configuration {path}: a sweep is over one row of `methods` and has no `vary`")
        self.row = rows[0].label
        self._check_objective(default.config, rows[0])
        self.default = {name: self._value(default.config, rows[0], name) for name in self.settings.space}
        if COUNT in self.settings.space and "amplifier.images_per_class" in self.settings.space:
            raise DDBError(f"sweep.space: {COUNT} and amplifier.images_per_class are one; leave one out")
        self.steps = rows[0].settings.steps
        self.space = {name: each.including(self.default[name]) for name, each in self.settings.space.items()}
        for name, dimension in self.space.items():
            if not dimension.contains(self.default[name]):
                raise DDBError(f"sweep.space.{name}: must include the default, {self.default[name]!r}")
            for value in dimension.probes():
                self._check(name, value)

    def experiment(self, point: dict[str, Any], rung: float = 1) -> Experiment:
        """The experiment at a point (setting -> value) of the space, trained for such a share of its steps.

        Where the point says how many synthetic images there are, the largest number of the space is drawn for all
        points and the amplifier takes its first images.
        """
        varied = {name: [value] for name, value in point.items()}
        if COUNT in varied:
            varied["amplifier.images_per_class"] = varied.pop(COUNT)
            varied[COUNT] = [max(self.space[COUNT].ends())]
        if rung != 1:
            varied[f"methods.{self.row}.steps"] = [max(1, round(rung * self.steps))]
        defaults = [override for override in self.overrides if override.partition("=")[0] not in point]
        return resolve(self.values | {"vary": varied}, defaults, self.path)

    @property
    def key(self) -> str:
        """What the study depends on, hashed: with another space, default, data or code it is another study."""
        settings = self.settings.model_dump(mode="json", exclude={"trials", "seed"})
        default = [cell.stage.key for cell in build_graph(self.experiment(self.default)).cells]
        content = canonical_json({"sweep": settings, "default": default})
        return hashlib.sha256(content.encode()).hexdigest()[:KEY_LENGTH]

    def _check(self, name: str, value: Any) -> None:
        """Tell now what a trial would fail with, and what would change nothing."""
        config = self.experiment(self.default | {name: value}).config
        told = "amplifier.images_per_class" if name == COUNT else name
        if setting_value(config, methods(config)[0], told) != value:
            raise DDBError(f"sweep.space.{name}: changes nothing, as the row {self.row} sets it itself")

    def _check_objective(self, config: ExperimentConfig, row: MethodConfig) -> None:
        objective = self.settings.objective
        if objective == "val_worst_group" and not config.dataset.bias_labels:
            raise DDBError(f"sweep.objective: {objective} needs bias labels, and {config.dataset.name} has none")
        if objective == "val_pseudo_worst_group" and not row.method.needs_signals:
            raise DDBError(f"sweep.objective: {objective} needs a method with an amplifier, not {row.label}")

    @staticmethod
    def _value(config: ExperimentConfig, row: MethodConfig, name: str) -> Any:
        """The default of a setting by its full name, as this row has it."""
        section = name.partition(".")[0]
        if section in ("dataset", "cdpm"):
            raise DDBError(f"sweep.space.{name}: all trials share data set and CDPM; vary it in an experiment")
        try:
            if section == "resources":
                raise KeyError(name)
            return setting_value(config, row, name)
        except KeyError:
            raise DDBError(f"sweep.space.{name}: is no setting of the row {row.label} that can be searched") from None


def validation_numbers(found: "pd.DataFrame", judge: Path | None) -> dict[str, float]:
    """A cell's accuracy from its predictions on the validation split: on average and, if known, of the worst group.

    `val_pseudo_worst_group` is that of the worst of the pseudo-groups of the amplifier in the folder `judge`.
    """
    right = (found["predicted"] == found["label"]).to_numpy()  # (V,)
    numbers = {"val_average": float(right.mean())}
    if "group" in found:
        numbers["val_worst_group"] = worst(right, found["group"].to_numpy())
    if judge:
        signals = validation_signals(judge)
        assert signals.paths == found["path"].tolist()
        numbers["val_pseudo_worst_group"] = worst(right, pseudo_groups(signals.labels, error_set(signals)))
    return numbers


def load_sweep(path: str | Path, overrides: list[str] | None = None) -> Sweep:
    """Read a sweep file; overrides of `sweep.trials` and the like are among the others. Raises DDBError."""
    return Sweep(read_file(path), list(overrides or []), locate(path))


def open_study(folder: Path, sweep: Sweep) -> tuple[optuna.Study, JournalStorage]:
    """The study in `folder`, new with the default point in its queue, or as a killed driver left it, mended.

    A trial that was under way is marked and its point queued again, once, whenever a kill comes: first queued, then
    marked. A line of the journal that was cut is removed, which is said. The caller holds a lock on the folder.
    Raises DDBError for a journal that is damaged otherwise.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / "journal.log"
    if cut := mend(journal):
        print(f"{journal}: the last line was cut while it was written; its {cut} bytes are removed", file=sys.stderr)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(storage=storage, study_name=STUDY, direction="maximize", load_if_exists=True)
    trials = study.get_trials(deepcopy=False)
    if not trials:
        study.enqueue_trial(sweep.default)
    again = {trial.user_attrs.get(AGAIN) for trial in trials}
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            if trial.number not in again:  # a point that was queued is known even if its values are not written yet
                point = trial.system_attrs.get("fixed_params", {}) | trial.params
                study.enqueue_trial(point, user_attrs={AGAIN: trial.number})
            storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
            study.tell(trial.number, state=TrialState.FAIL)
    return study, storage


def trials_of(folder: Path) -> list[dict[str, Any]]:
    """All trials of the study in `folder`, also while a search goes on: number, state, point, value, rungs, seconds.

    Changes nothing. The state is of STATES_OF_TRIALS; a trial that a kill has interrupted is left out. Raises DDBError
    if the journal is damaged.
    """
    journal = folder / "journal.log"
    if not journal.exists():
        return []
    try:
        study = optuna.load_study(study_name=STUDY, storage=JournalStorage(JournalFileBackend(str(journal))))
    except KeyError:  # the search is just beginning
        return []
    except ValueError as error:
        raise DDBError(f"{journal}: damaged ({error})") from None
    return [as_json(each) for each in study.get_trials(deepcopy=False) if INTERRUPTED not in each.user_attrs]


def as_json(trial: FrozenTrial) -> dict[str, Any]:
    """A trial as plain values."""
    return {
        "number": trial.number,
        "state": STATES_OF_TRIALS[trial.state],
        "point": trial.system_attrs.get("fixed_params", {}) | trial.params,
        "value": trial.value,
        "rungs": trial.intermediate_values,
        "seconds": trial.duration and round(trial.duration.total_seconds(), 1),
    }


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that are over: whole, stopped early or failed, but not those that a kill interrupted."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state.is_finished() and INTERRUPTED not in trial.user_attrs]
