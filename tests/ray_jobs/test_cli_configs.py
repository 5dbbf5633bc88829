"""`ddb configs` in an empty folder: names, resolved settings, and copies that work as the bundled files do."""

import pytest
from typer.testing import CliRunner

from ddb import yaml_text
from ddb.errors import DDBError
from ddb.experiment.config_file import load, locate, names, read_file
from ddb.experiment.sweep import load_sweep
from ray_jobs.cli import app


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDB_DATA", str(tmp_path))


def run(*arguments):
    return CliRunner().invoke(app, ["configs", *arguments])


def test_list_prints_a_name_a_kind_and_a_sentence_for_each_configuration():
    rows = [
        [cell.strip("| ") for cell in line.split(" | ")]
        for line in run("list").output.splitlines()
        if line.startswith("| ")
    ][2:]
    kinds = {name: kind for name, kind, _ in rows if name}
    assert kinds.keys() == names().keys() and all(locate(name) == path for name, path in names().items())
    assert [kinds[name] for name in ("ablations/guidance", "bar", "sweeps/colored_digits", "colored_digits")] == [
        "ablation", "benchmark", "search", "experiment"]  # fmt: skip
    about = {name: sentence for name, _, sentence in rows if name}
    assert about["ablations/guidance"] == "How strong should the guidance be?"
    assert about["urbancars"].endswith("I.D. accuracy and the BG, CoObj and BG+CoObj gaps.") and all(about.values())


def test_show_prints_resolved_settings_and_what_varies():
    output = run("show", "ablations/guidance", "base=waterbirds", "seeds=[4]").output
    values = yaml_text.read(output)
    assert values["dataset"]["name"] == "waterbirds" and values["seeds"] == [4] and values["sampling"]["guidance"] == 0
    assert output.endswith("# sampling.guidance varies: 0, 0.5, 1, 2, 3, 5, 7, 10, 15\n")


def test_show_prints_a_search_with_its_default_point():
    values = yaml_text.read(run("show", "sweeps/colored_digits", "sweep.trials=7").output)
    assert values["sweep"]["trials"] == 7 and values["sampling"]["guidance"] == 1
    assert "choices" in values["sweep"]["space"]["sampling.guidance"]


@pytest.mark.parametrize("name", [name for name in names() if name != "paper"])  # which names no data set
def test_a_copy_has_the_settings_of_the_bundled_file(name, tmp_path):
    printed = run("copy", name, "mine.yaml")
    assert printed.exit_code == 0, printed.output
    if "sweep" in read_file(name):
        assert load_sweep("mine.yaml").default == load_sweep(name).default and "ddb sweep mine.yaml" in printed.output
    else:
        assert load("mine.yaml") == load(name) and "ddb run mine.yaml" in printed.output


def test_copy_overwrites_nothing_and_takes_only_bundled_configurations(tmp_path):
    assert run("copy", "ablations/guidance").exit_code == 0
    mine = tmp_path / "guidance.yaml"
    mine.write_text("base: colored_digits\n")
    for arguments, message in [
        (["ablations/guidance"], "guidance.yaml: exists already; name another file"),
        (["guidance.yaml", "x.yaml"], "guidance.yaml: is not a bundled configuration; ddb configs list prints their"),
        (["ablations/guidanc"], "configuration ablations/guidanc: No such file or directory; did you mean ablations/g"),
    ]:
        error = run("copy", *arguments).exception
        assert isinstance(error, DDBError) and str(error).startswith(message)
    assert mine.read_text() == "base: colored_digits\n" and list(tmp_path.iterdir()) == [mine]
