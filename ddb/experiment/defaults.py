"""A configuration for anyone's folder of images, chosen from the data: `ddb run --data DIR`, `ddb audit DIR`.

    values, reasons = configuration_for(Path("my_images"), gpu=False)           # pixels and a CDPM, the paper's method
    values, reasons = features_configuration_for(Path("my_images"))             # features of a frozen encoder

In pixels, resolution follows the images and the machine, the numbers of steps follow the number of images. Nothing is
mirrored, since for writing or road signs that would be another class.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ddb.data import SPLITS, BiasedDataset, load_dataset
from ddb.data.folder import FolderConfig
from ddb.experiment.config_file import CONFIGS, read_file
from ddb.settings import build

SIZES = (16, 32, 64)  # pixels of the CDPM's images
CHANNELS = {16: [16, 32, 64], 32: [32, 64, 64], 64: [64, 128, 128, 256]}
LARGEST_ON_CPU = 32
PREVIEW = 96  # pixels of the arrays that pages show, if classifiers see features
SAMPLED = 200  # files whose size is looked at


Configuration = tuple[dict[str, Any], list[str]]  # plain values, and a line for each choice


def configuration_for(root: Path, gpu: bool, settings: dict[str, Any] | None = None) -> Configuration:
    """Plain values of a configuration, and a line for each choice; `settings` of the data set are the user's.

    Raises DDBError where the folder cannot be used.
    """
    dataset = load_dataset(build(FolderConfig, {"root": root} | (settings or {}), "dataset"))
    images, classes = len(dataset["train"]), len(dataset.classes)
    side = typical_side(dataset)
    limit = SIZES[-1] if gpu else LARGEST_ON_CPU
    size = max([s for s in SIZES if s <= min(side, limit)] or SIZES[:1])
    batch = 128 if gpu else 64 if size == 16 else 32
    passes = 100 if gpu else 40
    cdpm_steps = int(np.clip(round(passes * images / batch, -2), 900, 50_000 if gpu else 3_000))
    drawn = int(np.clip(images // classes, 50, 1_000 if gpu else 200))
    steps = int(np.clip(round(30 * images / 64, -2), 500, 10_000 if gpu else 2_000))
    values = {
        "dataset": {"name": "folder", "root": str(root.absolute()), "image_size": size} | (settings or {}),
        "cdpm": {"channels": CHANNELS[size], "steps": cdpm_steps, "batch_size": batch, "learning_rate": 1e-3},
        "sampling": {"images_per_class": drawn},
        "amplifier": {"steps": 300},
        "training": {"steps": steps, "evaluate_every": steps // 5},
        "methods": {"erm": {}, "ddb_two_step": {}, "ddb_end_to_end": {}},
        "memorisation": False,
        "seeds": [0],
    }
    shares = ", ".join(f"{len(dataset[name]):,} {name}" for name in SPLITS)
    reasons = [
        f"{classes} classes, {shares} images; {side} pixels is the usual shorter side",
        *dataset.notes,
        f"dataset.image_size={size}: the largest of {SIZES} that images and a {'GPU' if gpu else 'CPU'} allow",
        f"cdpm.steps={cdpm_steps} of cdpm.batch_size={batch}: {cdpm_steps * batch / images:.0f} passes over the images",
        f"sampling.images_per_class={drawn}, training.steps={steps}: by the number of images",
    ]
    return values, reasons


def features_configuration_for(root: Path, settings: dict[str, Any] | None = None) -> Configuration:
    """The same in feature space, with the settings of configs/features; they do not depend on the data."""
    settings = {"val_share": 0.2, "test_share": 0.1} | (settings or {})
    dataset = load_dataset(build(FolderConfig, {"root": root} | settings, "dataset"))
    common = read_file(CONFIGS / "features" / "colored_digits.yaml")
    values = {name: common[name] for name in ("features", "amplifier", "training", "seeds")}
    values |= {
        "dataset": {"name": "folder", "root": str(root.absolute()), "image_size": PREVIEW} | settings,
        "methods": {"erm": {}, "ddb_two_step": {}, "lff_ddb_safe": common["methods"]["lff_ddb_safe"]},
        "memorisation": False,
    }
    shares = ", ".join(f"{len(dataset[name]):,} {name}" for name in SPLITS)
    reasons = [
        f"{len(dataset.classes)} classes, {shares} images",
        *dataset.notes,
        f"features of {common['features']['encoder']}, signals from {common['amplifier']['source']}, linear "
        "classifiers: the settings of configs/features; --space pixels trains a diffusion model instead",
    ]
    return values, reasons


def typical_side(dataset: BiasedDataset) -> int:
    """Median of the shorter sides in pixels, from the headers of some of the files; unreadable ones are left out."""
    split, sides = dataset["train"], []
    for row in np.linspace(0, len(split) - 1, min(SAMPLED, len(split))).astype(int):
        try:
            with Image.open(split.root / split.paths[row]) as image:
                sides.append(min(image.size))
        except (OSError, SyntaxError, Image.DecompressionBombError):
            continue
    return int(np.median(sides)) if sides else SIZES[0]
