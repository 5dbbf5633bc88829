"""Every configuration that ships: it loads, its presets apply, and the paper's settings are the paper's."""

from pathlib import Path

import pytest

from ddb.errors import DDBError
from ddb.experiment.config import methods
from ddb.experiment.config_file import load, preset_changes
from ddb.experiment.graph import build_graph
from ddb.experiment.sweep import load_sweep

COMMON = Path("configs/benchmarks/paper.yaml")  # names no data set
CONFIGS = sorted(path for path in Path("configs").rglob("*.yaml") if path.parent.name != "sweeps" and path != COMMON)
BENCHMARKS = ("bar", "bffhq", "imagenet9", "urbancars", "waterbirds")


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_it_loads_and_plans_without_its_data(path, monkeypatch, tmp_path):
    monkeypatch.setenv("DDB_DATA", str(tmp_path))
    graph = build_graph(load(path))
    assert graph.cells and graph.stages()[0].name == "data"


@pytest.mark.parametrize("base", ["colored_digits", *BENCHMARKS])
@pytest.mark.parametrize("path", [path for path in CONFIGS if path.parent.name in ("tables", "ablations")], ids=str)
def test_tables_and_ablations_run_on_a_benchmark_by_naming_it(path, base, monkeypatch, tmp_path):
    monkeypatch.setenv("DDB_DATA", str(tmp_path))
    overrides = [f"base={base}"]
    if path.stem == "conflict_ratio" and base != "colored_digits":
        overrides.append("vary.dataset.conflict_ratio=null")  # a property of files, there
    graph = build_graph(load(path, overrides))
    assert {cell.dataset for cell in graph.cells} == {base}
    assert len(graph.cells) >= len(graph.config.seeds) * len(graph.config.methods)


@pytest.mark.parametrize("base", ["colored_digits", *BENCHMARKS])
def test_the_sweep_runs_on_a_benchmark_by_naming_it(base, monkeypatch, tmp_path):
    monkeypatch.setenv("DDB_DATA", str(tmp_path))
    assert load_sweep("configs/sweeps/colored_digits.yaml", [f"base={base}"]).default["sampling.guidance"] == 1


@pytest.mark.parametrize("base", ["colored_digits", *BENCHMARKS])
def test_with_ddbs_signal_a_baseline_has_the_settings_that_it_has_without(base, monkeypatch, tmp_path):
    monkeypatch.setenv("DDB_DATA", str(tmp_path))
    for table, name in (("recipe_1", "jtt"), ("recipe_2", "lff")):
        rows = {
            row.label: row.settings for row in methods(load(f"configs/tables/{table}.yaml", [f"base={base}"]).config)
        }
        plugged, own = rows[f"{name}_ddb"].model_dump(), rows[name].model_dump()
        assert {name: plugged[name] for name in plugged if name in own} == {n: own[n] for n in plugged if n in own}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_papers_settings(name):
    config = load(f"configs/benchmarks/{name}.yaml").config
    assert config.dataset.name == name and config.dataset.image_size == 64
    cdpm, sampling = config.cdpm, config.sampling
    assert (cdpm.process, cdpm.channels, cdpm.steps, cdpm.batch_size) == ("paper", (128, 256, 256, 256), 100_000, 32)
    assert (cdpm.dropout, cdpm.label_drop, cdpm.learning_rate, cdpm.ema_decay) == (0.15, 0.1, 1e-4, None)
    assert (sampling.guidance, sampling.images_per_class, sampling.sampler_steps) == (1, 1000, 1000)
    assert config.amplifier.network == "densenet121"
    network = "resnet50" if name in ("waterbirds", "urbancars") else "resnet18"
    assert config.training["network"] == network
    assert ("group_dro" in config.methods) is (name in ("bffhq", "urbancars", "waterbirds"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_fast_preset_says_what_it_changes(name):
    path = f"configs/benchmarks/{name}.yaml"
    fast, paper = load(path, ["preset=fast", "sampling.sampler_steps=10"]).config, load(path).config
    assert fast.cdpm.steps * fast.cdpm.batch_size == paper.cdpm.steps * paper.cdpm.batch_size
    assert fast.sampling.sampler_steps == 10  # an override comes last
    changes = preset_changes(path, ["preset=fast"])
    assert "cdpm.process: paper -> fast" in changes and "sampling.sampler_steps: 1000 -> 20" in changes
    assert not any(change.startswith("dataset") for change in changes)


def test_an_unknown_preset_is_refused():
    with pytest.raises(DDBError, match=r"preset: 'fats' is not in .*; did you mean 'fast'\?"):
        load("configs/benchmarks/bar.yaml", ["preset=fats"])
