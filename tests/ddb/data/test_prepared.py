import json

import numpy as np
import pytest
from PIL import Image

from ddb.artifacts import Stage, Store
from ddb.data import load_dataset, prepared
from ddb.data.folder import FolderConfig
from ddb.errors import DDBError


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


def test_files_become_arrays_with_all_that_is_known_of_them(images, tmp_path):
    listed = write(images, tmp_path / "out")
    read = prepared.read(tmp_path / "out")
    assert (read.classes, read.notes) == (listed.classes, listed.notes)
    for name, split in read.splits.items():
        assert split.images.shape == (len(listed[name]), 16, 16, 3) and split.paths == listed[name].paths
        assert split.root == images and split.bias is None
        for row, path in enumerate(split.paths):
            expected = Image.open(images / path).resize((16, 16), Image.Resampling.BICUBIC)
            assert np.array_equal(split.images[row], np.asarray(expected))
        with pytest.raises(ValueError, match="read-only"):
            split.images[0] = 0


def test_threads_do_not_change_the_arrays(images, tmp_path):
    seen = []
    for threads in (1, 3):
        write(images, tmp_path / str(threads), threads=threads, progress=lambda *told: seen.append(told))
    for name in ("train.npy", "val.npy", "test.npy"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()
    assert seen[2] == (20, 20)


def test_large_arrays_stay_on_disk(images, tmp_path, monkeypatch):
    write(images, tmp_path / "out")
    assert not isinstance(prepared.read(tmp_path / "out")["train"].images, np.memmap)
    monkeypatch.setattr(prepared, "MEMORY_SHARE", 0)
    assert isinstance(prepared.read(tmp_path / "out")["train"].images, np.memmap)


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


def test_the_description_is_plain_json(images, tmp_path):
    write(images, tmp_path / "out")
    description = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert description["root"] == str(images) and description["classes"] == ["cat", "dog"]
