"""The check of the audit: worlds have the gain that they say, drawn validation sets keep what belongs together."""

import json
import sys

import numpy as np
import pytest

from ddb.audit import Observations, weigh
from ray_jobs import audit_check
from ray_jobs.audit_check import World, digits, resampled, simulate


@pytest.mark.parametrize(("gain", "lead"), [(0.0, 0.0), (0.1, 0.2), (-0.1, 0.05)])
def test_a_world_has_the_gain_and_lead_that_it_says(gain, lead):
    seen = World(50_000, gain=gain, lead=lead).draw(np.random.default_rng(0))
    found = weigh(seen)
    assert found.gain.estimate == pytest.approx(gain, abs=0.01)
    assert found.lead.estimate == pytest.approx(lead, abs=0.01)
    disagree = (seen.erm != seen.debiased).mean()
    assert disagree == pytest.approx(0.2 + abs(gain), abs=0.01)


def test_images_of_a_cluster_share_its_fate_and_trainings_differ_as_they_are_told_to():
    seen = World(2_000, per_cluster=3, seeds=200, training=0.05).draw(np.random.default_rng(0))
    assert seen.erm.shape == (200, 6_000) and np.array_equal(seen.erm[:, ::3], seen.erm[:, 2::3])
    each = (seen.debiased.astype(int) - seen.erm).mean(1)
    assert each.std() == pytest.approx(0.05, rel=0.2)


def test_the_simulation_counts_every_draw(monkeypatch):
    monkeypatch.setattr(audit_check, "SHAPES", [(30, 1, 0.1, 1, 0.0), (300, 10, 0.1, 3, 0.0)])
    found = simulate(20)
    assert [sum(row[name] for name in audit_check.VERDICTS) for row in found["verdicts"]] == pytest.approx([1] * 10)
    certain = next(row for row in found["verdicts"] if (row["clusters"], row["gain"], row["lead"]) == (300, 0.2, 0.2))
    assert certain["shortcut"] == 1
    assert [(row["clusters"], row["gain"]) for row in found["intervals"]] == [
        (n, g) for n in (30, 300) for g in (0, 0.05)
    ]
    copies = next(row for row in found["intervals"] if (row["clusters"], row["gain"]) == (300, 0))["errors"]
    assert sum(copies["images as if independent"]) > 0.3 > sum(copies["clusters, four added (ours)"])


def test_a_drawn_set_has_whole_scans_and_counts_a_scan_drawn_twice_as_two():
    """Scan 0 has two flagged images, scan 1 one: ten draws are ten clusters, whatever they are of."""
    bits = np.array([[True, True, True]])
    seen = Observations(bits, ~bits, bits, ~bits, np.array([0, 0, 1]))
    found = resampled(seen, 10, np.random.default_rng(0))
    assert found.clusters == 10 and 10 <= found.flagged == found.validation <= 20 and found.gain.estimate == 1.0


def test_a_strong_shortcut_is_found_in_every_large_set_and_no_verdict_is_given_without_flags():
    flagged, none = np.ones((1, 2000), bool), np.zeros((1, 2000), bool)
    scans = np.repeat(np.arange(200), 10)
    rows = digits(Observations(flagged, none, flagged, none, scans), 0.05, 5)
    assert [row["scans"] for row in rows] == list(audit_check.SIZES) and [row["shortcut"] for row in rows] == [1.0] * 4
    rows = digits(Observations(none, none, flagged, none, scans), 0.05, 5)
    assert [row["unclear"] for row in rows] == [1.0] * 4 and rows[0]["gain"] is None


def test_the_command_writes_table_and_numbers_with_itself_on_top(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_check, "SHAPES", [(30, 1, 0.1, 1, 0.0)])
    monkeypatch.setattr(sys, "argv", ["x", "simulate", "--draws", "3", "--output", str(tmp_path)])
    audit_check.main()
    page, numbers = (tmp_path / "simulated.md").read_text(), json.loads((tmp_path / "simulated.json").read_text())
    assert page.startswith(f"    python -m ray_jobs.audit_check simulate --draws 3 --output {tmp_path}\n")
    assert numbers["command"] in page and len(numbers["verdicts"]) == 5
    tables = [line.count("|") for line in page.splitlines() if line.startswith("|")]
    assert tables == [10] * 7 + [10] * 4  # every row has its header's columns
