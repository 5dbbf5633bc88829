"""`ddb data describe`: how many images each group has, and a sheet that shows some of each."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ddb.data import SPLITS, BiasedDataset, Split, group_names, groups
from ddb.data.images import read_image, resize
from ddb.errors import DDBError

TILE, GAP, LABEL_WIDTH, COLUMNS = 48, 4, 170, 12  # pixels, pixels, pixels, images per group


def group_table(dataset: BiasedDataset) -> tuple[list[str], list[list[str]]]:
    """Header and rows: images per split of every group, or of every class where the bias is not labelled."""
    names, _ = _members(dataset, dataset["train"])
    counts = {split: np.bincount(_members(dataset, dataset[split])[1], minlength=len(names)) for split in SPLITS}
    rows = [[name, *(f"{counts[split][i]:,}" for split in SPLITS)] for i, name in enumerate(names)]
    rows.append(["all", *(f"{len(dataset[split]):,}" for split in SPLITS)])
    return ["group", *SPLITS], rows


def contact_sheet(dataset: BiasedDataset, path: Path) -> None:
    """A PNG with one row of training images per group; a group without any has an empty row."""
    names, member = _members(dataset, dataset["train"])
    sheet = Image.new("RGB", (LABEL_WIDTH + COLUMNS * (TILE + GAP), len(names) * (TILE + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        top = row * (TILE + GAP)
        draw.text((GAP, top + TILE // 3), name, fill="black")
        for column, index in enumerate(np.flatnonzero(member == row)[:COLUMNS]):
            sheet.paste(_tile(dataset["train"], index), (LABEL_WIDTH + column * (TILE + GAP), top))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _tile(split: Split, index: int) -> Image.Image:
    """One image at the sheet's size; a file that cannot be read is a crossed square."""
    if split.images is not None:
        return Image.fromarray(split.images[index]).resize((TILE, TILE), Image.Resampling.NEAREST)
    try:
        return resize(read_image(split.file(index)), TILE)
    except DDBError:
        tile = Image.new("RGB", (TILE, TILE), "lightgrey")
        ImageDraw.Draw(tile).line((0, 0, TILE, TILE), fill="red", width=2)
        return tile


def _members(dataset: BiasedDataset, split: Split) -> tuple[list[str], np.ndarray]:
    """Names of the groups and the group of each image, (N,)."""
    if dataset["train"].aligned is None:
        return list(dataset.classes), split.labels
    return group_names(dataset.classes, tuple(dataset.bias_attributes)), groups(split)
