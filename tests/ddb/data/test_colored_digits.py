import numpy as np
import pytest

from ddb.data import load_dataset
from ddb.data.colored_digits import PALETTE, ColoredDigitsConfig


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(ColoredDigitsConfig())


def test_each_class_has_the_stated_share_of_conflicting_images(dataset):
    train = dataset["train"]
    for label in range(10):
        members = train.labels == label
        assert (~train.aligned[members]).sum() == round(0.05 * members.sum())
    assert np.array_equal(train.aligned, train.bias[:, 0] == train.labels)


def test_no_scan_is_in_two_splits(dataset):
    scans = {name: {path[:8] for path in split.paths} for name, split in dataset.splits.items()}
    assert not scans["train"] & scans["val"] and not scans["train"] & scans["test"] and not scans["val"] & scans["test"]
    assert sum(map(len, scans.values())) == 1797


def test_every_test_scan_appears_once_in_every_colour(dataset):
    test = dataset["test"]
    assert len(set(test.paths)) == len(test) == 297 * 10
    assert np.array_equal(np.bincount(test.bias[:, 0]), [297] * 10)


def test_the_background_is_the_colour_of_the_bias_attribute(dataset):
    train = dataset["train"]
    blank = train.images.reshape(len(train), -1, 3).sum(-1).argmin(1)  # the darkest pixel holds no ink
    background = train.images.reshape(len(train), -1, 3)[np.arange(len(train)), blank]
    assert np.array_equal(background, np.array(list(PALETTE.values()))[train.bias[:, 0]])


def test_construction_is_deterministic_and_the_seed_changes_it(dataset):
    again, other = load_dataset(ColoredDigitsConfig()), load_dataset(ColoredDigitsConfig(seed=1))
    assert np.array_equal(again["train"].images, dataset["train"].images)
    assert other["train"].paths != dataset["train"].paths
