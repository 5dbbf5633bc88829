import numpy as np
import pytest

from ddb.data import load_dataset
from ddb.data.folder import FolderConfig
from ddb.errors import DDBError

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
