"""How the `ddb` command and the job modules end when something is wrong that is no bug of ours."""

import os
import subprocess
import sys

import pytest
from ray.exceptions import RaySystemError

from ddb.errors import DDBError, Interrupted
from ray_jobs.exit_codes import TRACEBACK, exit_codes

CONFIG = "configs/colored_digits.yaml"


def ddb(*arguments, **options):
    """A run of the command: exit code, and what it printed."""
    environment = os.environ | {"COLUMNS": "200"} | options.pop("environment", {})
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment} | options
    return subprocess.run([sys.executable, "-m", *map(str, arguments)], **options)


def left_with(error):
    """Exit code of a command that meets `error`."""
    with pytest.raises(SystemExit) as left, exit_codes():
        raise error
    return left.value.code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DDBError("cdpm: lower it"), 2, "error: cdpm: lower it"),
        (Interrupted("interrupted; the same command goes on"), 75, "interrupted; the same command goes on"),
        (OSError(28, "No space left on device", "/[x]/:dog:"), 2, "error: /[x]/:dog:: No space left on device; fre"),
        (MemoryError(), 2, "error: out of memory: "),
        (RaySystemError("no\nand more"), 2, "error: Ray failed: System error: no; the same command goes on"),
    ],
)
def test_one_line_and_a_code(error, code, line, capsys):
    assert left_with(error) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(line)


def test_the_traceback_is_there_for_who_asks(monkeypatch, capsys):
    monkeypatch.setenv(TRACEBACK, "1")
    left_with(OSError(28, "No space left on device"))
    text = capsys.readouterr().err
    assert text.startswith("Traceback") and 'File "' in text
    assert text.splitlines()[-1].startswith("error: No space left")


def test_a_bug_stays_a_traceback():
    with pytest.raises(ZeroDivisionError), exit_codes():
        _ = 1 / 0


@pytest.mark.parametrize("arguments", [["schema"], ["data", "list"]])
def test_output_to_a_full_disk_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        result = ddb("ray_jobs.cli", *arguments, stdout=full)
    assert result.returncode == 2
    assert result.stderr.startswith("error: No space left on device") and len(result.stderr.splitlines()) == 1


def test_a_reader_that_has_enough_ends_it_without_a_word():
    reading, writing = os.pipe()
    os.close(reading)
    result = ddb("ray_jobs.cli", "schema", stdout=writing)
    os.close(writing)
    assert result.returncode and not result.stderr


def test_output_that_is_not_utf8_has_the_nearest_signs():
    result = ddb("ray_jobs.cli", "data", "list", environment={"PYTHONIOENCODING": "latin-1"})
    assert result.returncode == 0 and not result.stderr
    assert "any folder: ddb data describe DIR" in result.stdout and "| - " in result.stdout


def test_an_address_without_a_ray_is_one_line_of_every_command(tmp_path):
    gone = {"RAY_ADDRESS": "127.0.0.1:1"}
    for module, *arguments in (("ray_jobs.cli", "run"), ("ray_jobs.runner",)):
        result = ddb(module, *arguments, CONFIG, "seeds=[0]", "--store", tmp_path, environment=gone)
        assert result.returncode == 2 and "RAY_ADDRESS=127.0.0.1:1: no Ray answers there" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    doctor = ddb("ray_jobs.cli", "doctor", "--store", tmp_path, environment=gone)
    assert doctor.returncode == 1 and not doctor.stderr
    assert "FAIL Ray (127.0.0.1:1)" in doctor.stdout and "(Connection refused)" in doctor.stdout


def test_a_store_that_may_only_be_read_is_read(tmp_path):
    """Its folder of workspaces cannot even be made, for root neither: a file has its name."""
    (tmp_path / ".work").touch()
    for arguments in (["status"], ["table"], ["report", "--output", tmp_path / "report.html"]):
        result = ddb("ray_jobs.cli", *arguments[:1], CONFIG, "seeds=[0]", *arguments[1:], "--store", tmp_path)
        assert result.returncode == 0, result.stderr
    result = ddb("ray_jobs.cli", "run", CONFIG, "seeds=[0]", "--store", tmp_path)
    assert result.returncode == 2 and f"store {tmp_path} cannot be written: " in result.stderr
    assert len(result.stderr.splitlines()) == 1
