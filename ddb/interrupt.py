"""Asking a run to end early, where it can go on later: a file whose presence asks, its path in DDB_INTERRUPT_FILE.

    with on_signals():          # SIGTERM and SIGUSR1 of this process ask
        ...
    requested()                 # looked at between steps, by every process of the run
    with held_back():           # what is started here never gets those signals
        ...

A file, not a signal: a run is many processes, and on a cluster each node has a file of its own, which what starts Ray
there has named. Without the variable nothing can ask, and signals do what they always do.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

FILE = "DDB_INTERRUPT_FILE"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


def requested() -> bool:
    """Whether somebody asked this run to end."""
    path = os.environ.get(FILE)
    return path is not None and os.path.exists(path)


@contextlib.contextmanager
def on_signals() -> Iterator[None]:
    """Within the block, the first SIGTERM or SIGUSR1 asks; a second one does what it did before.

    Only for the main thread. The file is removed on leaving, if it was made here.
    """
    path = os.environ.get(FILE)
    if path is None:
        yield
        return
    before, asked = {}, False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        Path(path).touch()
        signal.signal(number, before[number])

    for number in SIGNALS:
        before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked:
            Path(path).unlink(missing_ok=True)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Within the block the signals wait; after it they do what they did before, whatever the block made of them.

    Processes that are started in the block never get them: they inherit that the signals are blocked. A signal that
    goes to all processes of a group then ends none of them before the one that knows what to do about it. Only for the
    main thread.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
