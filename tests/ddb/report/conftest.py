"""A plan and a store with hand-made results, so that the reports are tested without training anything."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from ddb.artifacts import Stage, Store
from ddb.data import prepared
from ddb.data.colored_digits import ColoredDigitsConfig, load
from ddb.diffusion import synthetic


@dataclass(frozen=True)
class Cell:
    """The fields of ddb.experiment.Cell."""

    dataset: str
    method: str
    seed: int
    selection: str
    guidance: float | None
    stage: Stage


@dataclass
class Fake:
    store: Store
    data: Stage = field(default_factory=lambda: Stage("data", {"seed": 0}, 1))
    cells: list = field(default_factory=list)
    synthetic: dict = field(default_factory=dict)
    amplifiers: dict = field(default_factory=lambda: {"synthetic": {}, "real": {}})
    alignment: dict = field(default_factory=dict)
    config: SimpleNamespace = field(default_factory=SimpleNamespace)

    def add(self, method, seed, metrics=None, guidance=None, selection="last", dataset="colored_digits", **inputs):
        """A cell; finished where `metrics` are given."""
        config = {"dataset": dataset, "method": method, "seed": seed, "selection": selection, "guidance": guidance}
        stage = Stage("target", config, 1, inputs)
        self.cells.append(Cell(dataset, method, seed, selection, guidance, stage))
        if metrics is not None:
            self.finish(stage, metrics=metrics)
        return stage

    def finish(self, stage, **files):
        """Write `files` (name -> JSON value) as the stage's artifact."""
        with self.store.produce(stage) as work:
            for name, value in files.items():
                (work.result / f"{name}.json").write_text(json.dumps(value))


@pytest.fixture
def fake(tmp_path):
    return Fake(Store(tmp_path / "runs"))


@pytest.fixture
def dataset():
    return load(ColoredDigitsConfig())


@pytest.fixture
def figured(fake, dataset):
    """`fake` with the data set, synthetic sets (noisy aligned real images), alignment and both amplifiers' curves."""
    with fake.store.produce(fake.data) as work:
        prepared.write(dataset, work.result)
    train, random = dataset["train"], np.random.default_rng(0)
    for guidance in (0.0, 1.0):
        stage = fake.synthetic[0, guidance] = Stage("synthetic", {"guidance": guidance}, 1)
        chosen = np.concatenate([np.flatnonzero(train.aligned & (train.labels == c))[-2:] for c in range(10)])
        noise = random.normal(0, 12, train.images[chosen].shape)
        images = np.clip(train.images[chosen] + noise, 0, 255).astype(np.uint8)
        with fake.store.produce(stage) as work:
            table = synthetic.to_table(images, train.labels[chosen], np.tile([0, 1], 10), 0, guidance)
            synthetic.write(table, work.result / "images.parquet")
        fake.alignment[0, guidance] = Stage("alignment", {"guidance": guidance}, 1)
        fake.finish(fake.alignment[0, guidance], alignment={"aligned_share": 0.978 + 0.02 * guidance})
    total = int((~train.aligned).sum())
    for seed in range(3):
        for source, rate in (("synthetic", 0.002), ("real", 0.22)):
            stage = fake.amplifiers[source][seed] = Stage("amplifier", {"source": source, "seed": seed}, 1)
            left = [round(total * np.exp(-rate * epoch * (1 + 0.2 * seed))) for epoch in range(1, 16)]
            points = [
                {"step": 20 * e, "epoch": float(e), "errors": n, "conflicting_errors": n, "conflicting_total": total}
                for e, n in enumerate(left, start=1)
            ]
            fake.finish(stage, curve=points)
    return fake
