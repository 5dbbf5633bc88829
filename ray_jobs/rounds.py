"""Looking at many things again and again without a shared file system noticing how many there are."""

import time
from collections import deque
from typing import Any


class Rounds:
    """Things to look at in turn: each at most every `interval` seconds, all together at most `rate` per second."""

    def __init__(self, interval: float, rate: float):
        self._interval, self._rate = interval, rate
        self._things: dict[Any, Any] = {}
        self._turn: deque[tuple[float, Any]] = deque()  # (not before this time, key)
        self._allowed, self._at = rate, time.monotonic()

    def __len__(self) -> int:
        return len(self._things)

    def add(self, key: Any, thing: Any) -> None:
        """Look at `thing` from now on."""
        if key not in self._things:
            self._turn.append((time.monotonic(), key))
        self._things[key] = thing

    def discard(self, key: Any) -> Any:
        """Look at it no more; what was added, or None."""
        return self._things.pop(key, None)

    def things(self) -> list[Any]:
        """All of them."""
        return list(self._things.values())

    def due(self) -> list[Any]:
        """Those whose turn it is now."""
        now, found = time.monotonic(), []
        self._allowed = min(self._rate, self._allowed + (now - self._at) * self._rate)
        self._at = now
        while self._turn and self._allowed >= 1 and self._turn[0][0] <= now:
            _, key = self._turn.popleft()
            if key in self._things:
                self._turn.append((now + self._interval, key))
                found.append(self._things[key])
                self._allowed -= 1
        return found
