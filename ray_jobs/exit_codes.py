"""Exit codes: what is not a bug of ours ends a command with one line that names cause and way out.

    with exit_codes():      # around the whole command
        ...

    with interruptible():   # around the work: a first signal ends it in order, a second one at once
        ...

DDB_TRACEBACK=1 shows the traceback as well.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import NoReturn

from ddb.errors import DDBError, Interrupted, fault_of_system
from ddb.interrupt import on_signals
from ray_jobs.output import err, news, printable_anywhere
from slurm.ray_node import adopt_orphans, end_descendants

INTERRUPTED = 75  # exit code; EX_TEMPFAIL of sysexits.h: try again later
MISTAKE = 2  # of the user, or a machine that does not give what is needed
BROKEN_PIPE = 141  # what a shell says of a process that SIGPIPE ended
TRACEBACK = "DDB_TRACEBACK"


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Within the block, an error of the user or of the machine leaves with one line and an exit code."""
    printable_anywhere()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # now, and not where nobody catches what a full disk says to it
    except DDBError as error:
        stop(error)
    except BrokenPipeError:  # a reader such as `head` has what it wants
        _discard_output()
        sys.exit(BROKEN_PIPE)
    except (OSError, MemoryError) as error:
        _discard_output()
        stop(DDBError(fault_of_system(error)), error)
    except Exception as error:
        if "ray.exceptions" not in sys.modules or not isinstance(error, sys.modules["ray.exceptions"].RayError):
            raise
        stop(DDBError(f"Ray failed: {str(error).strip().splitlines()[0]}; the same command goes on"), error)


def interruptible() -> contextlib.AbstractContextManager[None]:
    """Within the block, SIGINT, SIGTERM or SIGUSR1 asks the run to end, and a second one ends it at once.

    Then all that this process has started is killed, a local Ray above all, of which a process may not answer.
    """

    def say() -> None:
        err.print("interrupted: waiting for running stages to write their checkpoints; a second signal ends at once")

    def end() -> None:
        adopt_orphans()
        end_descendants()
        news.show_cursor()  # which a live table hides
        err.print("interrupted: ended at once by a second signal; the same command goes on", style="red")
        os._exit(INTERRUPTED)  # nobody is left to whom Ray's own end could say goodbye

    return on_signals(say, end)


def stop(error: DDBError, cause: BaseException | None = None) -> NoReturn:
    """A user's mistake is one line and exit code 2; a run that was asked to end early has one of its own."""
    if os.environ.get(TRACEBACK) == "1":
        traceback.print_exception(cause or error)
    mistake = not isinstance(error, Interrupted)
    err.print(f"error: {error}" if mistake else str(error), style="red")
    sys.exit(MISTAKE if mistake else INTERRUPTED)


def _discard_output() -> None:
    """What could not be written is not tried once more when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):  # of streams that have no file behind them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
