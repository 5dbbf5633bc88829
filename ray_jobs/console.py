"""What a person sees while an experiment runs: a live table of stages on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from rich.live import Live
from rich.table import Table
from rich.text import Text

from ddb.experiment.event import Event
from ddb.experiment.graph import Graph
from ddb.experiment.time_left import TimeLeft
from ddb.progress import duration
from ddb.report.titles import stage_titles
from ddb.stages import KINDS
from ddb.store import Stage
from ray_jobs.journal import Journal
from ray_jobs.output import news

ROWS = 20  # of running stages on a terminal
PLAIN_INTERVAL = 15.0  # seconds between two progress lines of a stage in the log, or where there is no terminal
WHOLE_INTERVAL = 60.0  # seconds between two lines about the whole
NOTE_INTERVAL = 2.0  # seconds between two notes of the journal
STYLES = {"failed": "red", "interrupted": "yellow", "shared": "green", "finished": "green"}


class StageView:
    """Shows and notes the events of a run; use it as a context and hand `notify` to what computes.

    `costs` answers with the seconds of each stage by a probe, by key, or with None as long as it does not know them.
    """

    def __init__(
        self, graph: Graph, total: int, journal: Journal, costs: Callable[[], dict[str, float] | None] | None = None
    ):
        self.total, self.journal, self.titles = total, journal, stage_titles(graph)
        self.done = self.failed = 0
        self.running: dict[str, Event] = {}  # key -> its last event
        self._costs, self._left = costs, TimeLeft()
        self._users: dict[str, list[str]] = {}  # key -> keys of the stages that need it
        for stage in graph.stages():
            for needed in stage.inputs.values():
                self._users.setdefault(needed.key, []).append(stage.key)
        self._told: dict[str, float] = {}  # what has lines at intervals -> when it had its last
        live = Live(console=news, get_renderable=self._table, refresh_per_second=4, transient=True)
        self.live = live if news.is_terminal and not news.quiet else None

    def __enter__(self) -> StageView:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            self.live.stop()
        self.journal.note(**self._numbers())

    def notify(self, event: Event) -> None:
        """Take one event of the run."""
        kind, key = event.kind, event.stage.key
        if kind in ("started", "progress"):
            self.running[key] = event
        else:
            self.running.pop(key, None)
            self.done += kind in ("finished", "shared", "cached")
            self.failed += kind == "failed"
        if kind == "progress":
            self._left.progress(key, event.numbers["step"] / event.numbers["total"])
            if self._is_due(key, PLAIN_INTERVAL):
                (self.journal.write if self.live else self.journal.tell)(self._line(key, str(event)))
        elif kind != "cached":
            if kind in ("finished", "shared"):
                self._left.progress(key, 1)
            self._told[key] = time.monotonic()  # its first line of progress comes later
            place = f" -> {event.stage.name}/{key}" if news.verbose and kind in ("finished", "shared") else ""
            self.journal.tell(self._line(key, f"{event}{place}"), STYLES.get(kind))
            if kind == "failed":
                self._left.drop(self._that_need(key))
            if kind == "failed" and "\n" in event.error:
                self.journal.write(event.error)
        if kind != "cached":
            self._whole()

    def _that_need(self, key: str) -> set[str]:
        """The stage and all that need it."""
        found, new = {key}, [key]
        while new:
            new = [user for user in self._users.get(new.pop(), []) if user not in found] + new
            found.update(new)
        return found

    def _whole(self) -> None:
        """How far everything is, at intervals."""
        if self._costs and (costs := self._costs()) is not None:
            self._left.estimate(costs)
            self._costs = None
            self._told["all"] = -WHOLE_INTERVAL
        if self._is_due("note", NOTE_INTERVAL):
            self.journal.note(**self._numbers())
        if self._is_due("all", WHOLE_INTERVAL) and (left := self._left.seconds()):
            (self.journal.write if self.live else self.journal.tell)(f"about {duration(left)} left for all stages")

    def _numbers(self) -> dict:
        left = self._left.seconds()
        return {"total": self.total, "done": self.done, "failed": self.failed, "seconds_left": left and round(left)}

    def _is_due(self, name: str, interval: float) -> bool:
        now = time.monotonic()
        if now - self._told.setdefault(name, now) < interval:
            return False
        self._told[name] = now
        return True

    def _line(self, key: str, text: str) -> str:
        return f"[{self.done}/{self.total}] {self.titles[key]}: {text}"

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        running = list(self.running.values())
        for event in running[:ROWS]:
            text = str(event) if event.kind == "progress" else "starting"
            table.add_row(Text("running", "cyan"), self.titles[event.stage.key], text)
        if len(running) > ROWS:
            table.add_row("", f"and {len(running) - ROWS} more", "")
        left = self._left.seconds()
        table.add_row("", f"{self.done} of {self.total} stages", f"about {duration(left)} left for all" if left else "")
        return table


def kinds_text(stages: list[Stage]) -> str:
    """How many stages of which kind: "1 cdpm, 6 classifier"."""
    counts = Counter(stage.name for stage in stages)
    return ", ".join(f"{counts[name]} {name}" for name in KINDS if name in counts)
