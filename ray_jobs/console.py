"""What a person sees while an experiment runs: a live table of stages on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ddb import progress
from ddb.errors import headline
from ddb.experiment.graph import Graph
from ddb.report.titles import stage_titles
from ddb.store import Store

if TYPE_CHECKING:
    from ray_jobs.runner import Event  # imports torch and Ray

ROWS = 20  # of running stages on a terminal
PLAIN_INTERVAL = 15.0  # seconds between two progress lines of a stage where there is no terminal


class StageView:
    """Shows the events of a run; use it as a context and hand `notify` to `run_graph`."""

    def __init__(self, console: Console, store: Store, graph: Graph, total: int):
        self.console, self.store, self.total = console, store, total
        self.titles = stage_titles(graph)
        self.done, self.running = 0, {}  # key -> (stage, last progress event or None)
        self.shown_at: dict[str, float] = {}
        options = {"get_renderable": self._table, "refresh_per_second": 4, "transient": True}
        self.live = Live(console=console, **options) if console.is_terminal else None

    def __enter__(self) -> StageView:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error) -> None:
        if self.live:
            self.live.stop()

    def notify(self, event: Event) -> None:
        """Take one event of the run."""
        stage = event.stage
        if event.kind == "started":
            self.running[stage.key] = event
            self._line(f"{self.titles[stage.key]}: started")
        elif event.kind == "progress":
            self.running[stage.key] = event
            if not self.live and time.monotonic() - self.shown_at.get(stage.key, time.monotonic() - 9) > PLAIN_INTERVAL:
                self._line(f"{self.titles[stage.key]}: {progress_text(event)}")
                self.shown_at[stage.key] = time.monotonic()
            self.shown_at.setdefault(stage.key, time.monotonic())
        else:
            self.running.pop(stage.key, None)
            self.done += event.kind not in ("interrupted", "elsewhere")
            self._ended(event)

    def _ended(self, event: Event) -> None:
        where = self.store.path(event.stage)
        place = f"{where.parent.name}/{where.name}"
        title = self.titles[event.stage.key]
        if event.kind == "failed":
            self._line(f"{title}: FAILED: {headline(event.error)}", "red")
        elif event.kind == "interrupted":
            self._line(f"{title}: interrupted", "yellow")
        elif event.kind == "elsewhere":
            self._line(f"{title}: is being computed by {event.owner}; the rest goes on")
        elif event.kind == "shared":
            self._line(f"{title}: computed by another process -> {place}", "green")
        elif event.kind == "finished":
            self._line(f"{title}: {event.seconds:.0f} s -> {place}", "green")

    def _line(self, text: str, style: str | None = None) -> None:
        self.console.print(f"[{self.done}/{self.total}] {text}", style=style)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        running = list(self.running.values())
        for event in running[:ROWS]:
            table.add_row(Text("running", "cyan"), self.titles[event.stage.key], progress_text(event))
        if len(running) > ROWS:
            table.add_row("", f"and {len(running) - ROWS} more", "")
        return table


def progress_text(event: Event) -> str:
    """How far a running stage is."""
    return progress.describe(event.numbers) if event.kind == "progress" else "starting"
