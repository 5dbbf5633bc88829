"""From a configuration to the graph of stages: what has to be computed, and which results are shared.

    plan(load("configs/colored_digits.yaml")).stages()      # inputs before what needs them

    data -> cdpm -> synthetic -> amplifier -> target (a cell: method x seed)
                    synthetic + probe -> alignment

A stage's key follows from its own settings and inputs, so two rows that differ in the guidance share the CDPM, and
two that differ in `gamma` share everything up to the target.
"""

from dataclasses import dataclass, field, replace

from ddb.artifacts import Stage
from ddb.config import ExperimentConfig, MethodConfig, methods
from ddb.data import DataMissing, FilesConfig, data_root, fingerprint, load_dataset
from ddb.diffusion.settings import SamplingSettings
from ddb.settings import Settings

# Bumped when the same settings and inputs would give other numbers than before; the golden numbers in
# `tests/ddb/test_stages.py` say when.
CODE_VERSIONS = {"data": 1, "cdpm": 1, "synthetic": 1, "probe": 1, "alignment": 1, "amplifier": 1, "target": 2}


@dataclass(frozen=True)
class Cell:
    """One trained and tested classifier of the table."""

    dataset: str
    method: str  # the row's label
    seed: int
    selection: str
    guidance: float | None  # None where no synthetic image has a part in it
    stage: Stage


@dataclass
class Plan:
    """The stage graph of an experiment, by what people ask of it."""

    config: ExperimentConfig
    data: Stage
    missing_data: str | None = None  # why nothing can be computed: the data set's files are not there
    cells: list[Cell] = field(default_factory=list)
    synthetic: dict[tuple[int, float], Stage] = field(default_factory=dict)  # (seed, guidance)
    alignment: dict[tuple[int, float], Stage] = field(default_factory=dict)  # (seed, guidance)
    amplifiers: dict[str, dict[int, Stage]] = field(default_factory=dict)  # source -> seed

    def stages(self, only: str | None = None) -> list[Stage]:
        """Every stage once, inputs before what needs them; with `only`, the stages of that name and their inputs."""
        roots = [stage for group in self.amplifiers.values() for stage in group.values()]
        roots += [cell.stage for cell in self.cells] + list(self.alignment.values())
        unique = {ancestor.key: ancestor for root in roots for ancestor in root.ancestors()}
        if only is not None:
            wanted = [stage for stage in unique.values() if stage.name == only]
            unique = {ancestor.key: ancestor for root in wanted for ancestor in root.ancestors()}
        return list(unique.values())


def plan(config: ExperimentConfig) -> Plan:
    """The stages of `config`. Alignment is measured where the data set knows its bias attributes."""
    data, missing = _data(config.dataset)
    graph = Plan(config, data, missing)
    for seed in config.seeds:
        cdpm_seed = seed if config.cdpm.seed is None else config.cdpm.seed
        settings = config.cdpm.model_dump(mode="json", exclude={"seed"})
        cdpm = _stage("cdpm", {"cdpm": settings, "seed": cdpm_seed}, data=data)
        for row in methods(config):
            graph.cells.append(_cell(graph, row, seed, cdpm))
        if config.memorisation:
            shared = {"source": "real", "images_per_class": None}
            settings = config.amplifier.model_copy(update=shared).model_dump(mode="json")
            real = _stage("amplifier", {"amplifier": settings, "seed": seed}, data=data)
            graph.amplifiers.setdefault("real", {})[seed] = real
    return graph


def _data(settings: Settings) -> tuple[Stage, str | None]:
    """The data stage, whose key holds the fingerprint of the files; and what is to be said where there are none."""
    config = {"dataset": settings.model_dump(mode="json", exclude={"root"})}
    if not isinstance(settings, FilesConfig):
        return _stage("data", config), None
    try:
        files = fingerprint(load_dataset(settings))
    except DataMissing as error:
        return _stage("data", config | {"files": "missing"}), str(error)
    stage = _stage("data", config | {"files": files})
    return replace(stage, location=str(data_root(settings))), None


def _cell(graph: Plan, row: MethodConfig, seed: int, cdpm: Stage) -> Cell:
    """One target with the inputs that its method asks for."""
    config = {"method": row.method.name, "settings": row.settings.model_dump(mode="json"), "seed": seed}
    inputs = {"data": graph.data}
    pseudo = row.settings.selection == "val_pseudo_worst_group"
    needs_amplifier = row.method.needs_signals or pseudo
    draws = row.method.needs_synthetic or (needs_amplifier and row.amplifier.source == "synthetic")
    synthetic = _synthetic(graph, row.sampling, seed, cdpm) if draws else None
    if needs_amplifier:
        inputs["amplifier"] = _amplifier(graph, row, seed, synthetic)
    if row.method.needs_synthetic:
        inputs["synthetic"] = synthetic
        config["amplifier"] = row.amplifier.model_dump(mode="json")
    guidance = row.sampling.guidance if draws else None
    stage = _stage("target", config, **inputs)
    return Cell(graph.config.dataset.name, row.label, seed, row.settings.selection, guidance, stage)


def _synthetic(graph: Plan, sampling: SamplingSettings, seed: int, cdpm: Stage) -> Stage:
    stage = _stage("synthetic", {"sampling": sampling.model_dump(mode="json"), "seed": seed}, cdpm=cdpm)
    key = (seed, sampling.guidance)
    graph.synthetic.setdefault(key, stage)
    if key not in graph.alignment and graph.config.dataset.bias_labels:
        probe = _stage("probe", {}, data=graph.data)
        graph.alignment[key] = _stage("alignment", {}, synthetic=stage, probe=probe, data=graph.data)
    return stage


def _amplifier(graph: Plan, row: MethodConfig, seed: int, synthetic: Stage | None) -> Stage:
    inputs = {"data": graph.data} | ({"synthetic": synthetic} if row.amplifier.source == "synthetic" else {})
    config = {"amplifier": row.amplifier.model_dump(mode="json"), "seed": seed}
    stage = _stage("amplifier", config, **inputs)
    graph.amplifiers.setdefault(row.amplifier.source, {}).setdefault(seed, stage)
    return stage


def _stage(name: str, config: dict, **inputs: Stage) -> Stage:
    return Stage(name, config, CODE_VERSIONS[name], inputs)
