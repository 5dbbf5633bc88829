"""Ray as the run loop sees it, without processes: for tests of the loop alone."""

import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ddb.store import Stage


class PretendedRay:
    """A submitted task is finished after a random time within `seconds`; `done(stage)` is then its result."""

    def __init__(self, done: Callable[[Stage], Any], seconds: tuple[float, float]):
        self.done, self.seconds = done, seconds
        self.tasks: dict[int, tuple[float, Stage]] = {}

    def remote(self, **options: Any) -> Callable:
        """`ray.remote(...)(function).remote(...)`."""
        return lambda function: SimpleNamespace(remote=self._submit)

    def _submit(self, stage: Stage, *arguments: Any) -> int:
        self.tasks[len(self.tasks)] = (time.monotonic() + random.uniform(*self.seconds), stage)
        return len(self.tasks) - 1

    def wait(self, references: list[int], num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        """The finished tasks; sleeps for `timeout` if there are none."""
        finished = [reference for reference in references if self.tasks[reference][0] <= time.monotonic()]
        if not finished:
            time.sleep(timeout)
        return finished, []

    def cancel(self, reference: int, force: bool) -> None:
        """The task leaves nothing."""

    def get(self, reference: int) -> Any:
        """The task's result, or its exception."""
        return self.done(self.tasks[reference][1])
