"""An exported experiment: every format, figure and charts, and records with their numbers, of what is finished."""

import json

import pytest

from ddb.errors import DDBError
from ddb.report.export import export


def test_tables_figure_charts_and_records_of_what_is_finished(fake, tmp_path):
    fake.vary("training.steps")
    done = fake.add("erm", 0, {"conflicting_accuracy": 0.5}, settings={"training.steps": 10})
    fake.add("erm", 0, settings={"training.steps": 20})
    out = tmp_path / "out"
    stale = [out / "charts" / "old.png", out / "charts" / "old.pdf"]
    kept = out / "charts" / "mine.txt"
    for path in [*stale, kept]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    written = export(fake, fake.store, out)
    charts = {f"charts/conflicting_accuracy_by_training_steps.{suffix}" for suffix in ("png", "pdf")}
    tables = {"table.md", "table.tex", "table.csv", "table.json"}
    assert {str(path.relative_to(out)) for path in written} == tables | {
        "figure.png",
        "figure.pdf",
        "records.jsonl",
    } | charts
    assert all(path.stat().st_size for path in written)
    assert not any(path.exists() for path in stale) and kept.exists()
    assert (out / "figure.pdf").read_bytes().startswith(b"%PDF")
    (line,) = (out / "records.jsonl").read_text().splitlines()
    assert json.loads(line) == {"key": done.key, "metrics": {"conflicting_accuracy": 0.5}}


def test_an_experiment_that_varies_nothing_has_no_charts(fake, tmp_path):
    fake.add("erm", 0, {"conflicting_accuracy": 0.5})
    export(fake, fake.store, tmp_path / "out")
    assert not (tmp_path / "out" / "charts").exists()


def test_a_folder_that_cannot_be_written_is_one_clear_error(fake, tmp_path):
    fake.add("erm", 0, {"conflicting_accuracy": 0.5})
    (tmp_path / "file").touch()
    with pytest.raises(DDBError, match=r"export .*file/out: Not a directory"):
        export(fake, fake.store, tmp_path / "file" / "out")


def test_nothing_finished_is_one_clear_error(fake, tmp_path):
    fake.add("erm", 0)
    with pytest.raises(DDBError, match="nothing of this experiment is finished"):
        export(fake, fake.store, tmp_path / "out")
