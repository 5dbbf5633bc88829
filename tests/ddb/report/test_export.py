"""An exported experiment: every format, the figure, and records with their numbers, of what is finished."""

import json

import pytest

from ddb.errors import DDBError
from ddb.report.export import export


@pytest.fixture
def planned(fake):
    fake.stages = lambda: [cell.stage for cell in fake.cells]
    return fake


def test_tables_figure_and_records_of_what_is_finished(planned, tmp_path):
    done = planned.add("erm", 0, {"average_accuracy": 0.5})
    (planned.store.path(done) / "record.json").write_text(json.dumps({"key": done.key}))
    planned.add("erm", 1)
    stale = tmp_path / "out" / "records" / "target-0.json"
    stale.parent.mkdir(parents=True)
    stale.touch()
    written = export(planned, planned.store, tmp_path / "out")
    names = {str(path.relative_to(tmp_path / "out")) for path in written}
    record = f"records/target-{done.key}.json"
    assert names == {"table.md", "table.tex", "table.csv", "table.json", "figure.png", record}
    assert all(path.stat().st_size for path in written) and not stale.exists()
    content = json.loads((tmp_path / "out" / record).read_text())
    assert content == {"key": done.key, "metrics": {"average_accuracy": 0.5}}


def test_nothing_finished_is_one_clear_error(planned, tmp_path):
    planned.add("erm", 0)
    with pytest.raises(DDBError, match="nothing of this experiment is finished"):
        export(planned, planned.store, tmp_path / "out")
