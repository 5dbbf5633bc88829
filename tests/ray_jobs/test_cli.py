import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from ddb.experiment.cost import Cost
from ray_jobs import output
from ray_jobs.cli import app
from ray_jobs.cli.common import numbers
from ray_jobs.doctor import NEEDED_SHARED, _shared_memory
from ray_jobs.output import show

CONFIG = "configs/colored_digits.yaml"
NAMES = ("demo", "run", "audit", "debias", "sweep", "rehearse", "submit", "status", "ls", "logs", "table", "report",
         "predict", "export", "export-model", "schema", "explain", "clean", "doctor", "data list", "data describe",
         "data check", "data fetch", "configs list", "configs show", "configs copy")  # fmt: skip


def _run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(name):
    result = _run(*name.split(), "--help")
    assert result.exit_code == 0 and f"Example: ddb {name}" in " ".join(result.output.split())


def test_dry_run_lists_settings_cells_and_shared_stages_and_computes_nothing(tmp_path):
    settings = ["vary.sampling.guidance=[0, 7]", "seeds=[0]", "cdpm.steps=77"]
    result = _run("run", "configs/ablations/guidance.yaml", *settings, "--dry-run", "--store", tmp_path)
    text = " ".join(result.output.split())
    assert result.exit_code == 0 and "sampling.guidance varies: 0, 7" in text
    assert "5 cells; 19 stages, 0 of them in the store" in text and "| cdpm | 0 | 1 |" in text
    assert "steps: 77" not in text and "cdpm seed 0" not in text  # settings and stages are for -v
    text = " ".join(_run("run", "configs/ablations/guidance.yaml", *settings, "--dry-run", "-v").output.split())
    assert " steps: 77 " in text and text.count(" cdpm seed 0 ") == 1
    assert "classifier ddb_end_to_end seed 0" not in text
    for stage in ("synthetic w=7 seed 0", "classifier ddb_end_to_end w=7 seed 0", "evaluation erm seed 0"):
        assert stage in text
    assert not (tmp_path / "data").exists()


def test_a_chosen_configuration_is_written_once_and_no_edit_of_it_is_lost(tmp_path, monkeypatch):
    """Two folders of one name have a file each; a dry run writes none."""
    random = np.random.default_rng(0)
    for place in ("here", "there"):
        for name in ("cat", "dog"):
            (tmp_path / place / "images" / name).mkdir(parents=True)
            for number in range(8):
                picture = Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8))
                picture.save(tmp_path / place / "images" / name / f"{number}.png")
    monkeypatch.setenv("DDB_CACHE", str(tmp_path / "cache"))
    store = tmp_path / "runs"
    monkeypatch.setattr("ray_jobs.cli.run.execute", lambda graph, store, only, local: 0)
    run = lambda place, *more: _run("run", "--data", tmp_path / place / "images", *more, "--store", store)  # noqa: E731
    dry = run("here", "--dry-run")
    assert dry.exit_code == 0 and "images_per_class" in dry.output and not list(store.glob("*.yaml"))
    for _ in range(2):
        assert f"chosen configuration: {store}/images.yaml" in run("here").output.replace("\n", "")
    assert f"chosen configuration: {store}/images-2.yaml" in run("there").output.replace("\n", "")
    (store / "images.yaml").write_bytes(b"mine: \xff\n")
    assert f"chosen configuration: {store}/images-3.yaml" in run("here").output.replace("\n", "")
    assert (store / "images.yaml").read_bytes() == b"mine: \xff\n"


def test_dry_run_of_a_sweep_shows_space_and_default(tmp_path):
    result = _run("sweep", "configs/sweeps/colored_digits.yaml", "sweep.trials=7", "--dry-run", "--store", tmp_path)
    assert result.exit_code == 0
    assert "trials: 7" in result.output and "methods.ddb_two_step.gamma: 1.0" in result.output


def test_status_table_and_report_work_before_anything_is_finished(tmp_path, monkeypatch):
    status = _run("status", CONFIG, "seeds=[0]", "--store", tmp_path)
    assert status.exit_code == 0 and "0 of 19 stages are done" in status.output
    assert "| classifier | 6 | 6 |" in status.output and status.output.count(" to do   ") == 19
    monkeypatch.setattr(output.out, "_force_terminal", True)
    seen = _run("status", CONFIG, "seeds=[0]", "--store", tmp_path).output
    assert "0 of 19 stages are done" in seen and "classifier/" not in seen
    assert _run("status", CONFIG, "seeds=[0]", "-v", "--store", tmp_path).output.count("classifier/") == 6
    monkeypatch.setattr(output.out, "_force_terminal", False)
    rows = json.loads(_run("table", CONFIG, "--format", "json", "--store", tmp_path).output)
    assert [row["method"] for row in rows][:2] == ["erm", "group_dro"]
    assert all(row["seeds"] == [] and row["failed"] == 0 for row in rows)
    page = tmp_path / "pages" / "report.html"
    report = _run("report", CONFIG, "seeds=[0]", "--output", page, "--store", tmp_path)
    assert report.exit_code == 0 and report.output.strip().endswith("report.html")
    assert "0 of 6 cells" in page.read_text()


def test_describe_counts_groups_and_draws_a_sheet(tmp_path):
    result = _run("data", "describe", "colored_digits", "conflict_ratio=0", "--output", tmp_path / "sheet.png")
    assert "1,300" in result.output and "0/conflicting" in result.output
    assert Image.open(tmp_path / "sheet.png").height == 20 * 52


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", CONFIG, "cdpm.stepz=3"], "cdpm.stepz: unknown setting; did you mean 'steps'?"),
        (["table", CONFIG, "--format", "html"], "--format: 'html' is unknown; known: markdown, latex, csv, json"),
        (["run", "configs/sweeps/colored_digits.yaml"], "configuration configs/sweeps/colored_digits.yaml: holds a se"),
        (
            ["run", "colored_digit"],
            "configuration colored_digit: No such file or directory; did you mean colored_digits?",
        ),
        (["run", CONFIG, "--only", "target", "--dry-run"], "no stage 'target' in this experiment; it has data, "),
        (["sweep", CONFIG], f"configuration {CONFIG}: has no section 'sweep'"),
        (["run", "configs/ablations/guidance.yaml", "sampling.guidance=3"], "override sampling.guidance: configs/abl"),
        (["run", CONFIG, "base=waterbird"], "base: 'waterbird' is no file and no configuration of ours; did you mean"),
        (["report", CONFIG, "--output", "/dev/null/x.html"], "--output /dev/null/x.html: File exists"),
        (["data", "describe", "colored_digit"], "dataset.name: 'colored_digit' is unknown; did you mean"),
        (["status", CONFIG, "--store", "/dev/null"], "store /dev/null cannot be used: it is not a folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message):
    command = [sys.executable, "-m", "ray_jobs.cli", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"})
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {message}") and len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("size", "status"), [(NEEDED_SHARED, "ok"), (67_108_864, "note")])
def test_the_shared_memory_of_a_container_has_its_size_and_a_way_out(size, status):
    check = _shared_memory(int(size))
    assert check.status == status and check.detail.startswith(f"/dev/shm has {size / 1e6:,.0f} MB")
    assert ("docker run --shm-size" in check.detail) == (status == "note")


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("0,2,5-7", [0, 2, 5, 6, 7]), ("3", [3]), ("1, 1-2", [1, 2])]
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert numbers(text) == seeds


@pytest.mark.parametrize("text", ["3-1", "a", "1,", "-2", "0-"])
def test_other_seeds_are_refused_with_their_option(text, tmp_path):
    result = _run("run", CONFIG, f"--seeds={text}", "--dry-run", "--store", tmp_path)
    assert str(result.exception).startswith(f"--seeds {text}: must be numbers and ranges, such as ")


def test_seeds_come_before_the_options_of_sbatch(tmp_path, monkeypatch):
    monkeypatch.setenv("DDB_SBATCH", "/dev/null")
    said = _run("submit", CONFIG, "--seeds", "0-1", "--dry-run", "--store", tmp_path, "--", "--partition=gpu").output
    assert said.splitlines()[0].endswith(f"run {CONFIG} 'seeds=[0, 1]'") and " --partition=gpu " in said


def test_an_audit_of_a_folder_is_submitted_as_it_would_be_run(tmp_path, monkeypatch):
    images, random = tmp_path / "images", np.random.default_rng(0)
    for name in ("cat", "dog"):
        (images / name).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8)).save(images / name / f"{number}.png")
    monkeypatch.setenv("DDB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DDB_SBATCH", "/dev/null")
    store = tmp_path / "runs"
    said = _run(
        "submit", "audit", images, "seeds=[0]", "--time", "30", "--dry-run", "--store", store, "--", "-p", "gpu"
    )
    (sbatch,) = (line for line in said.output.splitlines() if line.startswith("sbatch --"))
    assert sbatch.endswith(f" audit {images} 'seeds=[0]'") and " --time=30 -p gpu " in sbatch
    assert not store.exists()
    wrong = _run("submit", "audit", "colored_digits", "--store", store)
    assert str(wrong.exception) == "ddb submit audit: name a folder of images, not colored_digits"


def test_the_version_names_commit_and_packages():
    assert re.match(r"ddb \d+\.\d+\.\d+(, commit [0-9a-f]{12}( with changes)?)?; Python 3", _run("--version").output)
    assert _run("-h").output == _run("--help").output and _run("run", "-h").exit_code == 0


def test_tables_have_rules_on_a_terminal_and_are_markdown_elsewhere(capsys, monkeypatch):
    table = Table("name", "number", title="of all", caption="what it is")
    table.columns[1].justify = "right"
    table.add_row("a|b", Text("1", "green"))
    show(table)
    assert capsys.readouterr().out == "of all\n\n| name | number |\n| --- | ---: |\n| a\\|b | 1 |\n\nwhat it is\n"
    monkeypatch.setattr(output.out, "_force_terminal", True)
    show(table)
    assert "│ a|b" in capsys.readouterr().out


def test_what_takes_months_on_a_cpu_needs_a_gpu(tmp_path, monkeypatch):
    cost = Cost("cdpm", 5, "step", 90.0, 458 * 86400.0)
    monkeypatch.setattr("ddb.experiment.cost.estimate", lambda graph, missing, device: [cost])
    said = _run("run", CONFIG, "seeds=[0]", "--dry-run", "--store", tmp_path).output
    assert "| cdpm | 0 | 1 | 1 min 30 s per step | 458 days |" in said
    assert re.search(r"458 days on this machine's cpu \(\d+ cores\), one stage after the other: it needs a GPU\n", said)
