"""Splits and classes as people name their folders: what is taken for what, and how to say otherwise."""

import pytest

from ddb.data.roles import find_roles, role_of
from ddb.data.tree import walk
from ddb.errors import DDBError


@pytest.fixture
def roles(tmp_path, put):
    """roles("train/cat test/cat") of a folder that has an image in each of these."""

    def find(folders, wanted=None):
        put(*(f"{folder}/1.png" for folder in folders.split()))
        return find_roles(walk(tmp_path), wanted)

    return find


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train", "train"), ("Training", "train"), ("TRAIN", "train"), ("trainset", "train"), ("train_data", "train"),
        ("Training set", "train"), ("train-images", "train"), ("train2017", "train"), ("val", "val"),
        ("valid", "val"), ("Validation", "val"), ("dev", "val"), ("evaluation", "val"), ("test", "test"),
        ("Test_set", "test"), ("testing", "test"), ("testset", "test"), ("1. Test", "test"),
        ("cat", None), ("training shoes", None), ("test tube", None), ("trains", None), ("contest", None),
        ("set", None), ("", None), ("0", None), ("train test", None),
    ],
)  # fmt: skip
def test_what_names_mean(name, role):
    assert role_of(name) == role


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ("train/cat train/dog test/cat test/dog", {"train": "train", "test": "test"}),
        ("train/cat train/dog dev/cat Test_set/dog", {"train": "train", "val": "dev", "test": "Test_set"}),
        ("train/cat train/dog val/cat evaluation/dog", {"train": "train", "val": "val", "test": "evaluation"}),
        ("train/cat train/dog evaluation/dog", {"train": "train", "val": "evaluation"}),
        ("seg_train/cat seg_train/dog seg_test/dog seg_pred", {"train": "seg_train", "test": "seg_test"}),
        ("train/cat train/dog test/cat unlabeled", {"train": "train", "test": "test"}),
        ("train/cat train/dog backup/cat backup/dog", {"train": "train"}),
        ("cat dog test/cat test/dog", {"train": "", "test": "test"}),
    ],
)
def test_splits_are_known_and_named(roles, folders, expected):
    found = roles(folders)
    assert found.folders == expected
    named = ", ".join(f"{role} from {folder or 'the other folders'}" for role, folder in expected.items())
    assert found.notes == [f"splits: {named} (dataset.splits names other folders, or {{}} to take each for a class)"]


def test_a_second_folder_of_a_split_is_left_aside(roles):
    found = roles("cat dog test/cat testing/dog")
    assert found.folders == {"train": "", "test": "test"} and found.spare == ["testing"]


@pytest.mark.parametrize(
    ("folders", "named"),
    [
        ("bus car train", "train is taken for a class and no split, because of bus"),
        ("cat test test/odd", "test is taken for a class and no split, because of cat"),
        ("bus car test train", "test and train are taken for classes and no splits, because of bus"),
    ],
)
def test_a_class_called_like_a_split_is_a_class_and_said_so(roles, folders, named):
    found = roles(folders)
    assert found.folders == {}
    assert found.notes == [f"{named} beside it (dataset.splits names split folders)"]


@pytest.mark.parametrize(
    "folders", ["cat dog", "cat/a dog/a", "cat/a cat/b dog/a", "cat cat/a cat/b dog/a dog/b", "cat/a cat/b"]
)
def test_ordinary_classes_need_no_word(roles, folders):
    found = roles(folders)
    assert (found.folders, found.notes) == ({}, [])


def test_splits_of_other_names_are_suspected(roles):
    (note,) = roles("part1/cat part1/dog part2/cat part2/dog").notes
    assert note.startswith("warning: each class (part1, part2) has the same folders in it (cat, dog)")


def test_splits_without_train_are_refused(roles, tmp_path):
    with pytest.raises(DDBError, match=rf"^{tmp_path}: val and test would be splits, but no folder is called train"):
        roles("val/cat test/cat")


def test_the_setting_decides(roles):
    folders = "bus train test parts/one/cat"
    assert roles(folders, {}).folders == {}
    assert roles(folders, {"train": "./train/", "val": "parts/one"}).folders == {"train": "train", "val": "parts/one"}
    found = roles(folders, {"train": ".", "test": "test"})
    assert (found.folders, found.notes) == ({"train": "", "test": "test"}, [])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"test": "test"}, "dataset.splits: names no folder for train"),
        ({"train": "trian"}, r"dataset.splits.train: .*/trian: no such folder"),
        ({"train": "../train"}, r"no such folder"),
        ({"train": "train", "test": "train/"}, r"dataset.splits: .* would be in both"),
        ({"train": "train", "val": "train/cat"}, r"val \(train/cat\) lies in train \(train\), so its images"),
        ({"train": "train", "test": "."}, r"train \(train\) lies in test \(\.\)"),
        ({"train": ".", "test": "train/cat"}, r"test \(train/cat\) lies in train"),
        ({"train": ".", "test": "."}, r"would be in both"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused(roles, wanted, message):
    with pytest.raises(DDBError, match=message):
        roles("train/cat train/dog trainer/cat", wanted)
