import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from ray_jobs.cli import app

CONFIG = "configs/colored_digits.yaml"
NAMES = ("demo", "run", "status", "table", "export", "doctor", "bench", "data list", "data describe")


def _run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(name):
    result = _run(*name.split(), "--help")
    assert result.exit_code == 0 and f"Example: ddb {name}" in " ".join(result.output.split())


def test_dry_run_shows_settings_and_stages_and_computes_nothing(tmp_path):
    result = _run("run", CONFIG, "seeds=[0]", "sampling.guidance=3", "--dry-run", "--store", tmp_path)
    assert result.exit_code == 0
    assert "guidance: 3.0" in result.output and "synthetic w=3 seed 0" in result.output
    assert not (tmp_path / "data").exists()


def test_a_table_can_be_read_before_anything_is_finished(tmp_path):
    result = _run("table", CONFIG, "--format", "json", "--store", tmp_path)
    rows = json.loads(result.output)
    assert [row["method"] for row in rows][:2] == ["erm", "group_dro"]
    assert all(row["seeds"] == [] and row["failed"] == 0 for row in rows)


def test_status_names_every_stage(tmp_path):
    result = _run("status", CONFIG, "seeds=[0]", "--store", tmp_path)
    assert result.exit_code == 0 and result.output.count("missing") == 13


def test_bench_needs_a_finished_experiment(tmp_path):
    result = _run("bench", CONFIG, "seeds=[0]", "--store", tmp_path)
    assert result.exit_code == 1 and "run the experiment first" in str(result.exception)


def test_describe_counts_groups_and_draws_a_sheet(tmp_path):
    result = _run("data", "describe", "colored_digits", "conflict_ratio=0", "--output", tmp_path / "sheet.png")
    assert "1,300" in result.output and "0/conflicting" in result.output
    assert Image.open(tmp_path / "sheet.png").height == 20 * 52


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", CONFIG, "cdpm.stepz=3"], "cdpm.stepz: unknown setting; did you mean 'steps'?"),
        (["run", "nowhere.yaml"], "configuration nowhere.yaml: No such file or directory"),
        (["table", CONFIG, "--format", "html"], "--format: 'html' is unknown; known: markdown, latex, csv, json"),
        (["data", "describe", "colored_digit"], "dataset.name: 'colored_digit' is unknown; did you mean"),
        (["status", CONFIG, "--store", "/dev/null"], "store /dev/null cannot be written"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message):
    command = [sys.executable, "-m", "ray_jobs.cli", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"})
    assert result.returncode == 2
    assert result.stderr.startswith(message) and len(result.stderr.strip().splitlines()) == 1
