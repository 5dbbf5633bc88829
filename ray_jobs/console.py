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

if TYPE_CHECKING:
    from ray_jobs.runner import Event  # imports torch and Ray

ROWS = 20  # of running stages on a terminal
PLAIN_INTERVAL = 15.0  # seconds between two progress lines of a stage where there is no terminal


class StageView:
    """Shows the events of a run; use it as a context and hand `notify` to `run_graph`."""

    def __init__(self, console: Console, graph: Graph, total: int):
        self.console, self.total = console, total
        self.titles = stage_titles(graph)
        self.done, self.running = 0, {}  # key -> its last event
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
        kind, key = event.kind, event.stage.key
        if kind in ("started", "progress"):
            self.running[key] = event
        else:
            self.running.pop(key, None)
            self.done += kind not in ("interrupted", "elsewhere")
        place = f"{event.stage.name}/{key}"
        if kind == "started":
            self._line(key, "started")
        elif kind == "progress":
            now = time.monotonic()
            if not self.live and now - self.shown_at.setdefault(key, now) > PLAIN_INTERVAL:
                self._line(key, progress.describe(event.numbers))
                self.shown_at[key] = now
        elif kind == "failed":
            self._line(key, f"FAILED: {headline(event.error)}", "red")
        elif kind == "interrupted":
            self._line(key, "interrupted", "yellow")
        elif kind == "elsewhere":
            self._line(key, f"is being computed by {event.owner}; the rest goes on")
        elif kind == "shared":
            self._line(key, f"computed by another process -> {place}", "green")
        elif kind == "finished":
            self._line(key, f"{event.seconds:.0f} s -> {place}", "green")

    def _line(self, key: str, text: str, style: str | None = None) -> None:
        self.console.print(f"[{self.done}/{self.total}] {self.titles[key]}: {text}", style=style)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        running = list(self.running.values())
        for event in running[:ROWS]:
            text = progress.describe(event.numbers) if event.kind == "progress" else "starting"
            table.add_row(Text("running", "cyan"), self.titles[event.stage.key], text)
        if len(running) > ROWS:
            table.add_row("", f"and {len(running) - ROWS} more", "")
        return table
