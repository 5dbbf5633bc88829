"""A small experiment whose every artifact is written by hand, for the tests of its report.

Two classes of 8 px images. Training image i is all 10 * i; a synthetic image is (guidance, label, index) everywhere.
"""

import json

import numpy as np

from ddb.data import BiasedDataset, Split, prepared
from ddb.diffusion import synthetic
from ddb.experiment.config_file import resolve
from ddb.experiment.graph import build_graph
from ddb.signals.table import Signals

VALUES = {
    "dataset": {"name": "colored_digits"},
    "sampling": {"images_per_class": 3},
    "methods": {"erm": {}, "ddb_two_step": {}},
    "seeds": [0, 1],
    "memorisation": False,
}
GUIDED = {"vary": {"sampling.guidance": [0, 1]}}
SECONDS = {
    "data": 1,
    "cdpm": 10,
    "synthetic": 8,
    "probe": 2,
    "alignment": 1,
    "amplifier": 3,
    "classifier": 4,
    "evaluation": 1,
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def make_plan(*overrides, **values):
    """The graph of VALUES with other sections."""
    return build_graph(resolve(VALUES | values, list(overrides)))


def dataset(classes=("cat", "dog"), bias_labels=True, paths=tuple(f"train/{i}.png" for i in range(6))):
    """Three training images of each class, the third of them conflicting."""
    images = np.stack([np.full((8, 8, 3), 10 * i, np.uint8) for i in range(6)])
    aligned = np.array([True, True, False] * 2) if bias_labels else None
    split = Split(images, np.array([0, 0, 0, 1, 1, 1]), list(paths), aligned=aligned)
    return BiasedDataset("hand", classes, {}, dict.fromkeys(("train", "val", "test"), split), ("val: held out",))


def metrics(cell, bias_labels=True):
    """ERM: 50 and 60 % by seed; others 90 and 100 % at w = 0, and 9 % less for each unit of guidance."""
    value = (0.5 if cell.guidance is None else 0.9 - 0.09 * cell.guidance) + 0.1 * cell.seed
    found = {"average_accuracy": value}
    if bias_labels:
        groups = {"cat/aligned": 1.0, "cat/conflicting": value / 2}
        found |= {"aligned_accuracy": 1.0, "conflicting_accuracy": value, "worst_group_accuracy": value / 2}
        found["group_accuracy"] = groups
    return found


def finish(store, stage, write=lambda directory: None, **files):
    """Write the stage's artifact: its record, `files` (name -> JSON value) and what `write` adds."""
    record = {
        "stage": stage.name,
        "git": {"commit": COMMIT, "dirty": stage.name == "evaluation"},
        "packages": {"torch": "2.9.0"},
        "python": "3.11.7",
        "host": "host-a",
        "device": "cpu (2 cores)",
        "finished": "2026-01-02T03:04:05+00:00",
        "seconds": SECONDS[stage.name],
    }
    with store.produce(stage) as work:
        work.numbers.update(record)
        for name, value in files.items():
            (work.result / f"{name}.json").write_text(json.dumps(value))
        write(work.result)


def complete(graph, store, data=None, skip=()):
    """Finish every stage of the graph that is not finished and whose name is not in `skip`."""
    data = data or dataset()
    known = data["train"].aligned is not None
    cells = {cell.stage.key: cell for cell in graph.cells}
    for stage in graph.stages():
        if stage.name in skip or store.has(stage):
            continue
        if stage.name == "data":
            finish(store, stage, lambda directory: prepared.write(data, directory))
        elif stage.name == "synthetic":
            finish(store, stage, lambda directory, stage=stage: draw(stage, directory))
        elif stage.name == "amplifier":
            quality = {"quality": {"precision": 1.0, "recall": 0.5, "auroc": 0.75}} if known else {}
            left = 2 if known else None
            curve = [
                {"step": s, "epoch": float(s), "errors": 2, "conflicting_errors": left, "conflicting_total": left}
                for s in (1, 2)
            ]
            finish(
                store,
                stage,
                lambda directory: signals(data).write(directory / "signals.parquet"),
                curve=curve,
                **quality,
            )
        elif stage.name == "evaluation":
            finish(store, stage, metrics=metrics(cells[stage.key], known))
        elif stage.name == "alignment":
            share = 0.9 + 0.05 * stage.inputs["synthetic"].config["sampling"]["guidance"]
            finish(store, stage, alignment={"aligned_share": share, "right_class_share": 1.0})
        else:
            finish(store, stage)


def signals(data):
    """Loss i for training image i but for the third, which has the highest and is taken for a dog."""
    train = data["train"]
    loss = np.array([0, 1, 7.5, 3, 4, 5], np.float32)
    predicted = np.array([0, 0, 1, 1, 1, 0])
    return Signals(train.paths, train.labels, predicted, loss, np.exp(-loss), predicted != train.labels)


def draw(stage, directory):
    guidance, number = (stage.config["sampling"][name] for name in ("guidance", "images_per_class"))
    labels, indices = np.repeat([0, 1], number), np.tile(np.arange(number), 2)
    images = np.stack([np.full((8, 8, 3), (guidance, c, i), np.uint8) for c, i in zip(labels, indices, strict=True)])
    table = synthetic.to_table(images, labels, indices, stage.config["seed"], guidance)
    synthetic.write(table, directory / "images.parquet")
