"""Progress as others read it: what is done, how fast, how long it will take."""

import time

import pytest

from ddb import progress


def test_the_rate_is_that_of_this_process_not_of_the_steps_before_it(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 0)
    clock = iter([10.0, 12.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    report = progress.reporter(tmp_path)
    report(100, 200, {})
    assert progress.read(tmp_path)["rate"] is None
    report(120, 200, {"loss": 0.5, "images_per_step": 4})
    seen = progress.read(tmp_path)
    assert seen["rate"] == 10
    assert progress.describe(seen) == "120/200, 40 images/s, loss 0.500, 8 s left"


def test_long_times_are_told_in_minutes_and_hours():
    left = [progress.describe({"step": 0, "total": n, "rate": 1.0, "numbers": {}}) for n in (59, 61, 7260)]
    assert left == ["0/59, 59 s left", "0/61, 1 min 01 s left", "0/7260, 2 h 01 min left"]


@pytest.mark.parametrize("content", [None, "", '{"step": 1'])
def test_nothing_is_known_before_the_first_report_or_of_one_that_was_lost(content, tmp_path):
    if content is not None:  # written, but a machine lost its power before it was on the disk
        (tmp_path / "progress.json").write_text(content)
    assert progress.read(tmp_path) is None
