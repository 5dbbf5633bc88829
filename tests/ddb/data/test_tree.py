"""Every entry of a folder is in exactly one list of its tree, and what is not taken is told."""

import os

import pytest

from ddb.data import load_dataset
from ddb.data.metadata_csv import MetadataConfig
from ddb.data.tree import counted, endings, left_out, walk
from ddb.data.waterbirds import WaterbirdsConfig
from ddb.errors import DDBError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_each_entry_is_in_one_list(tmp_path):
    touch(tmp_path, "a/1.JPG", "a/b/2.jfif", "a/notes.txt", "a/3.heic", "noending")
    touch(tmp_path, ".DS_Store", "a/._1.JPG", "a/.4.png", "Thumbs.db", "a/desktop.ini")
    touch(tmp_path, "__MACOSX/a/1.jpg", "@eaDir/1.jpg", ".hidden/1.jpg")
    (tmp_path / "a/empty").mkdir()
    (tmp_path / "a/gone.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    tree = walk(tmp_path)
    assert tree.images == ["a/1.JPG", "a/b/2.jfif"]
    assert tree.others == ["a/3.heic", "a/notes.txt", "noending"]
    assert tree.folders == ["a", "a/b", "a/empty"]
    assert tree.clutter == [".DS_Store", ".hidden", "@eaDir", "Thumbs.db", "__MACOSX", "a/.4.png", "a/._1.JPG",
                            "a/desktop.ini"]  # fmt: skip
    assert tree.dead == ["a/gone.png", "pipe.png"] and tree.closed == []


def test_links_are_followed_but_never_in_a_circle(tmp_path):
    touch(tmp_path, "root/a/1.png", "elsewhere/2.png", "elsewhere/3.png")
    (tmp_path / "root/linked").symlink_to("../elsewhere")
    (tmp_path / "root/one.png").symlink_to("../elsewhere/2.png")
    (tmp_path / "root/a/up").symlink_to("..")
    (tmp_path / "root/a/here").symlink_to(".")
    (tmp_path / "root/self").symlink_to("self")
    (tmp_path / "root/self.png").symlink_to("self.png")
    tree = walk(tmp_path / "root")
    assert tree.images == ["a/1.png", "linked/2.png", "linked/3.png", "one.png"]
    assert tree.dead == ["a/here", "a/up", "self", "self.png"] and tree.folders == ["a", "linked"]


def test_a_folder_that_cannot_be_listed_is_named_and_the_root_is_an_error(tmp_path, unlistable):
    touch(tmp_path, "a/1.png", "shut/2.png")
    tree = walk(tmp_path)
    assert (tree.images, tree.closed, tree.folders) == (["a/1.png"], ["shut"], ["a"])
    assert left_out(tree, tree.images) == ["left out: 1 folder that cannot be listed, such as shut"]
    with pytest.raises(DDBError, match=r"shut: Permission denied"):
        walk(tmp_path / "shut")
    with pytest.raises(DDBError, match=r"absent: No such file"):
        walk(tmp_path / "absent")


def test_what_is_left_out_is_a_line_of_each_kind(tmp_path):
    touch(tmp_path, "a/1.png", "a/2.png", "b/3.png", "4.png", "a/5.heic", "a/6.HEIC", "b/7.mov", "README.md")
    touch(tmp_path, "table.csv", ".DS_Store", "a/.DS_Store", "a/._1.png", "b/.8.png")
    (tmp_path / "c/d").mkdir(parents=True)
    (tmp_path / "gone").symlink_to("nowhere")
    assert left_out(walk(tmp_path), ["a/1.png", "./b/3.png"], ["table.csv"]) == [
        "left out: 2 images that no split takes (not in a folder 1, a 1), such as 4.png",
        "left out: 4 files with an ending that is not read as an image (.heic 2, .md 1, .mov 1), such as README.md",
        "left out: 2 empty folders, such as c",
        "left out: 4 entries hidden or of the operating system (.DS_Store 2, ._* 1, hidden image 1), such as .DS_Store",
        "left out: 1 special file (a link to nothing, a link to a folder above, or a pipe), such as gone",
    ]
    assert left_out(walk(tmp_path / "b"), ["3.png", ".8.png", "7.mov"]) == []


def test_a_line_stays_one_line_and_names_the_commonest_of_many(tmp_path):
    touch(tmp_path, "a\nb\x1b[31m.weird\nending")
    (line,) = left_out(walk(tmp_path), [])
    assert line.isprintable() and "a\\nb\\x1b[31m" in line
    assert counted(["x"] * 3 + ["y"]) == "x 3, y 1" and counted([]) == ""
    assert counted("aabcdefg") == "a 2, b 1, c 1, d 1, e 1, 2 more"
    assert endings(["a.PNG", "b.png", "c", "d.tar.gz"]) == ".png 2, none 1, .gz 1"


def test_a_data_set_with_a_table_reports_the_files_it_leaves_out(tmp_path, put):
    rows = [f"{split}{i}.jpg,{i},{i},{split}" for split in (0, 1, 2) for i in (0, 1)]
    put(*(row.split(",")[0] for row in rows), "unlisted.jpg")
    touch(tmp_path, "notes.docx")
    (tmp_path / "metadata.csv").write_text("\n".join(["img_filename,y,place,split", *rows, ""]))
    for settings in (MetadataConfig, WaterbirdsConfig):
        assert [*load_dataset(settings(root=tmp_path)).reading] == [
            "warning: 2 of 2 classes have one training image; are these really classes?",
            "left out: 1 image that no split takes (not in a folder 1), such as unlisted.jpg",
            "left out: 1 file with an ending that is not read as an image (.docx 1), such as notes.docx",
        ]
