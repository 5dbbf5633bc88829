"""What a person sees while an experiment runs: a live table of stages on a terminal, plain lines elsewhere."""

import time

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ddb import progress
from ddb.artifacts import Stage, Store
from ray_jobs.run_experiment import Event

PLAIN_INTERVAL = 15.0  # seconds between two progress lines of a stage where there is no terminal


def stage_title(stage: Stage) -> str:
    """A stage in words: its name, what tells it from its siblings, its seed."""
    detail = stage.config.get("method") or (stage.config.get("amplifier") or {}).get("source")
    if stage.name == "synthetic":
        detail = f"w={stage.config['sampling']['guidance']:g}"
    parts = [stage.name, str(detail or ""), f"seed {stage.config['seed']}" if "seed" in stage.config else ""]
    return " ".join(part for part in parts if part)


class StageView:
    """Shows the events of a run; use it as a context and hand `notify` to `run_plan`."""

    def __init__(self, console: Console, store: Store, total: int):
        self.console, self.store, self.total = console, store, total
        self.done, self.running = 0, {}  # key -> (stage, last progress event or None)
        self.shown_at: dict[str, float] = {}
        self.live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> "StageView":
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
            self._line(f"{stage_title(stage)}: started")
        elif event.kind == "progress":
            self.running[stage.key] = event
            if not self.live and time.monotonic() - self.shown_at.get(stage.key, time.monotonic() - 9) > PLAIN_INTERVAL:
                self._line(f"{stage_title(stage)}: {progress_text(event)}")
                self.shown_at[stage.key] = time.monotonic()
            self.shown_at.setdefault(stage.key, time.monotonic())
        else:
            self.running.pop(stage.key, None)
            self.done += 1
            self._ended(event)
        if self.live:
            self.live.update(self._table())

    def _ended(self, event: Event) -> None:
        where = self.store.path(event.stage)
        place = f"{where.parent.name}/{where.name}"
        if event.kind == "failed":
            first = event.error.strip().splitlines()[-1] if event.error.strip() else "no message"
            self._line(f"{stage_title(event.stage)}: FAILED: {first}", "red")
        elif event.kind == "finished":
            self._line(f"{stage_title(event.stage)}: {event.seconds:.0f} s -> {place}", "green")

    def _line(self, text: str, style: str | None = None) -> None:
        self.console.print(f"[{self.done}/{self.total}] {text}", style=style, markup=False, highlight=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for event in self.running.values():
            table.add_row("[cyan]running[/]", escape(stage_title(event.stage)), escape(progress_text(event)))
        return table


def progress_text(event: Event) -> str:
    """How far a running stage is."""
    return progress.describe(event.numbers) if event.kind == "progress" else "starting"
