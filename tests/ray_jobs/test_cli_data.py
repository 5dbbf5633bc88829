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
    for label, name in enumerate(("a cat", "dog & <b>")):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.full((9, 9, 3), 10 * i + 100 * label, np.uint8)).save(
                tmp_path / "mine" / name / f"{i}.png"
            )
    return tmp_path / "mine"


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def test_check_says_whether_all_is_well_by_its_exit_code(mine, tmp_path):
    sound = run("check", "folder", f"root={mine}")
    assert sound.exit_code == 0 and "20 rows, 20 images present" in sound.output and "no problems" in sound.output
    (mine / "a cat" / "3.png").write_bytes(b"")
    broken = run("check", "folder", f"root={mine}", "--output", tmp_path / "all.txt")
    assert broken.exit_code == 1 and "1 problem\n" in broken.output
    assert (tmp_path / "all.txt").read_text() == f"{mine}/a cat/3.png: an empty file\n"


def test_describe_draws_a_row_per_class(mine, tmp_path):
    (mine / "a cat" / "0.png").write_bytes(b"")  # a crossed square, not a crash
    result = run("describe", "folder", f"root={mine}", "--output", tmp_path / "sheet.png")
    assert result.exit_code == 0 and "dog & <b>" in result.output and "held out by us" in result.output
    assert Image.open(tmp_path / "sheet.png").height == 2 * 52


def test_list_says_what_is_here_and_where_it_is_looked_for(tmp_path):
    result = run("list")
    assert result.exit_code == 0 and "built in" in result.output
    assert all(name in result.output for name in ("waterbirds", "bffhq", "bar", "imagenet9", "urbancars", "folder"))


def test_what_cannot_be_downloaded_comes_with_instructions(tmp_path):
    result = run("fetch", "bffhq")
    assert isinstance(result.exception, DDBError) and f"{tmp_path}/home/bffhq/<pct>/align" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "folder"], "nothing to fetch"),
        (["check", "colored_digits"], "built in"),
        (["check", "bar"], "ddb data fetch bar"),
        (["check", "bra"], "'bra' is unknown; did you mean 'bar'"),
    ],
)
def test_a_mistake_is_one_clear_error(arguments, message):
    result = run(*arguments)
    assert isinstance(result.exception, DDBError) and message in str(result.exception)
