import numpy as np
import pytest

from ddb.data import DataMissing, load_dataset
from ddb.data.folder import FolderConfig
from ddb.errors import DDBError
from ddb.settings import build
from ddb.store import Store

STRANGE = ("a cat", "dog's <script>", "ünï☃")


def make(root, picture, number, classes=STRANGE):
    for name in classes:
        for i in range(number):
            picture(root / name / f'{i} "x".png', i)
    return root


def test_a_folder_per_class_is_split_stratified_and_noted(tmp_path, picture):
    make(tmp_path, picture, 40)
    (tmp_path / "empty/inside").mkdir(parents=True)  # no class
    dataset = load_dataset(FolderConfig(root=tmp_path))
    assert dataset.classes == STRANGE and dataset.bias_attributes == {}
    assert dataset.reading == ("left out: 2 empty folders, such as empty",)
    counts = {name: np.bincount(dataset[name].labels).tolist() for name in dataset.splits}
    assert counts == {"train": [28] * 3, "val": [4] * 3, "test": [8] * 3}
    paths = [path for name in dataset.splits for path in dataset[name].paths]
    assert len(set(paths)) == 120 and all((tmp_path / path).exists() for path in paths)
    assert [note.split(",")[0] for note in dataset.notes] == ["test: 24 images", "val: 12 images"]
    other = load_dataset(FolderConfig(root=tmp_path, split_seed=1))
    for name, split in dataset.splits.items():
        assert split.bias is None and split.aligned is None
        assert [STRANGE[label] for label in split.labels] == [path.split("/")[0] for path in split.paths]
        assert split.paths != other[name].paths


@pytest.mark.parametrize(
    ("numbers", "sizes", "held_out"),
    [
        ({"train": 10, "test": 3}, [27, 3, 9], "val"),
        ({"training": 10, "validation": 4}, [24, 12, 6], "test"),
    ],
)
def test_only_missing_splits_are_held_out_of_the_training_images(tmp_path, picture, numbers, sizes, held_out):
    for name, number in numbers.items():
        make(tmp_path / name, picture, number)
    dataset = load_dataset(FolderConfig(root=tmp_path))
    assert [len(dataset[name]) for name in ("train", "val", "test")] == sizes
    assert all(path.startswith("train") for path in dataset[held_out].paths)
    assert [note.split(":")[0] for note in dataset.notes] == [held_out]


def test_mistakes_are_named(tmp_path, picture):
    with pytest.raises(DataMissing, match=f"dataset folder: not found at {tmp_path}/absent"):
        load_dataset(FolderConfig(root=tmp_path / "absent"))
    make(tmp_path / "few", picture, 9, ("cat",))
    picture(tmp_path / "few/dog/1.png")
    with pytest.raises(DDBError, match="few/dog: 1 images left; too few to hold some out"):
        load_dataset(FolderConfig(root=tmp_path / "few"))


def fill(root, put, *folders, number=3):
    """`number` images in each folder below root, which is the folder that `put` writes to."""
    put(*(f"{folder}/{i}.png" for folder in folders for i in range(number)))
    return load_dataset(FolderConfig(root=root))


def sizes(dataset):
    return {name: len(split) for name, split in dataset.splits.items()}


def test_splits_are_taken_as_people_name_them_and_said_so(tmp_path, put):
    dataset = fill(tmp_path, put, *(f"{split}/{name}" for split in ("Training", "dev", "Test_set") for name in "ab"))
    assert dataset.classes == ("a", "b") and sizes(dataset) == {"train": 6, "val": 6, "test": 6}
    assert dataset["val"].paths[0] == "dev/a/0.png" and not dataset.notes
    assert dataset.reading == ("splits: train from Training, val from dev, test from Test_set (dataset.splits names "
                               "other folders, or {} to take each for a class)",)  # fmt: skip


def test_images_in_folders_below_a_class_are_of_that_class(tmp_path, put):
    dataset = fill(tmp_path, put, "train/cat", "train/cat/more", "train/cat/more/yet", "train/dog", "test/cat/x")
    train = dataset["train"].paths + dataset["val"].paths
    assert len(train) == 12 and sum(path.startswith("train/cat/") for path in train) == 9
    assert [dataset.classes[label] for label in dataset["test"].labels] == ["cat"] * 3
    assert dataset.reading[-1].startswith("9 images in folders below a class's are read with their class, such as ")


def test_a_class_of_files_that_cannot_be_read_is_refused(tmp_path, put):
    (tmp_path / "dog").mkdir()
    for name in ("1.heic", "2.HEIC", "3.mov"):
        (tmp_path / "dog" / name).write_bytes(b"x")
    expected = r"dog: none of its 3 files can be read as an image \(.heic 2, .mov 1\); convert them, or move the folder"
    with pytest.raises(DDBError, match=expected):
        fill(tmp_path, put, "cat", "bird")
    for path in (tmp_path / "dog").iterdir():
        path.rename(path.with_suffix(".txt"))
    assert fill(tmp_path, put, "cat", "bird").classes == ("bird", "cat")  # a folder of notes is no class


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["cat"], "needs a folder per class, at least two; it has 1$"),
        (["mine/cat", "mine/dog"], r"at least two; it has 1 \(mine\); is the root .*/mine\?$"),
        (["train", "test"], r"train: needs a folder per class, at least two; it has 0; dataset.splits=\{\} takes each"),
        (["train/cat", "train/dog", "test"], r"/test: no images in folders of the classes; mend it, or leave it out"),
        (["train/cat", "train/dog", "test/Cat"], r"test/Cat: no training images of this class; .* is called 'cat'$"),
        (["train/cat", "train/dog", "test/deep/cat"], r"test/deep: no training images of this class$"),
        (["train/cat", "train/dog", "test/bird/x/bird"], r"test/bird: no training images of this class$"),
        (["cat/train", "cat/test", "dog/train", "dog/test"], r"/cat: a class with splits in it; put the splits above"),
        (["val/cat", "test/cat"], r"would be splits, but no folder is called train"),
    ],
)
def test_what_could_be_read_wrongly_is_refused_with_the_way_out(tmp_path, put, folders, message):
    with pytest.raises(DDBError, match=message):
        fill(tmp_path, put, *folders)


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, put, unlistable):
    """Without it, a class would be smaller than it is."""
    with pytest.raises(DDBError, match=r"cat/shut: the folder cannot be listed"):
        fill(tmp_path, put, "cat", "cat/shut", "dog")


def test_the_setting_says_which_folders_are_splits(tmp_path, put):
    put(*(f"{name}/{c}/{i}.png" for name in ("one", "two", "three/in") for c in "ab" for i in range(3)))
    config = build(FolderConfig, {"root": tmp_path, "splits": {"train": "two", "test": "three/in"}}, "dataset")
    dataset = load_dataset(config)
    assert sizes(dataset) == {"train": 4, "val": 2, "test": 6} and dataset["test"].paths[0] == "three/in/a/0.png"
    assert dataset.reading == ("left out: 6 images that no split takes (one 6), such as one/a/0.png",)
    dataset = load_dataset(FolderConfig(root=tmp_path, splits={}))
    assert dataset.classes == ("one", "three", "two")
    # The root itself may be train, and a folder beside its classes a test split.
    put(*(f"root/{name}/{i}.png" for name in ("cat", "dog", "kept/cat", "kept/dog") for i in range(3)))
    dataset = load_dataset(FolderConfig(root=tmp_path / "root", splits={"train": ".", "test": "kept"}))
    assert dataset.classes == ("cat", "dog") and sizes(dataset) == {"train": 4, "val": 2, "test": 6}


def test_the_setting_changes_no_key_where_it_is_not_given(tmp_path):
    """Keys of results are made from what is dumped; what is read is in the fingerprint."""
    assert "splits" not in FolderConfig(root=tmp_path).model_dump(mode="json")
    assert FolderConfig(root=tmp_path, splits={}).model_dump(mode="json")["splits"] == {}


def test_a_store_among_the_images_is_no_class(tmp_path, put):
    """As after `cd my_images && ddb run --data .`, whose store is `runs`."""
    Store(tmp_path / "runs").open_to_write()
    (tmp_path / "runs" / "data.parquet").touch()
    assert fill(tmp_path, put, "cat", "dog").classes == ("cat", "dog")
