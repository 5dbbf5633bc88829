"""How much held-out accuracy may a recipe lose before it is replaced? Chosen on Colored Digits.

    python results/features/safeguard_study.py [--seeds 3]

Conflict ratios from 1 % to 90 % (no bias), without and with 10 % wrong labels. Signals from the closed form `lda` on
pixels, an `mlp` on the pixels as the classifier. For each limit k (`safeguard` of `ddb.recipes.safeguard`) the table
has the gain in average test accuracy against ERM of what the rule would have trained; `never` has no safeguard, and the
fitted temperature.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ddb.data.colored_digits import ColoredDigitsConfig, load
from ddb.recipes import get_method
from ddb.recipes.end_to_end import MULTIPLES
from ddb.recipes.safeguard import FOLDS
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.calibration import calibrated
from ddb.signals.cross_fit import folds
from ddb.signals.judge import judge
from ddb.training.classifier import predict
from ddb.training.loop import Context

TRAINING = {"network": "mlp", "evaluate_every": None, "steps": 150, "learning_rate": 3e-3, "weight_decay": 1.0}
RECIPES = {
    "ddb_two_step": (None,),
    "jtt_ddb": (None,),
    "ddb_end_to_end": MULTIPLES,
    "lff_ddb": MULTIPLES,
}
LIMITS = {"0.25": 0.25, "0.5": 0.5, "1": 1.0, "1.5": 1.5, "never": np.inf}


def main() -> None:
    """Measure, and write safeguard.md beside this file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.01, 0.02, 0.05, 0.1, 0.3, 0.9])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for noise in (0.0, 0.1):
        for ratio in arguments.ratios:
            for seed in range(arguments.seeds):
                rows += measure(noise, ratio, seed)
    table = pd.DataFrame(rows).pivot_table("gain", ["wrong labels", "conflicting", "recipe"], "k", sort=False)
    text = "\n".join(f"| {' | '.join(map(str, row))} |" for row in lines(table))
    path = Path(__file__).with_name("safeguard.md")
    path.write_text(f"{HEAD.format(arguments.seeds)}\n\n{text}\n")
    print(path)


HEAD = """Gain in average test accuracy against ERM in points, mean over {} seeds, by the limit k of the safeguard;
Colored Digits, signals and classifier on pixels. Computed by `python results/features/safeguard_study.py`."""


def lines(table: pd.DataFrame) -> list[list[str]]:
    """Cells of a Markdown table."""
    head = ["wrong labels", "conflicting", "recipe", *(f"k = {k}" if k != "never" else k for k in table.columns)]
    body = [
        [f"{noise:.0%}", f"{ratio:.0%}", recipe, *(f"{value:+.1f}" for value in values)]
        for (noise, ratio, recipe), values in zip(table.index, table.to_numpy(), strict=True)
    ]
    return [head, ["---"] * 3 + ["---:"] * len(table.columns), *body]


def measure(noise: float, ratio: float, seed: int) -> list[dict]:
    """The gain of every recipe under every limit."""
    loaded = load(ColoredDigitsConfig(conflict_ratio=ratio, label_noise=noise, seed=seed))
    dataset = replace(loaded, splits={name: as_vectors(split) for name, split in loaded.splits.items()})
    signals = judge([dataset], None, AmplifierSettings(source="lda"), Context(seed, "signals")).train
    erm = accuracies(dataset, signals, seed, "erm")
    rows = []
    for recipe, multiples in RECIPES.items():
        found = [accuracies(dataset, signals, seed, recipe, each) for each in multiples]
        for name, limit in LIMITS.items():
            allowed = limit * signals.misclassified.mean()
            passing = (test for held_out, test in found if erm[0] - held_out <= allowed)
            test = found[multiples.index(1) if 1 in multiples else 0][1] if name == "never" else next(passing, erm[1])
            gain = 100 * (test - erm[1])
            rows.append({"wrong labels": noise, "conflicting": ratio, "recipe": recipe, "k": name, "gain": gain})
    return rows


def as_vectors(split):
    """The pixels of each image as a vector (H W 3,) in [0, 1]."""
    return replace(split, images=(np.asarray(split.images, np.float32) / 255).reshape(len(split), -1))


def accuracies(dataset, signals, seed, recipe, multiple=None):
    """Cross-validated accuracy on the training images, and accuracy on the test images."""
    method, train, test = get_method(recipe), dataset["train"], dataset["test"]
    settings = method.settings_class.model_validate(TRAINING | ({"upweight": 20} if recipe == "jtt_ddb" else {}))
    signals = signals if multiple is None else calibrated(signals, "fitted", multiple)

    def right(rows, judged):
        given = signals.take(rows) if method.needs_signals else None
        model = method.function(train.take(rows), given, settings, Context(seed, recipe))
        return predict(model, judged).argmax(1).numpy() == judged.labels

    fold = folds(train.labels, FOLDS, seed)
    parts = [right(np.flatnonzero(fold != n), train.take(np.flatnonzero(fold == n))) for n in range(FOLDS)]
    return np.concatenate(parts).mean(), right(np.arange(len(train)), test).mean()


if __name__ == "__main__":
    main()
