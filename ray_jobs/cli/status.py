"""`ddb status`: how far an experiment or a search is. It reads the store, so it works from any machine."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ddb import progress
from ddb.errors import DDBError, headline
from ddb.experiment import config_file
from ddb.experiment.graph import Graph, build_graph
from ddb.experiment.status import STATES, StageStatus, counts, look
from ddb.progress import duration
from ddb.store import Store
from ray_jobs import journal
from ray_jobs.cli.arguments import STORE, ConfigArgument, Overrides, StoreOption
from ray_jobs.output import news, out, show
from slurm import queue

EXAMPLE = "ddb status configs/colored_digits.yaml --watch"
COLORS = {"done": "green", "running": "cyan", "failed": "red", "interrupted": "yellow"}
EVERY = 5.0  # seconds between two looks of --watch
NAMED = 20  # stages of a state that are named; --json has all

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Look again every few seconds until nothing is left.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for other programs.")]


def status(
    config: ConfigArgument,
    overrides: Overrides = None,
    watch: Watch = False,
    as_json: AsJson = False,
    store: StoreOption = STORE,
) -> None:
    """Print how many stages or trials are done, running or failed, how fast they are, and the time left.

    With -v, and where the output is no terminal, every stage is listed with its
    place in the store.
    """
    if "sweep" in config_file.read_file(config):
        from ddb.experiment.sweep import load_sweep

        sweep, opened = load_sweep(config, overrides), Store(store)
        facts = lambda: _of_search(sweep, opened)  # noqa: E731
    else:
        graph, opened = build_graph(config_file.load(config, overrides)), Store(store)
        facts = lambda: _of_experiment(graph, opened)  # noqa: E731

    def now() -> dict[str, Any]:
        return {"name": config.stem, "store": str(opened.root), **facts(), "jobs": queue.states(opened.root, config)}

    if as_json and watch:
        raise DDBError("--watch: not with --json, which prints one look")
    if as_json:
        sys.stdout.write(json.dumps(now(), indent=1) + "\n")
        return
    found = _watched(now) if watch else now()
    for line in _lines(found):
        out.print(line)
    if len(found["kinds"]) > 1:
        show(_table(found["kinds"]))
    if "stages" in found and (news.verbose or not out.is_terminal):  # a pipe goes to a program, which may want keys
        _list(found["stages"])


def show_stages(graph: Graph, found: list[StageStatus]) -> None:
    """Print every stage with its state and its place in the store."""
    from ddb.report.titles import stage_titles

    titles = stage_titles(graph)
    _list([_plain(each, titles[each.stage.key]) for each in found])


def _plain(each: StageStatus, title: str) -> dict[str, Any]:
    """A stage as plain values."""
    known = {"title": title, "state": each.state, "place": f"{each.stage.name}/{each.stage.key}"}
    if each.report:
        known |= {"progress": each.report, "owner": each.owner}
    return known | ({"error": each.error} if each.error else {})


def _list(stages: list[dict[str, Any]]) -> None:
    """By rich, 20,000 lines would take longer than everything else together."""
    width = max(len(each["title"]) for each in stages)
    lines = (f"{each['title']:{width}}  {each['state']:11}  {each['place']}" for each in stages)
    out.file.write("\n".join(lines) + "\n")


def _watched(now: Any) -> dict[str, Any]:
    """Shows what there is again and again; returns once nothing is left or the run has ended, and at Ctrl-C."""
    found, running = now(), False
    with Live(console=out, auto_refresh=False, transient=True) if out.is_terminal else _Repeated() as live:
        try:
            while found["left"] and not (running and not _is_running(found)):
                running = _is_running(found)
                live.update(Text("\n").join(_lines(found)), refresh=True)
                time.sleep(EVERY)
                found = now()
        except KeyboardInterrupt:
            pass
    return found


def _is_running(found: dict[str, Any]) -> bool:
    return bool(found["run"]) and found["run"]["state"] == "running"


class _Repeated:
    """Where there is no terminal: what has changed is printed again."""

    def __enter__(self) -> "_Repeated":
        self.last = ""
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, text: Text, refresh: bool) -> None:
        if text.plain != self.last:
            out.print(text)
            self.last = text.plain


def _of_experiment(graph: Graph, store: Store) -> dict[str, Any]:
    from ddb.report.titles import stage_titles

    run = _run(store, journal.identity(graph.stages()))
    since = run["time"] if run and run["state"] == "running" else 0.0
    found, titles = look(graph, store, since=since), stage_titles(graph)
    by_kind = counts(found)
    states = {state: sum(numbers[state] for numbers in by_kind.values()) for state in STATES}
    over = sum(states[state] for state in ("done", "failed", "blocked"))
    stages = [_plain(each, titles[each.stage.key]) for each in found]
    return {"unit": "stages", "total": len(found), "states": states, "left": len(found) - over, "kinds": by_kind,
            "stages": stages, "run": run}  # fmt: skip


def _of_search(sweep: Any, store: Store) -> dict[str, Any]:
    from ddb.experiment.sweep import STATES_OF_TRIALS, trials_of

    trials = trials_of(store.root / "sweeps" / sweep.key)
    states = {state: sum(each["state"] == state for each in trials) for state in STATES_OF_TRIALS.values()}
    over = sum(number for state, number in states.items() if state not in ("running", "waiting"))
    whole = [each for each in trials if each["state"] == "whole"]
    best = max(whole, key=lambda each: each["value"], default=None)
    graph = build_graph(sweep.experiment(sweep.default))
    total = max(sweep.settings.trials, len(trials))  # a run may have asked for more
    return {"unit": "trials", "total": total, "states": states, "left": total - over,
            "objective": sweep.settings.objective, "best": best, "kinds": counts(look(graph, store)),
            "run": _run(store, sweep.key)}  # fmt: skip


def _run(store: Store, identity: str) -> dict[str, Any] | None:
    """The run of the experiment that is under way, or else the newest."""
    run = next((run for run in journal.runs(store) if run.noted["identity"] == identity), None)
    if run is None:
        return None
    known = {name: run.noted.get(name) for name in ("command", "began", "time", "seconds_left", "slurm_job")}
    return known | {"state": run.state, "owner": run.owner, "log": str(run.log), "heard": time.time() - run.heard}


def _lines(found: dict[str, Any]) -> Iterator[Text]:
    """What a person wants to know first."""
    done = found["total"] - found["left"] if found["unit"] == "trials" else found["states"]["done"]
    text = Text(f"{found['name']} in {found['store']}: {done} of {found['total']} {found['unit']} ")
    text.append("are finished" if found["unit"] == "trials" else "are done")
    for state, number in found["states"].items():
        if number and state not in ("done", "to do"):
            text.append(f", {number} {state}", COLORS.get(state, ""))
    yield text
    if found.get("best"):
        best = found["best"]
        point = ", ".join(f"{name}={value}" for name, value in best["point"].items())
        yield Text(f"best {found['objective']} so far: {best['value']:.3f} ({point})")
    for state in ("running", "interrupted", "failed"):
        stages = [each for each in found.get("stages", ()) if each["state"] == state]
        for each in stages[:NAMED]:
            report = each.get("progress")
            how_far = progress.describe(report | ({} if state == "running" else {"rate": None})) if report else ""
            what = headline(each["error"]) if "error" in each else how_far
            yield Text(f"{state}: {each['title']}{f': {what}' if what else ''}", COLORS[state])
        if len(stages) > NAMED:
            yield Text(f"{state}: and {len(stages) - NAMED} more", COLORS[state])
    yield from map(Text, found["jobs"])
    if run := found["run"]:
        yield Text(_about(run))
    elif found["left"]:
        yield Text("no run of it is recorded in this store")


def _about(run: dict[str, Any]) -> str:
    """The run in a line."""
    where = f"SLURM job {run['slurm_job']}, " * bool(run["slurm_job"]) + run["owner"]
    if run["state"] != "running":
        ended = f"the last run ({where}, began {run['began']}) {_ENDED[run['state']]}; log: {run['log']}"
        if run["state"] == "finished":
            return ended
        return f"{ended}; " + ("submit it again to resume" if run["slurm_job"] else f"resume with: {run['command']}")
    left = run["seconds_left"]
    estimate = f"about {duration(left)} left for all; " if left else ""
    return f"{estimate}run by {where} since {run['began']}; log: {run['log']}"


_ENDED = {"finished": "finished", "failed": "failed", "interrupted": "was interrupted", "killed": "was killed"}


def _table(kinds: dict[str, Any]) -> Table:
    """Numbers of stages by kind and state, of the states that occur."""
    states = [state for state in STATES if any(numbers[state] for numbers in kinds.values())]
    table = Table("kind", "stages", *states)
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, numbers in kinds.items():
        cells = [Text(str(numbers[state] or "–"), COLORS.get(state, "") if numbers[state] else "") for state in states]
        table.add_row(kind, str(sum(numbers.values())), *cells)
    return table
