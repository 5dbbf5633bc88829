"""A graph and a store with hand-made results, so that the reports are tested without training anything."""

import json
from dataclasses import dataclass

import pytest

from ddb.diffusion.settings import SamplingSettings
from ddb.experiment.config import methods
from ddb.experiment.config_file import Experiment, Point, resolve
from ddb.experiment.graph import AmplifierRun, Cell, Graph, SyntheticSet
from ddb.recipes import METHODS
from ddb.store import Stage, Store

CONFIG = resolve({"methods": {name: {} for name in METHODS}}).config
ROWS = {row.label: row for row in methods(CONFIG)}
DATA = Stage("data", {"seed": 0}, 1)


@dataclass
class Fake(Graph):
    """A graph that is put together by hand, and the store that its results are in."""

    store: Store | None = None

    def vary(self, *axes):
        """What the experiment varies."""
        self.experiment = Experiment((Point(dict.fromkeys(axes), CONFIG),))

    def add(
        self,
        method,
        seed,
        metrics=None,
        guidance=None,
        selection="last",
        dataset="colored_digits",
        settings=None,
        **inputs,
    ):
        """A cell; finished where `metrics` are given."""
        settings = settings or {}
        config = {"dataset": dataset, "method": method, "seed": seed, "selection": selection, "guidance": guidance}
        trained = Stage("classifier", config | {"settings": settings}, 1, {"data": DATA} | inputs)
        stage = Stage("evaluation", {}, 1, {"classifier": trained, "data": DATA})
        self.cells.append(
            Cell(dataset, method, seed, selection, guidance, settings, ROWS.get(method, ROWS["erm"]), CONFIG, stage)
        )
        if metrics is not None:
            self.finish(stage, metrics=metrics)
        return stage

    def draw(self, seed, guidance, aligned_share=None, right_class_share=0.99, **sampling):
        """A synthetic set of `seed`; its alignment is finished where `aligned_share` is given."""
        sampling = SamplingSettings(guidance=guidance, **sampling)
        cdpm = Stage("cdpm", {"cdpm": {}, "seed": seed}, 1, {"data": DATA})
        config = {"sampling": sampling.model_dump(mode="json"), "seed": seed}
        stage = Stage("synthetic", config, 1, {"cdpm": cdpm})
        alignment = Stage("alignment", {}, 1, {"synthetic": stage})
        self.synthetic[stage.key] = SyntheticSet(seed, sampling, stage, alignment)
        if aligned_share is not None:
            shares = {"aligned_share": aligned_share, "right_class_share": right_class_share}
            self.finish(alignment, alignment=shares)
        return stage

    def amplify(self, seed, drawn=None, steps=300, **files):
        """An amplifier trained on the set `drawn`, else on real images; finished where `files` are given."""
        source, inputs = ("synthetic", {"synthetic": drawn}) if drawn else ("real", {})
        config = {"amplifier": {"source": source, "steps": steps}, "seed": seed}
        stage = Stage("amplifier", config, 1, {"data": DATA} | inputs)
        self.amplifiers[stage.key] = AmplifierRun(source, seed, stage)
        if files:
            self.finish(stage, **files)
        return stage

    @staticmethod
    def curve(errors, total):
        """A memorisation curve, an epoch for each of `errors`."""
        return [
            {"step": 20 * e, "epoch": float(e), "errors": n, "conflicting_errors": n, "conflicting_total": total}
            for e, n in enumerate(errors, start=1)
        ]

    def finish(self, stage, **files):
        """Write `files` (name -> JSON value) as the stage's artifact, unless it is there already."""
        if self.store.has(stage):
            return
        with self.store.produce(stage) as work:
            for name, value in files.items():
                (work.result / f"{name}.json").write_text(json.dumps(value))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture
def fake(store):
    return Fake(Experiment((Point({}, CONFIG),)), store=store)
