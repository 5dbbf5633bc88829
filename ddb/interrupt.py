"""Asking a run to end early, where it can go on later: a file whose presence asks, its path in DDB_INTERRUPT_FILE.

    with on_signals(say, end):  # SIGINT, SIGTERM and SIGUSR1 of this process ask, and a second one calls `end`
        ...
    requested()                 # looked at between steps, by every process of the run
    with held_back():           # what is started here gets neither SIGTERM nor SIGUSR1
        ...

A file, not a signal: a run is many processes, and on a cluster each node has a file of its own, which what starts Ray
there has named. Without the variable nothing can ask, and signals do what they always do.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

FILE = "DDB_INTERRUPT_FILE"
HELD_BACK = (signal.SIGTERM, signal.SIGUSR1)  # and not SIGINT, which Ray blocks for all that it starts
SIGNALS = (signal.SIGINT, *HELD_BACK)
ONE = 1.0  # seconds in which signals count as one: `timeout` and wrappers send theirs twice


def requested() -> bool:
    """Whether somebody asked this run to end."""
    path = os.environ.get(FILE)
    return path is not None and os.path.exists(path)


@contextlib.contextmanager
def on_signals(say: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """Within the block, the first of the signals asks and calls `say`; a second one calls `end`.

    Only for the main thread. The file is removed on leaving, if it was made here.
    """
    path = os.environ.get(FILE)
    if path is None:
        yield
        return
    asked_at: float | None = None

    def ask(number: int, frame: object) -> None:
        nonlocal asked_at
        if asked_at is None:
            asked_at = time.monotonic()
            Path(path).touch()
            say()
        elif time.monotonic() - asked_at > ONE:
            Path(path).unlink(missing_ok=True)
            end()

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked_at is not None:
            Path(path).unlink(missing_ok=True)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Within the block SIGTERM and SIGUSR1 wait; after it they do what they did before, whatever the block did to them.

    Processes that are started in the block never get them: they inherit that the signals are blocked. A signal that
    goes to all processes of a group then ends none of them before the one that knows what to do about it. Only for the
    main thread.
    """
    before = {number: signal.getsignal(number) for number in HELD_BACK}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
