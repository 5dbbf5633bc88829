"""What a person sees while an experiment runs: a live table of stages on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ddb import progress
from ddb.errors import headline
from ddb.experiment.graph import Graph
from ddb.report.sheets import axis_title, value_text
from ddb.report.table import shown
from ddb.stages import KINDS
from ddb.store import Stage, Store

if TYPE_CHECKING:
    from ray_jobs.runner import Event  # imports torch and Ray, which who only wants titles need not wait for

ROWS = 20  # of running stages on a terminal
PLAIN_INTERVAL = 15.0  # seconds between two progress lines of a stage where there is no terminal


def titles(graph: Graph) -> dict[str, str]:
    """Every stage in words, by key: its name, what tells it from its siblings, its seed.

    A varied setting is named where all cells that need the stage have the same value of it, and others another one.
    """
    varied = {name for name in graph.cells[0].settings if len({repr(c.settings.get(name)) for c in graph.cells}) > 1}
    shared: dict[str, dict[str, Any]] = {}
    labels = {stage.key: cell.method for cell in graph.cells for stage in (cell.stage, cell.classifier)}
    for cell in graph.cells:
        for stage in cell.stage.ancestors():
            known = shared.setdefault(stage.key, {name: cell.settings[name] for name in varied & set(cell.settings)})
            shared[stage.key] = {name: v if cell.settings.get(name) == v else None for name, v in known.items()}
    return {stage.key: _title(stage, labels.get(stage.key, ""), shared.get(stage.key, {})) for stage in graph.stages()}


def _title(stage: Stage, label: str, settings: dict[str, Any]) -> str:
    told = KINDS[stage.name].subject(stage)
    parts = [stage.name, label or (told.config.get("amplifier") or {}).get("source", "")]
    if "dataset" in told.config:
        parts.append(told.config["dataset"]["name"])
    guidance = told.config["sampling"]["guidance"] if "sampling" in told.config else settings.get("sampling.guidance")
    parts.append("" if guidance is None else f"w={guidance:g}")
    parts += [f"{axis_title(name)}={value_text(v)}" for name, v in shown(settings).items() if v is not None]
    parts.append(f"seed {told.config['seed']}" if "seed" in told.config else "")
    return " ".join(part for part in parts if part)


class StageView:
    """Shows the events of a run; use it as a context and hand `notify` to `run_graph`."""

    def __init__(self, console: Console, store: Store, graph: Graph, total: int):
        self.console, self.store, self.total = console, store, total
        self.titles = titles(graph)
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
