"""What is said of a failed stage, for the exceptions that Ray and Ray Train put around the worker's own."""

import pytest
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError
from ray.train import ControllerError, WorkerGroupError

from ddb.errors import DDBError, headline
from ray_jobs.failures import explain

TRACEBACK = (
    'Traceback (most recent call last):\n  File "a.py", line 1, in f\nRuntimeError: CUDA error: no device\n  at: x'
)


def of_task(cause, text="ray::f()\n  File b.py\nValueError: inside"):
    return RayTaskError("f", text, cause)


@pytest.mark.parametrize(
    ("cause", "line"),
    [
        (DDBError("cdpm: lower it"), "cdpm: lower it"),
        (OSError(28, "No space left on device", "/runs/x"), "/runs/x: No space left on device; free some, or name"),
        (PermissionError(13, "Permission denied", "/runs/x"), "/runs/x: Permission denied; its owner can permit it"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "No space left on device; free some, or"),
        (OutOfMemoryError("Memory was\n30 GB / 31 GB"), "killed for lack of memory: Memory was 30 GB / 31 GB"),
    ],
)
def test_a_mistake_or_a_full_machine_is_one_line(cause, line):
    text = explain(of_task(cause, f"ray::f()\n  File b.py\n{cause!r}\n{cause}"))
    assert text.startswith(line) and "\n" not in text


ACTOR = "The actor died.\n\tpid: 71\n\tip: 127.0.0.1\nDetail: connection error code 2. (1) SIGKILL by OOM killer"


@pytest.mark.parametrize(
    ("error", "log"),
    [
        (WorkerCrashedError(), "/worker-*.err"),
        (RayActorError(error_msg=ACTOR), "/worker-*-71.err"),
        (WorkerGroupError("text", {1: ValueError("x"), 0: RayActorError(error_msg=ACTOR)}), "/worker-*-71.err"),
    ],
)
def test_a_worker_that_left_no_traceback_has_a_log_and_no_guessed_cause(error, log):
    text = explain(error)
    assert text.startswith("died without an error message") and "Ray does not know why" in text and log in text
    assert "\n" not in text


def test_memory_is_the_cause_where_ray_says_so():
    failures = {0: RayActorError(error_msg=ACTOR), 1: OutOfMemoryError("too much")}
    assert explain(failures[1]) == "killed for lack of memory: too much"
    assert explain(WorkerGroupError("text", failures)).startswith("killed for lack of memory")


def test_a_training_failure_is_that_of_the_worker_where_it_began():
    failures = {0: RuntimeError("Connection closed by peer"), 1: ValueError("not a number")}
    whole = explain(WorkerGroupError(TRACEBACK, failures))
    assert TRACEBACK in whole and headline(whole) == "ValueError: not a number"
    whole = explain(ControllerError(of_task(ValueError("inside"))))
    assert "File b.py" in whole and headline(whole) == "ValueError: inside"


def test_the_console_gets_the_exception_of_a_traceback():
    assert headline(TRACEBACK) == "RuntimeError: CUDA error: no device"
    assert headline("one line") == "one line" and headline(" ") == "no message"
