"""The first signal asks, the second does what it always did; without a file nothing changes."""

import os
import signal
import subprocess
import sys

import pytest

from ddb import interrupt


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_a_signal_asks_and_leaving_the_block_takes_it_back(number, tmp_path, monkeypatch):
    monkeypatch.setenv(interrupt.FILE, str(tmp_path / "flag"))
    before = signal.getsignal(number)
    with interrupt.on_signals():
        assert not interrupt.requested()
        os.kill(os.getpid(), number)
        assert interrupt.requested() and signal.getsignal(number) == before
    assert not interrupt.requested() and signal.getsignal(number) == before


def test_a_file_that_somebody_else_made_asks_and_stays(tmp_path, monkeypatch):
    monkeypatch.setenv(interrupt.FILE, str(tmp_path / "flag"))
    with interrupt.on_signals():
        (tmp_path / "flag").touch()
        assert interrupt.requested()
    assert interrupt.requested()


SCRIPT = """
import os, signal
from ddb import interrupt
with interrupt.on_signals():
    os.kill(os.getpid(), signal.SIGTERM)
    print("asked", interrupt.requested(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("never")
"""


@pytest.mark.parametrize(("flag", "printed"), [(True, "asked True\n"), (False, "")])
def test_the_second_signal_ends_the_process_and_without_a_file_the_first_does(flag, printed, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != interrupt.FILE}
    if flag:
        environment[interrupt.FILE] = str(tmp_path / "flag")
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, printed)
