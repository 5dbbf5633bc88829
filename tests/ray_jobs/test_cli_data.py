"""`ddb data` on real and made folders: reports, exit codes, instructions."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ddb.errors import DDBError
from ray_jobs.cli import app, main


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


def test_fetch_instructions_leave_the_command_with_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ddb", "data", "fetch", "bffhq"])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr()
    assert left.value.code == 2 and "bffhq" in told.err and "Traceback" not in told.err
    assert f"{tmp_path}/home/bffhq" in told.err.replace("\n", "")


def test_check_reports_every_kind_of_trouble_at_once(mine, tmp_path):
    """A table of 6 rows: one missing, one empty, and one test image that is a training image."""
    names = sorted(path.relative_to(mine).as_posix() for path in mine.rglob("*.png"))[:6]
    rows = [f"{name},{i % 2},{i % 2},{(0, 0, 0, 1, 2, 2)[i]}" for i, name in enumerate(names)]
    (mine / "metadata.csv").write_text("img_filename,y,place,split\n" + "\n".join(rows) + "\n")
    (mine / names[0]).unlink()
    (mine / names[3]).write_bytes(b"")
    (mine / names[5]).write_bytes((mine / names[1]).read_bytes())
    result = run("check", "metadata_csv", f"root={mine}", "--output", tmp_path / "all.txt")
    assert result.exit_code == 1 and "6 rows, 5 images present" in result.output and "3 problems" in result.output
    assert (tmp_path / "all.txt").read_text().splitlines() == [
        f"{mine}/{names[0]}: no such file",
        f"{mine}/{names[3]}: an empty file",
        f"the same content in train ({names[1]}) and test ({names[5]})",
    ]


def test_shown_limits_what_is_printed_but_not_what_is_written(mine, tmp_path):
    for i in range(4):
        (mine / "a cat" / f"{i}.png").write_bytes(b"")
    arguments = ("check", "folder", f"root={mine}", "--shown", 1, "--output", tmp_path / "all.txt")
    result = run(*arguments)
    told = result.output.replace("\n", "")
    assert result.exit_code == 1 and "4 problems" in told and "... and 3 more of this kind" in told
    assert told.count("an empty file") == 1 and len((tmp_path / "all.txt").read_text().splitlines()) == 4


@pytest.fixture
def mixed(mine):
    """The folder with a file that is left out and a class that is written in two ways."""
    (mine / "a cat" / "photo.heic").write_bytes(b"x")
    (mine / "A cat").mkdir()
    for i in range(3):
        Image.fromarray(np.full((9, 9, 3), 60 * i, np.uint8)).save(mine / "A cat" / f"{i}.png")
    return mine


TOLD = (
    "warning: 'A cat' and 'a cat' are each a class of its own; the same one, written in 2 ways?",
    "left out: 1 file with an ending that is not read as an image (.heic 1), such as a cat/photo.heic",
)


@pytest.mark.parametrize("command", ["describe", "check"])
def test_how_the_folder_was_read_is_told(mixed, tmp_path, command):
    result = run(command, "folder", f"root={mixed}", "--output", tmp_path / "output.png")
    assert all(line in result.output.splitlines() for line in TOLD)


@pytest.mark.parametrize("command", [["run", "--dry-run"], ["table"]])
def test_how_the_folder_was_read_is_told_by_what_plans_an_experiment(mixed, tmp_path, command):
    config = tmp_path / "mine.yaml"
    config.write_text(f"dataset: {{name: folder, root: {mixed}, image_size: 8}}\nmethods: {{erm: {{}}}}\nseeds: [0]\n")
    arguments = [command[0], str(config), *command[1:], "--store", str(tmp_path / "store")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and all(line in result.output.splitlines() for line in TOLD)
