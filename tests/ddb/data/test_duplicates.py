"""Near-duplicates as people's folders have them, on photograph-like images of known origin."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ddb.data import BENCHMARKS, load_dataset
from ddb.data.colored_digits import ColoredDigitsConfig
from ddb.data.duplicates import near_duplicates


def scenes(number, side=64):
    """Random smooth pictures: 8 x 8 random colours, enlarged."""
    random = np.random.default_rng(5)
    small = random.integers(0, 256, (number, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(each).resize((side, side), Image.Resampling.BICUBIC) for each in small]


def compressed(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


CHANGES = {
    "compressed": compressed,
    "scaled": lambda image: image.resize((40, 40)).resize((64, 64)),
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_belongs_to_its_original(change):
    originals = scenes(30)
    images = np.stack([np.asarray(each) for each in [*originals, *map(CHANGES[change], originals)]])
    cluster = near_duplicates(images)
    assert len(set(cluster)) == 30 and np.array_equal(cluster[:30], cluster[30:])


def test_different_pictures_stay_apart_and_so_do_blank_ones():
    images = [np.asarray(each) for each in scenes(200)] + [np.full((64, 64, 3), v, np.uint8) for v in (0, 255)]
    assert len(set(near_duplicates(np.stack(images)))) == 202


def test_a_chain_is_one_cluster():
    """Both ends are halves of a cross-fade: alike to the middle, not to each other."""
    first, last = (np.asarray(each, float) for each in scenes(2))
    steps = np.stack([(first * (1 - w) + last * w).astype(np.uint8) for w in np.linspace(0, 1, 15)])
    assert len(set(near_duplicates(steps[[0, -1]]))) == 2 and len(set(near_duplicates(steps))) == 1


def test_more_images_than_are_compared_at_a_time(monkeypatch):
    monkeypatch.setattr("ddb.data.duplicates.BLOCK", 3)
    images = np.stack([np.asarray(each) for each in scenes(5, 32)])
    assert np.array_equal(near_duplicates(images[[0, 1, 2, 3, 4, 3, 0]]), [0, 1, 2, 3, 4, 3, 0])


def test_the_scan_that_colourings_share():
    val = load_dataset(ColoredDigitsConfig())["val"]
    scans = [BENCHMARKS["colored_digits"].source(path) for path in val.paths]
    names, counts = np.unique(scans, return_counts=True)
    assert len(names) == 200 and (counts == 10).all()
    rows = [row for row, scan in enumerate(scans) if scan == names[0]]
    assert len(set(val.labels[rows])) == 1 and len(set(val.bias[rows, 0])) == 10
