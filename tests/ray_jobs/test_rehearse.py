"""`ddb rehearse`: few full-size steps, a forecast by hand, and a real rehearsal that leaves nothing but the data."""

import contextlib
from datetime import datetime, timedelta

import pytest
import typer
import yaml

from ddb.experiment import rehearsal
from ddb.experiment.cost import Cost
from ddb.experiment.graph import build_graph
from ddb.stages.needs import Capacity
from ray_jobs.cli import rehearse
from tests.ray_jobs.conftest import SMALL, small_graph


def test_only_numbers_of_steps_images_and_seeds_are_shortened():
    methods = {"erm": {}, "long": {"method": "erm", "steps": 900}, "ten": {"method": "erm", "steps": 10}}
    methods["own"] = {"method": "ddb_two_step", "amplifier": {"steps": 700, "images_per_class": 3}}
    graph = build_graph(
        rehearsal.Experiment(small_graph(seeds=[4, 5], methods=methods, cdpm={"steps": 5000}).experiment.points)
    )
    short = rehearsal.shortened(graph, sampled=2).config
    assert short.seeds == (4,) and short.cdpm == graph.config.cdpm.model_copy(update={"steps": 40})
    assert short.methods["long"]["steps"] == 40 and short.methods["ten"]["steps"] == 10
    assert short.methods["own"]["amplifier"] == {"steps": 40, "images_per_class": 2}
    assert short.training["steps"] == 4 and short.sampling.images_per_class == 2
    assert build_graph(rehearsal.shortened(graph, 2)).data.key == graph.data.key


def test_the_forecast_by_hand(monkeypatch):
    """Three seeds, ERM alone, on 2 CPUs. Training: the second half took 1 of 5 seconds, so 2 of steps and 3 of start.

    The whole costs 30 times as much, 60 s of steps: 20 s and 3 s of start for each of three, two at a time: 46 s. An
    evaluation is only a start: 2 x 5 s. The data set: 5 s.
    """
    values = {"seeds": [0, 1, 2], "methods": {"erm": {}}}
    graph, short = small_graph(**values), small_graph(**values | {"seeds": [0]}, training={"steps": 2})

    class Records:
        def record(self, stage):
            half = {"seconds_of_second_half": 1.0} if stage.name == "classifier" else {}
            return {"seconds": 5.0, "peak_memory": 10**9, **half}

    def estimate(asked, stages, device):
        return [Cost("classifier", 1, "", 0, 150.0 if asked is graph else 5.0)]

    monkeypatch.setattr(rehearsal, "estimate", estimate)
    found = rehearsal.forecast(graph, short, Records(), Capacity(((2, 0),), (8 * 2**30,)), "cpu")
    seconds = {each.kind: each.hours * 3600 for each in found}
    assert seconds == pytest.approx({"data": 5, "classifier": 46, "evaluation": 10})
    assert {each.kind: (each.stages, each.start) for each in found}["classifier"] == (3, 3.0)


@pytest.mark.parametrize(("minutes", "code"), [(600, 0), (0, 1), (None, 0)])
def test_the_jobs_time_limit_decides(minutes, code, monkeypatch, capsys):
    end = "Unknown" if minutes is None else (datetime.now() + timedelta(minutes=minutes)).isoformat(timespec="seconds")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(rehearse.scontrol, "own_job", lambda: f"JobId=7 EndTime={end} Deadline=N/A")
    assert rehearse._in_time(60.0) == (code == 0)
    said = capsys.readouterr().out
    verdict = {600: "left: the experiment fits", 0: "left: the experiment does not fit", None: "no time limit is known"}
    assert verdict[minutes] in said


@pytest.mark.long
def test_a_rehearsal_leaves_nothing_but_what_the_run_needs(tmp_path, capacity, monkeypatch, capsys):
    config = SMALL | {"methods": {"erm": {}, "ddb_two_step": {}}, "cdpm": SMALL["cdpm"] | {"steps": 400}}
    config["training"] = config["amplifier"] = {"steps": 300}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(config))
    lent = contextlib.nullcontext(capacity)
    monkeypatch.setattr("ray_jobs.cluster.connected", lambda: lent)
    monkeypatch.setattr("ray_jobs.job.connected", lambda: lent)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(typer.Exit) as ended:
        rehearse.rehearse(tmp_path / "small.yaml", [], tmp_path / "runs")
    assert ended.value.exit_code == 0
    left = {path.parts[-3] for path in (tmp_path / "runs").glob("*/*/record.json")}
    assert left == {"data", "probe"}
    said = capsys.readouterr().out
    rows = {line.split()[1]: line.split() for line in said.splitlines() if line.startswith("|")}
    assert rows["cdpm"][3] == "1" and rows["classifier"][3] == "2"
    assert "GB" in rows["cdpm"] and "GB" in rows["synthetic"]
    assert not list((tmp_path / "runs" / ".work").glob("*/*"))
    assert "the whole experiment on 2 CPUs and 0 GPUs: about" in said and "not a SLURM job" in said
    assert not list((tmp_path / "runs" / ".work").glob("*/*"))
