"""A search over settings on Ray Tune with Optuna: trials share CDPM and images, and a killed search goes on.

    python -m ray_jobs.sweep configs/sweeps/colored_digits.yaml sweep.trials=40

The study's journal (Optuna) is the truth of what was tried; the store is the truth of what was computed. The same
command after `kill -9` reads both: ended trials stay, an interrupted point is queued again and finds its finished
stages. A trial holds no CPU: it plans its stages, and its stages run as any other, as many as fit.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from ddb import interrupt, yaml_text
from ddb.errors import DDBError, Interrupted, headline
from ddb.experiment.graph import Graph, build_graph
from ddb.experiment.results import Results
from ddb.experiment.sweep import STUDY, Sweep, as_json, ended, load_sweep, open_study, validation_numbers
from ddb.progress import duration
from ddb.report.search import search_tables
from ddb.report.titles import axis_title, value_text
from ddb.stages.needs import Capacity
from ddb.store import Stage, Store
from ddb.store.claim import Claim
from ray_jobs import cluster
from ray_jobs.cluster import connected
from ray_jobs.console import StageView
from ray_jobs.exit_codes import exit_codes, interruptible
from ray_jobs.job import make_ready, parse
from ray_jobs.journal import Journal
from ray_jobs.output import show
from ray_jobs.runner import run_graph

NUMBERS = ("val_pseudo_worst_group", "val_average", "val_worst_group")
TESTED = ("conflicting_accuracy", "worst_group_accuracy", "average_accuracy")  # looked at once the choice is made
HEAD = {"CPU": 0, "node:__internal_head__": 0.001}  # where a trial waits for its stages, without taking a CPU of theirs


@dataclass(frozen=True)
class Outcome:
    """One point of the space, trained to the end."""

    name: str  # default, chosen or oracle
    point: dict[str, Any]
    validation: dict[str, float]  # means over seeds
    test: dict[str, float]


@dataclass(frozen=True)
class SweepResult:
    """What a search came to."""

    folder: Path
    trials: list[FrozenTrial]  # those that are over
    outcomes: list[Outcome]  # of the default, the choice by the objective and, with bias labels, the oracle's choice


def run_sweep(sweep: Sweep, store: Store) -> SweepResult:
    """Search until `trials` are over. Raises DDBError where the default configuration itself fails."""
    folder = store.root / "sweeps" / sweep.key
    began = time.monotonic()
    store.open_to_write()
    folder.mkdir(parents=True, exist_ok=True)
    claim = Claim(folder / "claim")
    if not claim.take():
        raise DDBError(f"sweep {folder}: another process is at work on it ({claim.owner()})")
    try:
        study, storage = open_study(folder, sweep)
        judges = judge_stages(sweep)
        default = build_graph(sweep.experiment(sweep.default))
        missing = [stage for stage in default.stages() if not store.has(stage)]
        remaining = sweep.settings.trials - len(ended(study))
        if missing or remaining > 0:
            make_ready(default, missing)
            with Journal(store, sweep.path.stem, sweep.key) as journal, interruptible(), connected() as capacity:
                journal.tell(f"search {folder}: {_count(study, sweep)} are over")
                journal.tell(f"log: {journal.log}; stop with Ctrl-C, rerun the command to resume")
                if missing:
                    _compute_default(default, store, capacity, journal)
                _means(default, store, judges)  # a mistake of the objective is an error before the first trial
                if remaining > 0:
                    _search(sweep, study, storage, store, capacity, judges, remaining, journal)
                journal.tell(f"ended after {duration(time.monotonic() - began)}: {_count(study, sweep)} are over")
                if interrupt.requested():
                    raise Interrupted(f"interrupted: {_count(study, sweep)} are over; the same command goes on")
        if len(ended(study)) < sweep.settings.trials:
            raise DDBError(f"sweep: stopped after {_count(study, sweep)}; the same command goes on")
        return _result(sweep, folder, study, store, judges)
    finally:
        claim.release()


def _count(study: optuna.Study, sweep: Sweep) -> str:
    """How many trials are over."""
    return f"{len(ended(study))} of {sweep.settings.trials} trials"


def judge_stages(sweep: Sweep) -> dict[int, Stage]:
    """The default configuration's amplifier of every seed, whose pseudo-groups judge all trials."""
    cells = build_graph(sweep.experiment(sweep.default)).cells
    return {cell.seed: cell.classifier.inputs["amplifier"] for cell in cells if "amplifier" in cell.classifier.inputs}


def _compute_default(graph: Graph, store: Store, capacity: Capacity, journal: Journal) -> None:
    """Everything that trials share, and what they are compared with."""
    with StageView(graph, len(graph.stages()), journal) as view:
        outcome = run_graph(graph, store, capacity, view.notify)
    if outcome.interrupted:
        raise Interrupted("interrupted before the first trial; the same command goes on")
    for stage, error in outcome.failed.values():
        raise DDBError(f"sweep: the default configuration fails: {stage.name} {stage.key}: {headline(error)}")


class _Search(OptunaSearch):
    """OptunaSearch that tells Optuna which trials were stopped early: their last value is not a whole training's.

    When the search is asked to end, no trial begins any more, and one that was cut stays as a kill would have left it.
    """

    def __init__(self, *arguments: Any, last: int, **options: Any):
        super().__init__(*arguments, **options)
        self._last = last

    def suggest(self, trial_id: str) -> Any:
        return Searcher.FINISHED if interrupt.requested() else super().suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        whole = result is not None and result.get("rung") == self._last
        if interrupt.requested() and not whole:
            return
        if result is not None and not whole and not error:
            self.on_trial_result(trial_id, result)  # which Tune leaves out for the last one
        super().on_trial_complete(trial_id, result if whole else None, error)


class _Lines(tune.Callback):
    """A line for every trial that is over."""

    def __init__(self, objective: str, journal: Journal, remaining: int):
        self.objective, self.journal, self.remaining = objective, journal, remaining
        self.began, self.over = time.monotonic(), 0

    def __getstate__(self) -> dict:
        return {}  # Tune keeps copies of its callbacks, which nobody reads

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        result = trial.last_result or {}
        if self.objective in result:
            self._print(trial, f"{self.objective} {result[self.objective]:.3f} after {result['steps']} steps")
        else:
            self._print(trial, "interrupted")

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._print(trial, "failed")

    def _print(self, trial: Any, text: str) -> None:
        point = ", ".join(f"{axis_title(name)} {value_text(value)}" for name, value in trial.config.items())
        self.over += 1
        seconds = time.monotonic() - self.began
        left = seconds / self.over * (self.remaining - self.over)
        self.journal.note(unit="trials", done=self.over, total=self.remaining, seconds_left=round(left))
        self.journal.tell(f"[{self.over}/{self.remaining}] {point}: {text}; about {duration(left)} left")


def _search(
    sweep: Sweep,
    study: optuna.Study,
    storage: Any,
    store: Store,
    capacity: Capacity,
    judges: dict,
    remaining: int,
    journal: Journal,
) -> None:
    settings = sweep.settings
    rungs = settings.rungs or (1,)
    last = settings.reduction_factor ** (len(rungs) - 1)  # ASHA's clock: 1, f, f^2, ... at the first, second, ... rung
    sampler = optuna.samplers.TPESampler(seed=settings.seed + len(study.get_trials(deepcopy=False)))
    space = {name: dimension.distribution() for name, dimension in sweep.space.items()}
    options = {"metric": settings.objective, "mode": "max", "storage": storage, "study_name": STUDY}
    scheduler = None
    if settings.rungs:
        scheduler = ASHAScheduler("rung", settings.objective, "max", last, 1, settings.reduction_factor)
    resources = sweep.experiment(sweep.default).config.resources
    slots = int(capacity.gpus / resources.gpu_share) or capacity.cpus // resources.cpus_per_run
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(_trial, sweep=sweep, root=str(store.root), judges=judges, rungs=rungs),
            tune.PlacementGroupFactory([HEAD]),
        ),
        tune_config=tune.TuneConfig(
            search_alg=_Search(space, sampler=sampler, last=last, **options),
            scheduler=scheduler,
            num_samples=remaining,
            max_concurrent_trials=max(1, slots),
        ),
        run_config=tune.RunConfig(
            name=f"from-{time.strftime('%Y%m%d-%H%M%S')}",
            storage_path=str(store.root / "sweeps" / sweep.key / "tune"),
            callbacks=[_Lines(settings.objective, journal, remaining)],
            verbose=0,
        ),
    )
    tuner.fit()


def _trial(point: dict[str, Any], sweep: Sweep, root: str, judges: dict[int, Stage], rungs: tuple) -> None:
    """Runs on the cluster: one point of the space, rung by rung."""
    store = Store(root)
    for number, share in enumerate(rungs):
        graph = build_graph(sweep.experiment(point, share))
        outcome = run_graph(graph, store, cluster.capacity(), lambda event: None)
        if outcome.interrupted:
            return  # without a report: the same command begins this trial again, and finds what is finished
        for stage, error in outcome.failed.values():
            raise DDBError(f"{stage.name} {stage.key}: {headline(error)}")
        rung = sweep.settings.reduction_factor**number
        tune.report(_means(graph, store, judges) | {"rung": rung, "steps": graph.cells[0].row.settings.steps})


def _means(graph: Graph, store: Store, judges: dict[int, Stage]) -> dict[str, float]:
    """The validation numbers, each the mean over seeds."""
    folders = {seed: store.path(judge) for seed, judge in judges.items()}
    made = Results(graph, store).predictions("val")
    found = [validation_numbers(made[made["seed"] == cell.seed], folders.get(cell.seed)) for cell in graph.cells]
    return {name: fmean(each[name] for each in found) for name in NUMBERS if name in found[0]}


def _result(sweep: Sweep, folder: Path, study: optuna.Study, store: Store, judges: dict[int, Stage]) -> SweepResult:
    """The choice among the default and all whole trials, and the files that say so."""
    trials = ended(study)
    points = {"default": sweep.default}
    whole = [trial.params for trial in trials if trial.state == TrialState.COMPLETE]
    judged = [(point, _means(build_graph(sweep.experiment(point)), store, judges)) for point in [sweep.default, *whole]]
    points["chosen"] = max(judged, key=lambda each: each[1][sweep.settings.objective])[0]  # ties: the earlier
    if "val_worst_group" in judged[0][1]:
        points["oracle"] = max(judged, key=lambda each: each[1]["val_worst_group"])[0]
    outcomes = []
    for name, point in points.items():
        graph = build_graph(sweep.experiment(point))
        metrics = [store.read_json(cell.stage, "metrics") for cell in graph.cells]
        test = {metric: fmean(each[metric] for each in metrics) for metric in TESTED if metric in metrics[0]}
        outcomes.append(Outcome(name, point, _means(graph, store, judges), test))
    best = sweep.experiment(points["chosen"]).config.model_dump(mode="json")
    header = f"# Chosen by {sweep.settings.objective} among {len(trials)} trials of {sweep.path}:\n#   ddb run FILE\n"
    (folder / "best.yaml").write_text(header + yaml_text.write(best), encoding="utf-8")
    tried = {
        "sweep": str(sweep.path),
        "settings": sweep.settings.model_dump(mode="json"),
        "outcomes": [vars(outcome) for outcome in outcomes],
        "trials": [as_json(trial) for trial in trials],
    }
    (folder / ".sweep").write_text(json.dumps(tried, indent=1) + "\n")
    (folder / ".sweep").replace(folder / "sweep.json")
    return SweepResult(folder, trials, outcomes)


def main() -> None:
    """Command line of the module: CONFIG [KEY=VALUE ...] [--store DIR]."""
    arguments = parse(__doc__)
    with exit_codes():
        sweep = load_sweep(arguments.config, arguments.overrides)
        run_sweep(sweep, Store(arguments.store))
        for table in search_tables(sweep, Store(arguments.store).root / "sweeps" / sweep.key):
            show(table)
    sys.exit(0)


if __name__ == "__main__":
    # Under its own name: what belongs to __main__ would be pickled by value, console and all.
    from ray_jobs.sweep import main as run_main

    run_main()
