import numpy as np
import pytest

from ddb.data import DataMissing, load_dataset
from ddb.data.folder import FolderConfig
from ddb.errors import DDBError
from ddb.settings import build

STRANGE = ("a cat", "dog's <script>", "ünï☃")


def make(root, picture, number=20, classes=STRANGE):
    for name in classes:
        for i in range(number):
            picture(root / name / f'{i} "x".png', i)
    return root


def test_a_folder_per_class_is_split_stratified_and_said_so(tmp_path, picture):
    dataset = load_dataset(FolderConfig(root=make(tmp_path, picture)))
    assert set(dataset.classes) == set(STRANGE)
    counts = {name: np.bincount(dataset[name].labels).tolist() for name in dataset.splits}
    assert counts == {"train": [14] * 3, "val": [2] * 3, "test": [4] * 3}
    paths = [path for name in dataset.splits for path in dataset[name].paths]
    assert len(set(paths)) == 60 and all((tmp_path / path).exists() for path in paths)
    assert [note.split(",")[0] for note in dataset.notes] == ["test: 12 images", "val: 6 images"]


def test_split_folders_are_taken_as_they_are(tmp_path, picture):
    for name, number in (("train", 5), ("valid", 2), ("test", 3)):
        make(tmp_path / name, picture, number)
    dataset = load_dataset(FolderConfig(root=tmp_path))
    assert [len(dataset[name]) for name in ("train", "val", "test")] == [15, 6, 9] and not dataset.notes


def test_only_what_is_missing_is_held_out(tmp_path, picture):
    make(tmp_path / "train", picture, 10)
    make(tmp_path / "test", picture, 3)
    dataset = load_dataset(FolderConfig(root=tmp_path))
    assert [len(dataset[name]) for name in ("train", "val", "test")] == [27, 3, 9] and len(dataset.notes) == 1


def test_mistakes_are_named(tmp_path, picture):
    with pytest.raises(DDBError, match="needs a folder per class, at least two; it has 1"):
        load_dataset(FolderConfig(root=make(tmp_path / "one", picture, 3, ("cat",))))
    make(tmp_path / "few", picture, 9, ("cat",))
    picture(tmp_path / "few/dog/1.png")
    with pytest.raises(DDBError, match="few/dog: 1 images left; too few to hold some out"):
        load_dataset(FolderConfig(root=tmp_path / "few"))
    make(tmp_path / "odd/train", picture, 3)
    make(tmp_path / "odd/test", picture, 3, ("bird",))
    with pytest.raises(DDBError, match="test/bird: no training images of this class"):
        load_dataset(FolderConfig(root=tmp_path / "odd"))


def test_what_is_held_out_follows_from_its_seed(tmp_path, picture):
    make(tmp_path, picture)
    first, again, other = (load_dataset(FolderConfig(root=tmp_path, split_seed=seed)) for seed in (0, 0, 1))
    for name in ("val", "test"):
        assert first[name].paths == again[name].paths != other[name].paths
    assert not set(first["val"].paths) & set(first["test"].paths)


def test_classes_are_sorted_and_bias_is_unknown(tmp_path, picture):
    dataset = load_dataset(FolderConfig(root=make(tmp_path, picture)))
    assert dataset.classes == ("a cat", "dog's <script>", "ünï☃") and dataset.bias_attributes == {}
    for split in dataset.splits.values():
        assert split.bias is None and split.aligned is None
        assert [dataset.classes[label] for label in split.labels] == [path.split("/")[0] for path in split.paths]


def test_a_missing_test_folder_is_held_out_of_train_alone(tmp_path, picture):
    make(tmp_path / "training", picture, 10)
    make(tmp_path / "validation", picture, 4)
    dataset = load_dataset(FolderConfig(root=tmp_path))
    assert [len(dataset[name]) for name in ("train", "val", "test")] == [24, 12, 6]
    assert all(path.startswith("training/") for path in dataset["test"].paths)
    assert [note.split(":")[0] for note in dataset.notes] == ["test"]


def test_three_images_of_a_class_are_one_for_each_split(tmp_path, picture):
    dataset = load_dataset(FolderConfig(root=make(tmp_path, picture, 3)))
    assert all(np.bincount(dataset[name].labels).tolist() == [1] * 3 for name in ("train", "val", "test"))


def test_an_empty_folder_is_no_class_and_said_to_be_left_out(tmp_path, picture):
    make(tmp_path, picture)
    (tmp_path / "empty/inside").mkdir(parents=True)
    dataset = load_dataset(FolderConfig(root=tmp_path))
    assert dataset.classes == STRANGE and dataset.reading == ("left out: 2 empty folders, such as empty",)


def test_a_missing_folder_and_wrong_settings_are_named(tmp_path):
    with pytest.raises(DataMissing, match=f"dataset folder: not found at {tmp_path}/absent"):
        load_dataset(FolderConfig(root=tmp_path / "absent"))
    for values, message in (
        ({}, "root: field required"),
        ({"root": "x", "test_share": 1}, "test_share: .*less than 1"),
    ):
        with pytest.raises(DDBError, match=rf"^dataset\.{message}"):
            build(FolderConfig, values, "dataset")
