"""The audit of a small experiment on a real local Ray: what it runs, what it writes."""

import pyarrow.parquet as pq
import pytest

from ddb.experiment.config import check
from ray_jobs import audit as command
from tests.ray_jobs.conftest import SMALL, lend

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def test_scores_and_page_of_an_experiment(tmp_path, finished, on_the_sessions_ray):
    config = check(SMALL | {"seeds": [3, 4], "cdpm": {**SMALL["cdpm"], "seed": 3}, "methods": {"erm": {}}})
    store = lend(finished, tmp_path / "runs")
    result, paths = command.run_audit(config, store, tmp_path / "out")
    assert [path.name for path in paths] == ["conflicts.parquet", "conflicts.csv", "summary.json", "audit.html"]
    table = pq.read_table(paths[0])
    scores = table["shortcut_conflict_score"].to_numpy()
    assert len(scores) == 1300 + 2000 + 2970 and (scores[:-1] <= scores[1:]).all()
    assert result.amplifier.config["seed"] == 3  # the list's
    evidence = result.evidence
    assert (evidence.seeds, evidence.validation) == (2, 2000) and result.observations.flagged.shape == (2, 2000)
    assert 0 < evidence.clusters <= 200 and evidence.clusters < evidence.flagged  # ten colourings of a scan
    page = paths[3].read_text()
    assert result.evidence.reason.split(".")[0] in page and "colored_digits" in page
    shown = [path for path in table["file_name"].to_pylist() if path in page]
    assert shown and len(shown) <= 10 * command.BREAKING

    places = lambda: [path.parent.name for path in command.run_audit(config, store, tmp_path / "out", False)[1]]  # noqa: E731
    assert places() == ["out"] * 4
    paths[1].write_text(paths[1].read_text() + "verdicts of a person\n")
    assert places() == ["out-2"] * 4 and "verdicts of a person" in paths[1].read_text()
    assert command.run_audit(config, store, tmp_path / "out")[1][1] == paths[1]  # a folder that was asked for
    assert "verdicts of a person" not in paths[1].read_text()
