"""Commands that only read a store: what they import, and how their work grows with the number of stages. Seconds and
memory are measured by `results/store/study.py`."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from ray_jobs import cli
from tests.studies import study

STUDY = study("store")
COMMANDS = STUDY.COMMANDS

TABLES = {"pandas", "numpy", "pyarrow"}  # half a second, which `ddb table` spends
HEAVY = {"torch", "torchvision", "ray", "sklearn", "matplotlib", "diffusers", "deepspeed", *TABLES}
# What the script `ddb` does, and then what has been imported.
PROGRAM = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from ray_jobs.cli import main
main()
"""
FILES = ("open", "stat", "lstat", "scandir", "listdir", "mkdir")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Finished stores by number of stages: the configuration of each, its store beside it. One point for 7 stages."""
    found = {}
    for asked in (210, 420, 840):
        config, stages = STUDY.make_store(tmp_path_factory.mktemp("store"), asked, seeds=1)
        found[stages] = config
    return found


def _arguments(command, config):
    return [*COMMANDS[command], str(config), "--store", str(config.parent / "runs")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_look_imports_nothing_heavy(stores, command):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *_arguments(command, stores[213])], capture_output=True, text=True
    )
    assert ended.returncode == 0 and ended.stdout
    heavy = HEAVY - TABLES if command == "table" else HEAVY
    assert {name.partition(".")[0] for name in json.loads(ended.stderr)}.isdisjoint(heavy)


def _calls(monkeypatch, capsys, arguments):
    """Calls of functions during a command: all of them, and those that ask the file system, by name."""
    counted = Counter()

    def count(frame, event, argument):
        if event in ("call", "c_call"):
            counted["all"] += 1
        if event == "c_call" and argument.__name__ in FILES:
            counted[argument.__name__] += 1

    monkeypatch.setattr(sys, "argv", ["ddb", *arguments])
    sys.setprofile(count)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.setprofile(None)
    assert not ended.value.code
    capsys.readouterr()
    return counted.pop("all"), counted


@pytest.mark.parametrize("command", COMMANDS)
def test_the_work_of_a_look_grows_as_the_stages_do(stores, monkeypatch, capsys, command):
    _calls(monkeypatch, capsys, _arguments(command, stores[213]))  # imports, and caches of libraries
    counts = [_calls(monkeypatch, capsys, _arguments(command, config)) for config in stores.values()]
    small, middle, large = (calls for calls, _ in counts)
    assert list(stores) == [213, 423, 843]  # so twice as many come to the last as to the one before
    assert large - middle < 2.05 * (middle - small)
    if command != "table":  # which also reads the numbers of every cell
        opened, listed = ([files[name] for _, files in counts] for name in ("open", "listdir"))
        assert opened[1] - opened[0] == 210 and opened[2] - opened[1] == 420  # the records
        assert listed[0] == listed[2]
