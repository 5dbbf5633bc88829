"""`ddb data` on real and made folders: reports, exit codes, instructions."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ddb.errors import DDBError
from ray_jobs.cli import app


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DDB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DDB_DATA", str(tmp_path / "home"))


@pytest.fixture
def mine(tmp_path):
    for label, name in enumerate(("a cat", "[b]dog :dog:")):
        folder = tmp_path / "mine" / name
        folder.mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.full((9, 9, 3), 10 * i + 100 * label, np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "mine"


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def test_check_finds_problems_and_shows_some_of_them(mine, tmp_path):
    sound = run("check", "folder", f"root={mine}")
    assert sound.exit_code == 0 and "20 rows, 20 images present" in sound.output and "no problems" in sound.output
    for i in range(4):
        (mine / "a cat" / f"{i}.png").write_bytes(b"")
    broken = run("check", "folder", f"root={mine}", "--shown", 1, "--output", tmp_path / "all.txt")
    printed = broken.output.replace("\n", "")
    assert broken.exit_code == 1 and "4 problems" in printed and "... and 3 more of this kind" in printed
    assert printed.count("an empty file") == 1
    lines = (tmp_path / "all.txt").read_text().splitlines()
    assert sorted(lines) == [f"{mine}/a cat/{i}.png: an empty file" for i in range(4)]


def test_describe_prints_names_as_they_are_and_draws_a_row_per_class(mine, tmp_path):
    (mine / "a cat" / "0.png").write_bytes(b"")  # a crossed square, not a crash
    result = run("describe", "folder", f"root={mine}", "--output", tmp_path / "[x]y.png")
    assert result.exit_code == 0 and "[b]dog :dog: " in result.output and "held out by us" in result.output
    assert "[x]y.png" in result.output.replace("\n", "")
    assert Image.open(tmp_path / "[x]y.png").height == 2 * 52


@pytest.mark.parametrize("root", ["root", "dataset.root"])
def test_a_folder_is_read_by_its_name_as_by_its_setting(mine, tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    for command in ("check", "describe"):
        named, set_ = run(command, "mine", "val_share=0.3"), run(command, "folder", f"{root}=mine", "val_share=0.3")
        assert named.exit_code == set_.exit_code == 0 and "held out by us" in named.output
        table = lambda result: [line for line in result.output.splitlines() if "sheet" not in line]  # noqa: E731
        assert table(named) == table(set_)
    assert (tmp_path / "mine.png").exists()
    (tmp_path / "bar").mkdir()  # what is called like a data set is the data set
    assert "ddb data fetch bar" in str(run("check", "bar").exception)
    missing = run("check", "folder")
    assert isinstance(missing.exception, DDBError) and str(missing.exception) == "dataset.root: must be given"


def test_list_says_what_is_here_and_where_it_is_looked_for(tmp_path):
    result = run("list")
    assert result.exit_code == 0 and "built in" in result.output
    assert all(name in result.output for name in ("waterbirds", "bffhq", "bar", "imagenet9", "urbancars", "folder"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "folder"], "nothing to fetch"),
        (["fetch", "bffhq"], "/home/bffhq/<pct>/align"),  # cannot be downloaded: instructions
        (["check", "colored_digits"], "built in"),
        (["check", "bar"], "ddb data fetch bar"),
        (["describe", __file__], "test_cli_data.py: not a folder, and no data set has that name"),
        (["check", "no/where"], "no/where: not a folder"),
    ],
)
def test_a_mistake_is_one_clear_error(arguments, message):
    result = run(*arguments)
    assert isinstance(result.exception, DDBError) and message in str(result.exception)


def test_every_command_that_reads_the_folder_reports_how_it_was_read(mine, tmp_path):
    """The folder has a file that is left out and a class that is written in two ways."""
    (mine / "a cat" / "photo.heic").write_bytes(b"x")
    (mine / "A cat").mkdir()
    for i in range(3):
        Image.fromarray(np.full((9, 9, 3), 60 * i, np.uint8)).save(mine / "A cat" / f"{i}.png")
    config = tmp_path / "mine.yaml"
    config.write_text(f"dataset: {{name: folder, root: {mine}, image_size: 8}}\nmethods: {{erm: {{}}}}\nseeds: [0]\n")
    reading = {
        "warning: 'A cat' and 'a cat' are each a class of its own; the same one, written in 2 ways?",
        "left out: 1 file with an ending that is not read as an image (.heic 1), such as a cat/photo.heic",
    }
    for arguments in (
        ["data", "describe", "folder", f"root={mine}", "--output", tmp_path / "sheet.png"],
        ["data", "check", "folder", f"root={mine}"],
        ["run", config, "--dry-run", "--store", tmp_path / "store"],
        ["table", config, "--store", tmp_path / "store"],
    ):
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        assert reading <= set(result.output.splitlines()), arguments
