"""The first signal asks, the second ends; without a file nothing changes."""

import os
import signal
import subprocess
import sys

import pytest

from ddb import interrupt


def nothing():
    """For who only asks."""


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_a_signal_asks_and_leaving_the_block_takes_it_back(number, tmp_path, monkeypatch):
    monkeypatch.setenv(interrupt.FILE, str(tmp_path / "flag"))
    before, said = signal.getsignal(number), []
    with interrupt.on_signals(lambda: said.append("waiting"), nothing):
        assert not interrupt.requested()
        os.kill(os.getpid(), number)
        assert interrupt.requested() and said == ["waiting"]
    assert not interrupt.requested() and signal.getsignal(number) == before


@pytest.mark.parametrize(("one", "called"), [(1e9, ["say"]), (-1, ["say", "end"])])
def test_a_second_signal_ends_unless_it_comes_with_the_first(one, called, tmp_path, monkeypatch):
    monkeypatch.setenv(interrupt.FILE, str(tmp_path / "flag"))
    monkeypatch.setattr(interrupt, "ONE", one)
    calls = []
    with interrupt.on_signals(lambda: calls.append("say"), lambda: calls.append("end")):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert calls == called and interrupt.requested() == (called == ["say"])


def test_a_file_that_somebody_else_made_asks_and_stays(tmp_path, monkeypatch):
    monkeypatch.setenv(interrupt.FILE, str(tmp_path / "flag"))
    with interrupt.on_signals(nothing, nothing):
        (tmp_path / "flag").touch()
        assert interrupt.requested()
    assert interrupt.requested()


GROUP = """
import os, signal, subprocess, sys, time
from ddb import interrupt
with interrupt.on_signals(lambda: None, lambda: None):
    with interrupt.held_back():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a library would
        child = subprocess.Popen([sys.executable, "-c", "import time; print('child', flush=True); time.sleep(300)"])
        os.killpg(0, signal.SIGTERM)
        os.killpg(0, signal.SIGUSR1)
        print("held back", not interrupt.requested(), flush=True)
    print("asked", interrupt.requested(), flush=True)
    time.sleep(0.5)
    print("alive", child.poll() is None)
    child.kill()
"""


def test_signals_to_a_group_reach_who_knows_what_to_do_and_nothing_that_was_started_meanwhile(tmp_path):
    environment = os.environ | {interrupt.FILE: str(tmp_path / "flag")}
    command = [sys.executable, "-c", GROUP]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, start_new_session=True)
    lines = [line for line in result.stdout.splitlines() if line != "child"]
    assert (result.returncode, lines) == (0, ["held back True", "asked True", "alive True"])


SCRIPT = """
import os, signal
from ddb import interrupt
with interrupt.on_signals(lambda: print("asked"), lambda: print("ended")):
    os.kill(os.getpid(), signal.SIGTERM)
    print("never")
"""


def test_without_a_file_signals_do_what_they_always_do():
    environment = {name: value for name, value in os.environ.items() if name != interrupt.FILE}
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "")
