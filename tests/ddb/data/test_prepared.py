import numpy as np
import pytest
from PIL import Image

from ddb.data import BiasedDataset, Split, load_dataset, prepared
from ddb.data.files import listed
from ddb.data.folder import FolderConfig
from ddb.errors import DDBError
from ddb.store import Stage, Store


@pytest.fixture
def images(tmp_path, picture):
    for name in ("cat", "dog"):
        for i in range(10):
            picture(tmp_path / "images" / name / f"{i}.png", 20 * i, size=(30, 20))
    return tmp_path / "images"


def write(root, folder, **options):
    folder.mkdir(exist_ok=True)
    dataset = load_dataset(FolderConfig(root=root))
    prepared.write(dataset, folder, 16, **options)
    return dataset


@pytest.mark.parametrize("mapped", [False, True])
def test_files_become_read_only_arrays_which_stay_on_disk_if_large(images, tmp_path, monkeypatch, mapped):
    listed = write(images, tmp_path / "out")
    if mapped:
        monkeypatch.setattr(prepared, "MEMORY_SHARE", 0)
    read = prepared.read(tmp_path / "out")
    assert (read.classes, read.notes[:-1]) == (listed.classes, listed.notes)
    for name, split in read.splits.items():
        assert isinstance(split.images, np.memmap) is mapped
        assert split.images.shape == (len(listed[name]), 16, 16, 3) and split.paths == listed[name].paths
        assert split.root == images and split.bias is None
        assert split.images[:, 0, 0, 0].tolist() == [20 * int(path[4:5]) for path in split.paths]  # cat/<i>.png
        with pytest.raises(ValueError, match="read-only"):
            split.images[0] = 0
        if mapped:  # an array in memory can be made writable; a mapped file must stay as it is
            with pytest.raises(ValueError):
                split.images.flags.writeable = True


def test_threads_do_not_change_the_arrays(images, tmp_path):
    seen = []
    for threads in (1, 3):
        write(images, tmp_path / str(threads), threads=threads, progress=lambda *told: seen.append(told))
    for name in ("train.npy", "val.npy", "test.npy"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()
    assert seen == [(20, 20)] * 2


def test_all_broken_files_are_named_at_once_and_nothing_is_kept(images, tmp_path):
    for i in range(7):
        (images / "cat" / f"{i}.png").write_bytes(b"")
    store, stage = Store(tmp_path / "runs"), Stage("data", {}, 1)
    with pytest.raises(DDBError) as error, store.produce(stage) as work:
        prepared.write(load_dataset(FolderConfig(root=images)), work.result, 16)
    lines = str(error.value).splitlines()
    assert lines[0] == "dataset folder: 7 of 20 images cannot be used"
    assert all("cat/" in line and "an empty file" in line for line in lines[1:6])
    assert lines[6] == "and 2 more: ddb data check folder" and not store.has(stage)


@pytest.mark.parametrize("size", [8, 24, 48])
def test_arrays_are_pillows_antialiased_pictures_and_blank_ones_are_noted(tmp_path, picture, size):
    """Noise of 40 x 25, shrunk and enlarged: another filter, nearest pixels, or sides exchanged give other values."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 25, 40, 3), dtype=np.uint8)
    for i in range(3):
        Image.fromarray(noise[i]).save(tmp_path / f"{i}.png")
    picture(tmp_path / "blank.png", 9)
    splits = {name: listed(tmp_path, [f"{i}.png"], [0]) for i, name in enumerate(("train", "val", "test"))}
    splits["val"] = listed(tmp_path, ["1.png", "blank.png"], [0, 1])
    (tmp_path / "out").mkdir()
    prepared.write(BiasedDataset("noise", ("a", "b"), {}, splits), tmp_path / "out", size)
    read = prepared.read(tmp_path / "out")
    blank = "warning: 1 image is blank (every channel spans fewer than 16 of 256 values), such as blank.png"
    assert read.notes == (blank,)
    for i, split in enumerate(read.splits.values()):
        expected = np.asarray(Image.fromarray(noise[i]).resize((size, size), Image.Resampling.BICUBIC))
        assert np.array_equal(split.images[0], expected)
        assert not np.array_equal(expected, np.asarray(Image.fromarray(noise[i]).resize((size, size), 0)))


def test_bias_notes_and_root_survive_row_by_row(tmp_path, picture):
    """Two attributes, of which the second disagrees in row 1 and both in row 2; val lacks bias labels."""
    for i in range(3):
        picture(tmp_path / f"{i}.png", 10 * i)
    paths, bias = ["0.png", "1.png", "2.png"], np.array([[0, 0], [1, 2], [0, 2]])
    disagrees = np.array([[False, False], [False, True], [True, True]])
    train = listed(tmp_path, paths, [0, 1, 1], bias, ~disagrees.any(axis=1), disagrees)
    splits = {"train": train, "val": listed(tmp_path, paths[:1], [1]), "test": train.take(np.array([2, 0]))}
    attributes = {"place": ("land", "sea"), "light": ("day", "dusk", "night")}
    (tmp_path / "out").mkdir()
    prepared.write(BiasedDataset("made", ("a", "b"), attributes, splits, ("a note", "é ☃")), tmp_path / "out", 8)
    read = prepared.read(tmp_path / "out")
    assert (read.name, read.notes[:2], read.bias_attributes) == ("made", ("a note", "é ☃"), attributes)
    for name, rows in (("train", [0, 1, 2]), ("test", [2, 0])):
        split = read[name]
        assert split.root == tmp_path and split.paths == [paths[row] for row in rows]
        assert split.bias.tolist() == bias[rows].tolist() and split.disagrees.tolist() == disagrees[rows].tolist()
        assert split.labels.tolist() == [[0, 1, 1][row] for row in rows]
        assert split.aligned.tolist() == [row == 0 for row in rows]
        assert split.images[:, 0, 0, 0].tolist() == [10 * row for row in rows]
    val = read["val"]
    assert val.bias is None and val.aligned is None and val.disagrees is None and val.labels.tolist() == [1]


def test_images_that_exist_in_memory_are_kept_as_they_are(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    split = Split(images, np.array([0, 1]), ["a", "b"])
    prepared.write(BiasedDataset("arrays", ("x", "y"), {}, dict.fromkeys(("train", "val", "test"), split)), tmp_path)
    read = prepared.read(tmp_path)
    assert np.array_equal(read["test"].images, images) and read["test"].root is None
