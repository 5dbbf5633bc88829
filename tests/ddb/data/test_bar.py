import numpy as np
import pytest

from ddb.data import load_dataset
from ddb.data.bar import CLASSES, BARConfig, published
from ddb.errors import DDBError


@pytest.fixture
def flat(tmp_path, picture):
    for name in CLASSES:
        for i in range(10):
            picture(tmp_path / f"train/{name}_{i}.jpg", i)
        picture(tmp_path / f"test/{name}_0.jpg")
    return tmp_path


def test_a_tenth_of_every_class_is_held_out_and_noted(flat):
    dataset = load_dataset(BARConfig(root=flat))
    assert dataset.classes == CLASSES and "pole vaulting" in dataset.classes
    assert np.bincount(dataset["train"].labels).tolist() == [9] * 6
    assert np.bincount(dataset["val"].labels).tolist() == [1] * 6
    assert not set(dataset["train"].paths) & set(dataset["val"].paths)
    assert dataset.notes[0].startswith("val: 6 images, 10% of the training images held out by us")
    assert dataset["train"].aligned is None and not dataset.bias_attributes
    assert load_dataset(BARConfig(root=flat, holdout_seed=1))["val"].paths != dataset["val"].paths


def test_some_of_the_classes(flat):
    dataset = load_dataset(BARConfig(root=flat, classes=("racing", "pole vaulting")))
    assert dataset.classes == ("racing", "pole vaulting") and dataset.notes[1] == "2 of BAR's 6 classes"
    assert all(path.startswith("test/racing") == (label == 0)
               for path, label in zip(dataset["test"].paths, dataset["test"].labels, strict=True))  # fmt: skip


def test_the_variant_has_bias_labels(tmp_path, put):
    put("train/align/climbing/a_0_0.jpg", "train/align/diving/b_1_1.jpg", "valid/e_0_0.jpg", "test/f_1_0.jpg")
    put("train/conflict/1pct/climbing/c_0_1.jpg", "train/conflict/5pct/diving/d_1_0.jpg")
    for variant, conflicting in (("1pct", "c_0_1.jpg"), ("5pct", "d_1_0.jpg")):
        train = load_dataset(BARConfig(root=tmp_path, variant=variant))["train"]
        assert len(train) == 3 and [not path.endswith(conflicting) for path in train.paths] == train.aligned.tolist()


def test_mistakes_are_named(flat, picture):
    with pytest.raises(DDBError, match=r"dataset\.classes: 'running' is not a class of BAR"):
        load_dataset(BARConfig(root=flat, classes=("running", "racing")))
    picture(flat / "train/running_1.jpg")
    with pytest.raises(DDBError, match=r"running_1\.jpg: its name must be <class>_<number>"):
        load_dataset(BARConfig(root=flat))


def test_only_variants_know_the_bias_and_only_the_original_has_published_counts():
    assert BARConfig().bias_labels is False and BARConfig(variant="1pct").bias_labels is True
    assert published(BARConfig(variant="1pct")) == {}
    assert published(BARConfig(classes=("throwing", "fishing"))) == {"train": (317, 163), "test": (85, 42)}
