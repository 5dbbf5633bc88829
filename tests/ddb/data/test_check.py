import shutil

import numpy as np
import pytest
from PIL import Image

from ddb.data import BENCHMARKS
from ddb.data.bar import BARConfig
from ddb.data.check import check, summarize, verify_counts
from ddb.data.folder import FolderConfig
from ddb.data.urbancars import UrbanCarsConfig
from ddb.data.waterbirds import WaterbirdsConfig
from ddb.errors import DDBError


@pytest.fixture
def mine(tmp_path, picture):
    for split, number in (("train", 4), ("val", 1), ("test", 2)):
        for name in ("cat", "dog"):
            for i in range(number):
                picture(tmp_path / split / name / f"{i}.png", 10 * i + 40 * (name == "dog") + len(split) * 3 + number)
    return tmp_path


def test_a_sound_folder(mine):
    report = check(FolderConfig(root=mine))
    assert not report.problems and (report.rows, report.present) == (14, 14)
    assert report.counts[:3] == [("train", "cat", 4, None), ("train", "dog", 4, None), ("train", "all", 8, None)]
    assert report.sizes == "6 x 5 to 6 x 5" and report.bytes > 0


def test_all_problems_are_found_at_once(mine):
    (mine / "train/cat/0.png").write_bytes(b"")
    whole = mine / "train/cat/1.png"
    Image.effect_noise((64, 64), 50).save(whole)
    whole.write_bytes(whole.read_bytes()[:600])
    shutil.copy(mine / "train/dog/3.png", mine / "test/dog/1.png")
    problems = check(FolderConfig(root=mine), threads=2).problems
    assert len(problems) == 3
    assert "train/cat/0.png: an empty file" in problems[0] and "train/cat/1.png: broken image" in problems[1]
    assert problems[2] == "the same content in train (train/dog/3.png) and test (test/dog/1.png)"


def test_counts_stand_against_the_published_ones(mine, monkeypatch):
    published = {"train": (4, 5), "test": 4}
    known = BENCHMARKS["folder"].__class__(FolderConfig, BENCHMARKS["folder"].index, "", published=lambda c: published)
    monkeypatch.setitem(BENCHMARKS, "folder", known)
    report = check(FolderConfig(root=mine))
    # papers that know no val count it with train
    assert report.counts[:3] == [("train", "cat", 5, 4), ("train", "dog", 5, 5), ("train", "all", 10, 9)]
    assert report.problems == ["train cat: 5 images, published are 4", "train all: 10 images, published are 9"]
    with pytest.raises(DDBError, match="train cat: 5 images, published are 4; train all"):
        verify_counts(FolderConfig(root=mine))


def test_what_cannot_even_be_listed_is_a_problem(tmp_path):
    report = check(UrbanCarsConfig(root=tmp_path))
    assert len(report.problems) == 1 and "No such file" in report.problems[0] and not report.counts


def test_a_summary_shows_some_of_each_kind():
    problems = [f"{i}.jpg: no such file" for i in range(5)] + ["x.jpg: an empty file"]
    expected = ["0.jpg: no such file", "1.jpg: no such file", "... and 3 more of this kind", "x.jpg: an empty file"]
    assert summarize(problems, 2) == expected


def test_the_real_bar_is_whole(real):
    report = check(BARConfig(root=real("bar")), threads=2)
    assert not report.problems and report.rows == report.present == 2595
    assert ("train", "all", 1941, 1941) in report.counts and ("test", "all", 654, 654) in report.counts


def test_the_waterbirds_at_hand_are_120_of_11788(real):
    report = check(WaterbirdsConfig(root=real("waterbirds/waterbird_complete95_forest2water2")))
    assert (report.rows, report.present, len(report.problems)) == (11788, 120, 11668)
    assert all(problem.endswith(": no such file") for problem in report.problems)
    assert all(found == published for _, _, found, published in report.counts)
    assert np.sum([n for split, group, n, _ in report.counts if group != "all"]) == 11788
