"""Which suggestion do images with a wrong label receive, and which do images that break the shortcut?

    python results/features/flips_study.py [--store runs] [--seeds 5]

Flips the labels of 2 % of the training images of pacs_biased, finds signals by the closed form `lda` in the features of
EfficientNet-Lite0, and counts the suggestions of `ddb.audit.second_opinion`. Features are computed where missing.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ddb.audit.second_opinion import second_opinion
from ddb.data import prepared
from ddb.experiment.config import methods
from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.experiment.local import compute
from ddb.features import table
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.judge import judge
from ddb.store import Store
from ddb.training.loop import Context

CONFIG = Path(__file__).parents[2] / "configs" / "features" / "pacs_biased.yaml"
SHARE = 0.02


def main() -> None:
    """Measure, and write flips.md beside this file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    store = Store(arguments.store)
    graph = build_graph(load(CONFIG))
    compute(graph.stages("features"), store, graph.config.resources, lambda event: None)
    features = store.path(graph.stages("features")[-1])
    dataset = prepared.read(store.path(graph.data))
    layers = [table.with_features(dataset, features, layer) for layer in table.layers(features)]
    training = next(row.settings for row in methods(graph.config) if row.label == "erm")
    counts = pd.DataFrame([count(layers, training, seed) for seed in range(arguments.seeds)])
    text = [
        "| images of each run | flagged | suggested: check the label | share of the flagged |",
        "|---|---:|---:|---:|",
    ]
    for kind in KINDS:
        number, flagged, check = (counts[f"{kind} {each}"] for each in ("all", "flagged", "check"))
        shares = 100 * check / flagged
        text.append(
            f"| {kind}: {number.mean():.0f} | {flagged.mean():.1f} | {check.mean():.1f} | "
            f"{shares.mean():.0f} % ± {shares.std():.0f} |"
        )
    head = (
        f"Labels of {SHARE:.0%} of the training images of pacs_biased flipped; mean over {arguments.seeds} random "
        "choices, ± the standard deviation.\nComputed by `python results/features/flips_study.py`."
    )
    path = Path(__file__).with_name("flips.md")
    path.write_text(head + "\n\n" + "\n".join(text) + "\n")
    print(path)


KINDS = ("wrong label", "breaks the shortcut", "neither")


def count(layers, training, seed):
    """Numbers of images of each kind: all, flagged, and those suggested for a check of the label."""
    train, classes = layers[0]["train"], len(layers[0].classes)
    random, labels = np.random.default_rng(seed), train.labels.copy()
    flipped = np.zeros(len(train), bool)
    flipped[random.choice(len(train), round(SHARE * len(train)), replace=False)] = True
    labels[flipped] = (labels[flipped] + random.integers(1, classes, flipped.sum())) % classes
    layers = [replace(d, splits=d.splits | {"train": replace(d["train"], labels=labels)}) for d in layers]
    signals = judge(layers, None, AmplifierSettings(source="lda", space="features"), Context(seed, "signals")).train
    opinion = second_opinion(layers, {"train": signals}, "lda", training)["train"]
    kinds = dict(zip(KINDS, (flipped, ~train.aligned & ~flipped, train.aligned & ~flipped), strict=True))
    return {
        f"{name} {what}": int((of_kind & chosen).sum())
        for name, of_kind in kinds.items()
        for what, chosen in (
            ("all", np.ones(len(train), bool)),
            ("flagged", signals.misclassified),
            ("check", opinion.check_label),
        )
    }


if __name__ == "__main__":
    main()
