import os
import shutil
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ddb.data import BiasedDataset, DataMissing, files, load_dataset
from ddb.data.bar import BARConfig
from ddb.data.bffhq import BFFHQConfig
from ddb.data.colored_digits import ColoredDigitsConfig
from ddb.data.files import fingerprint, listed
from ddb.data.folder import FolderConfig
from ddb.errors import DDBError
from ddb.settings import build


def dataset(root, paths=("a.png", "b.png"), labels=(0, 1)):
    splits = {name: listed(root, [], []) for name in ("val", "test")}
    return BiasedDataset("x", ("p", "q"), {}, splits | {"train": listed(root, list(paths), list(labels))})


@pytest.fixture
def two(tmp_path, picture):
    for i, name in enumerate(("a.png", "b.png")):
        picture(tmp_path / "data" / name, i)
    return tmp_path / "data"


def test_the_fingerprint_follows_rows_and_contents(two, picture, tmp_path):
    before = fingerprint(dataset(two))
    assert fingerprint(dataset(two, ("b.png", "a.png"), (1, 0))) == before  # rows are sorted
    shutil.copytree(two, tmp_path / "elsewhere")
    assert fingerprint(dataset(tmp_path / "elsewhere")) == before
    assert fingerprint(dataset(two, labels=(1, 0))) != before
    assert fingerprint(dataset(two, ("a.png",), (0,))) != before
    (tmp_path / "elsewhere/b.png").rename(tmp_path / "elsewhere/c.png")
    assert fingerprint(dataset(tmp_path / "elsewhere", ("a.png", "c.png"))) != before
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


def test_rows_are_sorted_with_all_that_belongs_to_them(tmp_path):
    split = listed(tmp_path, ["b", "a"], [1, 0], np.array([[1], [0]]), np.array([False, True]))
    assert split.paths == ["a", "b"] and split.labels.tolist() == [0, 1]
    assert np.array_equal(split.bias, [[0], [1]]) and split.aligned.tolist() == [True, False]
    with pytest.raises(DDBError, match=r"the file name '\\udcff.png' is not UTF-8; rename it"):
        listed(tmp_path, ["a", "\udcff.png"], [0, 1])


def test_listings_are_sorted_and_leave_out_hidden_and_other_files(tmp_path, put, monkeypatch):
    put("s/b.png", "s/A <b>.JPG", "s/ü'\".jpeg", "s/c.png/inside.png", ".hidden/d.png", "s/.e.png", "z/f.png")
    (tmp_path / "s/notes.txt").touch()
    (tmp_path / "s/png").touch()
    original = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: nullcontext(sorted(original(path), key=str, reverse=True)))
    assert files.images(tmp_path / "s", tmp_path) == ["s/A <b>.JPG", "s/b.png", "s/ü'\".jpeg"]
    assert files.images(tmp_path / "s", tmp_path / "s") == ["A <b>.JPG", "b.png", "ü'\".jpeg"]
    assert files.folders(tmp_path) == ["s", "z"]
    with pytest.raises(DDBError, match="absent: No such file"):
        files.images(tmp_path / "absent", tmp_path)
    with pytest.raises(DDBError, match=r"b\.png: Not a directory"):
        files.folders(tmp_path / "s/b.png")


def test_the_fingerprint_follows_split_bias_and_alignment(two):
    def whole(*parts):
        return fingerprint(BiasedDataset("x", ("p", "q"), {}, dict(zip(("train", "val", "test"), parts, strict=True))))

    a, b = listed(two, ["a.png"], [0]), listed(two, ["b.png"], [1])
    biased = [listed(two, ["b.png"], [1], np.array([[bias]]), np.array([aligned]))
              for bias in (0, 1) for aligned in (True, False)]  # fmt: skip
    found = [whole(a, b, b), whole(b, a, b), whole(b, b, a), *(whole(a, b, part) for part in biased)]
    assert len(set(found)) == 7 and all(len(text) == 32 and int(text, 16) for text in found)


def test_a_cache_that_is_damaged_foreign_or_cannot_be_written_is_harmless(two, cache, monkeypatch):
    monkeypatch.setattr(files, "SETTLED_NS", -1)
    first = fingerprint(dataset(two))
    (kept,) = cache.rglob("*.parquet")
    kept.write_bytes(b"not parquet")
    assert fingerprint(dataset(two)) == first
    pq.write_table(pa.table({"x": [1]}), kept)  # a table, but not ours
    assert fingerprint(dataset(two)) == first

    def full(*args):
        raise OSError(28, "No space left on device")

    shutil.rmtree(cache)
    monkeypatch.setattr(files.pq, "write_table", full)
    assert fingerprint(dataset(two)) == first and not list(cache.rglob("*.parquet"))


def test_a_row_that_names_a_folder_has_no_content_to_hash(two):
    """A table may name a folder by mistake; `ddb data check` must live to say so."""
    (two / "d").mkdir()
    digests = files.file_digests(two, ["a.png", "d"])
    assert len(digests[0]) == 16 and digests[1] == b""


def test_a_data_set_is_found_by_its_root_or_the_places_that_hold_its_marker(tmp_path, monkeypatch, put):
    put("home/BAR/train/racing_1.jpg", "cwd/data/bar/train/racing_1.jpg")
    (tmp_path / "home/bar").mkdir()  # comes first, but is not BAR without train/
    monkeypatch.setenv("DDB_DATA", str(tmp_path / "home"))
    assert files.locate(BARConfig(), ("bar", "BAR"), "train") == tmp_path / "home/BAR"
    assert files.locate(BARConfig(root=tmp_path / "cwd"), ("bar", "BAR"), "train") == tmp_path / "cwd"
    (tmp_path / "home/BAR/train").rename(tmp_path / "train")
    places = f"{tmp_path}/home/bar or {tmp_path}/home/BAR"
    with pytest.raises(DataMissing, match=rf"dataset bar: not found at {places} .*ddb data fetch bar"):
        load_dataset(BARConfig())
    (tmp_path / "images.zip").touch()
    with pytest.raises(DDBError, match=r"^dataset\.root: \S+images\.zip is a file, not a folder; an archive must be"):
        load_dataset(BARConfig(root=tmp_path / "images.zip"))
    with pytest.raises(DataMissing, match="not found at nowhere"):
        load_dataset(BARConfig(root="nowhere"))
    monkeypatch.delenv("DDB_DATA")
    monkeypatch.chdir(tmp_path / "cwd")
    assert files.locate(BARConfig(), ("bar", "BAR"), "train") == tmp_path / "cwd/data/bar"


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        (ColoredDigitsConfig, {"conflict_ration": 0.1}, "conflict_ration: unknown setting; .* 'conflict_ratio'"),
        (ColoredDigitsConfig, {"conflict_ratio": 2}, r"conflict_ratio: .* at most 1 \(got 2\)"),
        (ColoredDigitsConfig, {"seed": "x"}, "seed: must be a whole number"),
        (BARConfig, {"image_size": 4}, r"image_size: .* 8 \(got 4\)"),
        (BARConfig, {"holdout": 1}, r"holdout: .*\(got 1\)"),
        (BARConfig, {"holdout_seed": -1}, r"holdout_seed: .*\(got -1\)"),
        (BARConfig, {"variant": "2pct"}, r"variant: .*\(got '2pct'\)"),
        (BFFHQConfig, {"pct": "3pct"}, r"pct: .*\(got '3pct'\)"),
        (FolderConfig, {}, "root: must be given"),
        (FolderConfig, {"root": "x", "test_share": 1}, "test_share: must be below 1"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(settings, values, message):
    with pytest.raises(DDBError, match=rf"^dataset\.{message}.*$") as error:
        build(settings, values, "dataset")
    assert "\n" not in str(error.value)
