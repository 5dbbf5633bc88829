"""The store's list of submitted jobs."""

from dataclasses import replace
from pathlib import Path

from slurm.queue import note, noted
from tests.slurm.test_batch import REQUEST


def test_a_line_that_was_cut_costs_no_job_that_is_noted_later(tmp_path):
    request, config = replace(REQUEST, store=tmp_path), Path("a.yaml")
    (tmp_path / "slurm").mkdir()
    for job in ("1", "2"):
        note(request, job, config, [])
    whole = (tmp_path / "slurm" / "jobs.jsonl").read_bytes()
    (tmp_path / "slurm" / "jobs.jsonl").write_bytes(whole[:-9])
    for job in ("3", "4"):
        note(request, job, config, [])
    assert [entry["job"] for entry in noted(tmp_path, config)] == ["1", "3", "4"]
