"""An exported experiment: every format, figure and charts, and records with their numbers, of what is finished."""

import json

import pytest

from ddb.errors import DDBError
from ddb.report.export import export


def test_tables_figure_charts_and_records_of_what_is_finished(fake, tmp_path):
    fake.vary("training.steps")
    done = fake.add("erm", 0, {"conflicting_accuracy": 0.5}, settings={"training.steps": 10})
    other = fake.add("erm", 0, {"conflicting_accuracy": 0.6}, settings={"training.steps": 20})
    charts = tmp_path / "charts"
    charts.mkdir()
    stale, kept = [charts / "old.png", charts / "old.pdf"], charts / "mine.txt"
    for path in [*stale, kept]:
        path.touch()
    written = export(fake, fake.store, tmp_path)
    names = {"table.md", "table.tex", "table.csv", "table.json", "figure.png", "figure.pdf", "records.jsonl"}
    drawn = ("accuracy", "conflicting_accuracy_by_training_steps")
    names |= {f"charts/{name}.{suffix}" for name in drawn for suffix in ("png", "pdf")}
    assert {str(path.relative_to(tmp_path)) for path in written} == names
    assert all(path.stat().st_size for path in written)
    assert not any(path.exists() for path in stale) and kept.exists()
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert [record["key"] for record in records] == [done.key, other.key]
    assert records[0]["metrics"] == {"conflicting_accuracy": 0.5}


def test_what_cannot_be_exported_is_one_line(fake, tmp_path):
    fake.add("erm", 0)
    with pytest.raises(DDBError, match="nothing of this experiment is finished"):
        export(fake, fake.store, tmp_path / "out")
    fake.finish(fake.cells[0].stage, metrics={"conflicting_accuracy": 0.5})
    (tmp_path / "file").touch()
    with pytest.raises(DDBError, match=r"export .*file/out: Not a directory"):
        export(fake, fake.store, tmp_path / "file" / "out")
