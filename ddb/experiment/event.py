"""What happens to the stages of a run: one `Event` after the other, for whoever shows or notes them."""

from dataclasses import dataclass, field
from typing import Any

from ddb import progress
from ddb.errors import headline
from ddb.store import Stage


@dataclass(frozen=True)
class Event:
    """Something to print."""

    kind: str  # started, progress, finished, failed, interrupted, elsewhere (another process is at it), shared, cached
    stage: Stage
    seconds: float = 0.0
    numbers: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    owner: str = ""

    def __str__(self) -> str:
        """What to say of it behind the name of the stage."""
        return {
            "progress": lambda: progress.describe(self.numbers),
            "finished": lambda: progress.duration(self.seconds),
            "failed": lambda: f"FAILED: {headline(self.error)}",
            "elsewhere": lambda: f"is being computed by {self.owner}; the rest goes on",
            "shared": lambda: "computed by another process",
        }.get(self.kind, lambda: self.kind)()
