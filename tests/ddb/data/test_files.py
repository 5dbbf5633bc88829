import os
import shutil

import numpy as np
import pytest

from ddb.data import BiasedDataset, DataMissing, files, load_dataset
from ddb.data.bar import BARConfig
from ddb.data.files import fingerprint, listed


def dataset(root, paths=("a.png", "b.png"), labels=(0, 1), split="train"):
    empty = listed(root, [], [])
    splits = {name: empty for name in ("train", "val", "test")} | {split: listed(root, list(paths), list(labels))}
    splits["train"] = splits["train"] if len(splits["train"]) else empty
    return BiasedDataset("x", ("p", "q"), {}, splits)


@pytest.fixture
def two(tmp_path, picture):
    for i, name in enumerate(("a.png", "b.png")):
        picture(tmp_path / "data" / name, i)
    return tmp_path / "data"


def test_listing_does_not_depend_on_the_file_systems_order(tmp_path, picture, monkeypatch):
    for name in ("b.png", "a.JPG", "c.jpeg"):
        picture(tmp_path / name)
    (tmp_path / ".d.png").touch()
    (tmp_path / "e.txt").touch()
    original = os.scandir

    class Backwards:
        def __init__(self, path):
            with original(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return self.entries

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert files.images(tmp_path, tmp_path) == ["a.JPG", "b.png", "c.jpeg"]


def test_the_fingerprint_follows_rows_and_contents(two, picture, tmp_path):
    before = fingerprint(dataset(two))
    assert fingerprint(dataset(two, ("b.png", "a.png"), (1, 0))) == before  # rows are sorted
    shutil.copytree(two, tmp_path / "elsewhere")
    assert fingerprint(dataset(tmp_path / "elsewhere")) == before
    assert fingerprint(dataset(two, labels=(1, 0))) != before
    assert fingerprint(dataset(two, ("a.png",), (0,))) != before
    picture(two / "a.png", 200)
    changed = fingerprint(dataset(two))
    assert changed != before
    (two / "a.png").unlink()
    assert fingerprint(dataset(two)) not in (before, changed)


def test_a_file_is_read_again_only_when_it_changed(two, monkeypatch, picture):
    read, original = [], files._digest
    monkeypatch.setattr(files, "_digest", lambda path: read.append(path.name) or original(path))
    first = fingerprint(dataset(two))
    assert sorted(read) == ["a.png", "b.png"]
    assert fingerprint(dataset(two)) == first and len(read) == 2
    picture(two / "b.png", 77)
    assert fingerprint(dataset(two)) != first and read[2:] == ["b.png"]


def test_without_a_cache_it_still_works(two, monkeypatch, tmp_path):
    first = fingerprint(dataset(two))
    (tmp_path / "file").touch()
    monkeypatch.setenv("DDB_CACHE", str(tmp_path / "file"))
    assert fingerprint(dataset(two)) == first


def test_a_missing_data_set_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("DDB_DATA", str(tmp_path))
    (tmp_path / "bar").mkdir()  # without train/, it is not BAR
    with pytest.raises(DataMissing, match=rf"not found at {tmp_path}/bar or {tmp_path}/BAR .*ddb data fetch bar"):
        load_dataset(BARConfig())
    with pytest.raises(DataMissing, match="not found at nowhere"):
        load_dataset(BARConfig(root="nowhere"))


def test_rows_are_sorted_with_all_that_belongs_to_them(tmp_path):
    split = listed(tmp_path, ["b", "a"], [1, 0], [[1], [0]], [False, True])
    assert split.paths == ["a", "b"] and split.labels.tolist() == [0, 1]
    assert np.array_equal(split.bias, [[0], [1]]) and split.aligned.tolist() == [True, False]
