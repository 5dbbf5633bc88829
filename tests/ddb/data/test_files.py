import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddb.data import BiasedDataset, DataMissing, files, load_dataset
from ddb.data.bar import BARConfig
from ddb.data.files import fingerprint, listed
from ddb.errors import DDBError
from ddb.settings import build


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
    monkeypatch.setattr(files, "SETTLED_NS", -1)
    read, original = [], files._digest
    monkeypatch.setattr(files, "_digest", lambda path: read.append(path.name) or original(path))
    first = fingerprint(dataset(two))
    assert sorted(read) == ["a.png", "b.png"]
    assert fingerprint(dataset(two)) == first and len(read) == 2
    picture(two / "b.png", 77)
    assert fingerprint(dataset(two)) != first and read[2:] == ["b.png"]


def test_files_that_trade_places_are_read_again(tmp_path, monkeypatch):
    """Renaming and `rsync -t` both keep size and time of modification, which are the same for both files here."""
    monkeypatch.setattr(files, "SETTLED_NS", -1)
    a, b, names = tmp_path / "a", tmp_path / "b", ["a", "b"]

    def write(path, content):
        path.write_bytes(content)
        os.utime(path, ns=(10**18, 10**18))

    write(a, b"cat")
    write(b, b"dog")
    before = files.file_digests(tmp_path, names)
    a.rename(tmp_path / "x")
    b.rename(a)
    (tmp_path / "x").rename(b)
    assert files.file_digests(tmp_path, names) == before[::-1] != before
    write(a, b"cat")  # in place: the inode stays
    write(b, b"dog")
    assert files.file_digests(tmp_path, names) == before


def test_a_file_that_has_just_changed_is_not_remembered(two, cache, monkeypatch):
    """A second change within the same tick of the file system's clock leaves no trace."""
    first, status = fingerprint(dataset(two)), {path: files._stat(two / path) for path in ("a.png", "b.png")}
    content = (two / "a.png").read_bytes()
    (two / "a.png").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    monkeypatch.setattr(files, "_stat", lambda path: status[path.name])
    assert fingerprint(dataset(two)) != first


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


def test_hidden_files_folders_and_other_files_are_not_images(tmp_path, put):
    put("s/b.png", "s/A <b>.JPG", "s/ü'\".jpeg", "s/c.png/inside.png", ".hidden/d.png", "s/.e.png", "z/f.png")
    (tmp_path / "s/notes.txt").touch()
    (tmp_path / "s/png").touch()
    assert files.images(tmp_path / "s", tmp_path) == ["s/A <b>.JPG", "s/b.png", "s/ü'\".jpeg"]
    assert files.images(tmp_path / "s", tmp_path / "s") == ["A <b>.JPG", "b.png", "ü'\".jpeg"]
    assert files.folders(tmp_path) == ["s", "z"]


@pytest.mark.parametrize("listing", [files.folders, lambda path: files.images(path, path)])
def test_a_folder_that_cannot_be_listed_is_named(tmp_path, put, listing):
    put("a.png")
    with pytest.raises(DDBError, match="absent: No such file"):
        listing(tmp_path / "absent")
    with pytest.raises(DDBError, match=r"a\.png: Not a directory"):
        listing(tmp_path / "a.png")


def test_the_fingerprint_follows_split_bias_and_alignment(two):
    def whole(*parts):
        return fingerprint(BiasedDataset("x", ("p", "q"), {}, dict(zip(("train", "val", "test"), parts, strict=True))))

    a, b = listed(two, ["a.png"], [0]), listed(two, ["b.png"], [1])
    biased = [listed(two, ["b.png"], [1], [bias], [aligned]) for bias in ([0], [1]) for aligned in (True, False)]
    found = [whole(a, b, b), whole(b, a, b), whole(b, b, a), *(whole(a, b, part) for part in biased)]
    assert len(set(found)) == 7 and all(len(text) == 32 and int(text, 16) for text in found)


def test_the_fingerprint_follows_the_name_of_a_file(two):
    before = fingerprint(dataset(two))
    (two / "b.png").rename(two / "c.png")
    assert fingerprint(dataset(two, ("a.png", "c.png"))) != before


def test_a_change_that_keeps_the_size_is_seen(two):
    before, content = fingerprint(dataset(two)), (two / "a.png").read_bytes()
    (two / "a.png").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(two / "a.png", ns=(1, 1))
    assert fingerprint(dataset(two)) != before


@pytest.mark.parametrize("content", [b"", b"not parquet", None])
def test_a_damaged_or_foreign_cache_is_harmless(two, cache, content, monkeypatch):
    monkeypatch.setattr(files, "SETTLED_NS", -1)
    first = fingerprint(dataset(two))
    (kept,) = cache.rglob("*.parquet")
    if content is None:  # a table, but not ours
        pq.write_table(pa.table({"x": [1]}), kept)
    else:
        kept.write_bytes(content)
    assert fingerprint(dataset(two)) == first


def test_the_cache_of_one_folder_says_nothing_of_another(two, tmp_path, monkeypatch):
    """Same names, sizes and times, other contents."""
    monkeypatch.setattr(files, "SETTLED_NS", -1)
    shutil.copytree(two, tmp_path / "other")
    for name in ("a.png", "b.png"):
        content = (two / name).read_bytes()
        (tmp_path / "other" / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(two / name, ns=(5, 5))
        os.utime(tmp_path / "other" / name, ns=(5, 5))
    assert fingerprint(dataset(two)) != fingerprint(dataset(tmp_path / "other"))


def test_a_cache_that_fails_to_be_written_is_harmless(two, cache, monkeypatch):
    monkeypatch.setattr(files, "SETTLED_NS", -1)

    def full(*args):
        raise OSError(28, "No space left on device")

    first = fingerprint(dataset(two))
    shutil.rmtree(cache)
    monkeypatch.setattr(files.pq, "write_table", full)
    assert fingerprint(dataset(two)) == first and not list(cache.rglob("*.parquet"))


def test_a_row_that_names_a_folder_has_no_content_to_hash(two):
    """A table may name a folder by mistake; `ddb data check` must live to say so."""
    (two / "d").mkdir()
    digests = files.file_digests(two, ["a.png", "d"])
    assert len(digests[0]) == 16 and digests[1] == b""


def test_a_folder_is_taken_where_it_has_the_marker(tmp_path, monkeypatch, put):
    put("home/BAR/train/racing_1.jpg", "cwd/data/bar/train/racing_1.jpg")
    (tmp_path / "home/bar").mkdir()  # comes first, but is not BAR
    monkeypatch.setenv("DDB_DATA", str(tmp_path / "home"))
    assert files.locate(BARConfig(), ("bar", "BAR"), "train") == tmp_path / "home/BAR"
    assert files.locate(BARConfig(root=tmp_path / "cwd"), ("bar", "BAR"), "train") == tmp_path / "cwd"
    monkeypatch.delenv("DDB_DATA")
    monkeypatch.chdir(tmp_path / "cwd")
    assert files.locate(BARConfig(), ("bar", "BAR"), "train") == tmp_path / "cwd/data/bar"


def test_an_image_size_that_is_too_small_is_named():
    with pytest.raises(DDBError, match=r"^dataset\.image_size: .* 8 \(got 4\)$"):
        build(BARConfig, {"image_size": 4}, "dataset")
