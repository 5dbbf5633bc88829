import shutil

import numpy as np
import pytest
from PIL import Image

from ddb.data import BENCHMARKS, load_dataset, prepared
from ddb.data.bar import BARConfig
from ddb.data.check import check, summarize, verify_counts
from ddb.data.folder import FolderConfig
from ddb.data.metadata_csv import MetadataConfig
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


def test_pages_after_the_first_are_counted(mine, tmp_path):
    colours = [Image.new("RGB", (8, 8), (40 * shade, 0, 0)) for shade in range(5)]
    colours[0].save(mine / "train/cat/a.tif", save_all=True, append_images=colours[1:])
    colours[0].save(mine / "train/dog/b.gif", save_all=True, append_images=colours[1:3])
    expected = "left out: 6 pages (or frames) after the first of 2 files, such as train/cat/a.tif"
    assert expected in check(FolderConfig(root=mine)).notes
    (tmp_path / "result").mkdir()
    prepared.write(load_dataset(FolderConfig(root=mine)), tmp_path / "result", 8)
    assert expected in prepared.read(tmp_path / "result").notes


def test_what_cannot_even_be_listed_is_a_problem(tmp_path):
    report = check(UrbanCarsConfig(root=tmp_path))
    assert len(report.problems) == 1 and "No such file" in report.problems[0] and not report.counts


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


def test_a_table_with_missing_truncated_empty_and_double_files_is_one_report(tmp_path, picture):
    """8 rows: a.png missing, b.png cut, c.png empty, and the test image h.png is the training image d.png."""
    rows = ["img_filename,y,place,split"]
    for i, name in enumerate("abcdefgh"):
        picture(tmp_path / f"{name}.png", 20 * i)
        rows.append(f"{name}.png,{i % 2},{i % 2},{(0, 0, 0, 0, 1, 1, 2, 2)[i]}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "a.png").unlink()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "b.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:900])
    (tmp_path / "c.png").write_bytes(b"")
    shutil.copy(tmp_path / "d.png", tmp_path / "h.png")
    told = []
    report = check(MetadataConfig(root=tmp_path), 3, lambda *progress: told.append(progress))
    assert (report.rows, report.present) == (8, 7) and told == [(8, 8)]
    assert report.bytes == sum((tmp_path / f"{name}.png").stat().st_size for name in "defgh")
    missing, broken, empty, double = report.problems
    assert (missing, empty) == (f"{tmp_path}/a.png: no such file", f"{tmp_path}/c.png: an empty file")
    assert broken.startswith(f"{tmp_path}/b.png: broken image (")
    assert double == "the same content in train (d.png) and test (h.png)"
    assert all(len(problem.splitlines()) == 1 for problem in report.problems)
    groups = {(split, group): found for split, group, found, _ in report.counts}
    assert groups["train", "0/aligned"] == groups["train", "1/aligned"] == 2 and groups["train", "all"] == 4
    assert groups["test", "0/conflicting"] == 0 and groups["val", "all"] == 2


def test_copies_within_a_split_and_empty_files_are_no_leak_and_three_splits_are_one_line(mine):
    shutil.copy(mine / "train/cat/0.png", mine / "train/cat/9.png")
    assert not check(FolderConfig(root=mine)).problems
    for split in ("val", "test"):
        shutil.copy(mine / "train/cat/0.png", mine / split / "cat/9.png")
    expected = "the same content in train (train/cat/0.png) and val (val/cat/9.png) and test (test/cat/9.png)"
    assert check(FolderConfig(root=mine)).problems == [expected]
    for split in ("train", "val", "test"):
        (mine / split / "cat/9.png").write_bytes(b"")
    expected = [f"{mine}/{split}/cat/9.png: an empty file" for split in ("train", "val", "test")]
    assert check(FolderConfig(root=mine)).problems == expected


def test_a_summary_counts_kinds_apart_and_says_nothing_of_what_is_shown_whole():
    kinds = [
        *(f"{i}.jpg: no such file" for i in range(3)),
        *(f"the same content in train ({i}.jpg) and test ({i}.jpg)" for i in range(3)),
        *(f"{i}.jpg: broken image (cut)" for i in range(2)),
    ]
    lines = summarize(kinds, 2)
    assert lines == [*kinds[:2], "... and 1 more of this kind", *kinds[3:5], "... and 1 more of this kind", *kinds[6:]]
    assert summarize(kinds, 3) == kinds and summarize([], 3) == []
    many = [f"{i}: no such file" for i in range(11_668)]
    assert summarize(many, 1) == ["0: no such file", "... and 11,667 more of this kind"]


@pytest.fixture
def noisy(tmp_path):
    """Two classes of five pictures each, no two of them alike."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.fromarray(random.integers(0, 256, (16, 8, 3), dtype=np.uint8)).save(tmp_path / f"{name}/{i}.png")
    return tmp_path


def doubtful(report):
    return [note for note in report.notes if "held out" not in note]


def test_what_is_left_out_blank_or_damaged_is_noted_and_no_problem(noisy):
    sound = check(FolderConfig(root=noisy))
    assert doubtful(sound) == [] and sound.problems == []
    (noisy / "dog/9.heic").write_bytes(b"x")
    Image.new("RGB", (8, 16), (1, 2, 3)).save(noisy / "cat/blank.png")
    xmp = b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>\xa8\xff</x:xmpmeta>"
    Image.effect_noise((8, 16), 60).convert("RGB").save(noisy / "cat/photo.jpg")
    whole = (noisy / "cat/photo.jpg").read_bytes()
    segment = b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp
    (noisy / "cat/photo.jpg").write_bytes(whole[:2] + segment + whole[2:])
    report = check(FolderConfig(root=noisy), threads=2)
    assert report.problems == [] and doubtful(report) == [
        "left out: 1 file with an ending that is not read as an image (.heic 1), such as dog/9.heic",
        "warning: 1 image is blank (every channel spans fewer than 16 of 256 values), such as cat/blank.png",
        "images with damaged EXIF or XMP data: 1, such as cat/photo.jpg; they are used, turned upright where the "
        "orientation can be read",
    ]


def test_one_content_with_two_classes_is_told(noisy):
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            shutil.copytree(noisy / name, noisy / f"whole/{split}/{name}")
            for path in (noisy / f"whole/{split}/{name}").iterdir():
                path.write_bytes(path.read_bytes() + split.encode())  # behind the end of the picture
    assert doubtful(check(FolderConfig(root=noisy / "whole")))[1:] == []
    shutil.copy(noisy / "whole/train/cat/0.png", noisy / "whole/train/dog/7.png")
    shutil.copy(noisy / "whole/train/cat/1.png", noisy / "whole/train/cat/8.png")  # twice, with one class
    expected = "warning: images of one content and two classes: 1, such as train/cat/0.png and train/dog/7.png"
    assert doubtful(check(FolderConfig(root=noisy / "whole")))[1:] == [expected]
