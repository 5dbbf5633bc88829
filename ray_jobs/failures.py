"""What is said of a stage that failed: the worker's own words, not those of everything between it and us."""

import errno
import os
import re
import traceback
from pathlib import Path

from ray._private import worker
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from ddb.errors import WAYS_OUT, DDBError, fault_of_system, headline

COLOR = re.compile(r"\x1b\[[0-9;]*m")
KILLED = ("connection error code 2", "SIGKILL")  # what Ray says of a process that ended without a word
PID = re.compile(r"\bpid: (\d+)")
ENDED = ("killed for lack of memory", "died without")  # how `explain` begins if a process left no traceback
FULL = (errno.ENOSPC, errno.EDQUOT)
INNER = ("controller_failure", "health_check_failure")  # where Ray Train's exceptions keep what they are about


class StageFailed(DDBError):
    """A stage's workers failed; the message is what `explain` made of it."""


def explain(error: BaseException) -> str:
    """The whole text to record: one line for a user's mistake or a kill, else the traceback where it happened."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, (DDBError, OutOfMemoryError)):
        error = error.cause
    text = COLOR.sub("", str(error)).strip()
    if isinstance(error, DDBError):
        return text
    if isinstance(cause := getattr(error, "cause", error), OSError) and cause.errno in WAYS_OUT:
        return fault_of_system(cause)
    for number in FULL:  # as libraries wrap it that are not Python's
        if (said := os.strerror(number)) in text:
            return fault_of_system(OSError(number, said))
    if isinstance(error, OutOfMemoryError):
        return f"killed for lack of memory: {' '.join(text.split())}"
    if isinstance(error, WorkerCrashedError) or (isinstance(error, RayActorError) and any(k in text for k in KILLED)):
        pid = PID.search(text)
        log = f"{_logs()}/worker-*{f'-{pid[1]}' if pid else ''}.err"
        return (f"died without an error message: a process of the stage was killed or crashed, and Ray does not know "
                f"why; read {log}, and the kernel's log (dmesg) for processes killed for lack of memory")  # fmt: skip
    for name in INNER:
        if hasattr(error, name):
            return explain(getattr(error, name))
    if failures := getattr(error, "worker_failures", None):  # rank -> exception, whose traceback is in `text` alone
        first = explain(min(failures.items(), key=_collateral)[1])
        return first if first.startswith(ENDED) else f"{text}\n{headline(first)}"
    if isinstance(error, (RayTaskError, RayActorError)):
        return text
    return "".join(traceback.format_exception(error)).strip()


def _logs() -> Path:
    """Where the workers' output is on each node, by its real name: that of the environment may be a link of a run."""
    node = worker.global_worker.node
    return Path(node.get_logs_dir_path()).resolve() if node else Path("/tmp/ray/session_latest/logs")


def _collateral(failure: tuple[int, BaseException]) -> tuple[int, int]:
    """Ended processes first, broken connections last: those are what another rank's end looks like from here."""
    rank, error = failure
    begins = [text for text in ENDED if explain(error).startswith(text)]
    return (ENDED.index(begins[0]) if begins else 3 if "onnection" in str(error) else 2, rank)
