"""Colored Digits for all tests of methods; none of them changes it."""

import pytest

from ddb.data import ColoredDigitsConfig, load_dataset


@pytest.fixture(scope="session")
def dataset():
    return load_dataset(ColoredDigitsConfig())


@pytest.fixture(scope="session")
def train(dataset):
    return dataset["train"]
