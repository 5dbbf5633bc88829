"""From an experiment to the graph of stages: what has to be computed, and which results are shared.

    build_graph(load("configs/ablations/guidance.yaml")).stages()      # inputs before what needs them

    data -> cdpm -> synthetic -> amplifier -> classifier -> evaluation (a cell: method x seed x varied settings)
                    synthetic + probe -> alignment

A stage's key follows from its own settings, inputs and code, so two cells that differ in the guidance share the CDPM,
and two that differ in `gamma` share everything up to the classifier. If cells differ in the number of synthetic images,
the largest set is sampled once and the others take its first images (DESIGN: sample identity).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ddb.data import DataMissing, DatasetConfig, FilesConfig, data_root, fingerprint, load_dataset
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.errors import DDBError
from ddb.experiment.config import ExperimentConfig, MethodConfig, methods, setting_value
from ddb.experiment.config_file import Experiment, Point
from ddb.features.settings import FeatureSettings
from ddb.settings import Part, file_content
from ddb.signals import SOURCES
from ddb.signals.amplifier import AmplifierSettings
from ddb.stages import KINDS, make_stage
from ddb.store import Stage, canonical_json, in_order
from ddb.training.networks import HEADS


@dataclass(frozen=True)
class Cell:
    """One trained and tested classifier of the table."""

    dataset: str
    method: str  # the row's label
    seed: int
    selection: str
    guidance: float | None  # None where no synthetic image has a part in it
    settings: dict[str, Any]  # the experiment's varied settings ("none" is null); None: changes nothing in this cell
    row: MethodConfig
    config: ExperimentConfig
    stage: Stage  # the evaluation

    @property
    def classifier(self) -> Stage:
        """The training."""
        return self.stage.inputs["classifier"]


@dataclass(frozen=True)
class SyntheticSet:
    """Images drawn from one CDPM."""

    seed: int
    sampling: SamplingSettings
    stage: Stage
    alignment: Stage | None  # None where the data set has no bias labels

    @property
    def data(self) -> Stage:
        """The data set that the CDPM learned."""
        return self.stage.inputs["cdpm"].inputs["data"]


@dataclass(frozen=True)
class AmplifierRun:
    """Signals of one source; `seed` is the first that has them, as closed forms have the same for all."""

    source: str
    seed: int
    stage: Stage


@dataclass
class Graph:
    """The stage graph of an experiment, by what people ask of it. Dictionaries go by the stage's key."""

    experiment: Experiment
    cells: list[Cell] = field(default_factory=list)
    synthetic: dict[str, SyntheticSet] = field(default_factory=dict)
    amplifiers: dict[str, AmplifierRun] = field(default_factory=dict)
    more: list[Stage] = field(default_factory=list)  # what kinds of stages add by themselves
    missing_data: dict[str, str] = field(default_factory=dict)  # data stage -> why its files cannot be read
    reading: list[str] = field(default_factory=list)  # how the data sets' files were read, what is left out

    @property
    def config(self) -> ExperimentConfig:
        """Of the first point: its seeds and resources are everyone's."""
        return self.experiment.config

    @property
    def data(self) -> Stage:
        """The data set of the first point, for most experiments the only one."""
        return self.cells[0].stage.inputs["data"]

    def lacks_data(self, stage: Stage) -> str | None:
        """Why `stage` cannot be computed, where that is because its data set's files are not there."""
        if not self.missing_data:
            return None
        return next((self.missing_data[s.key] for s in stage.ancestors() if s.key in self.missing_data), None)

    def stages(self, only: str | None = None) -> list[Stage]:
        """Every stage once, inputs before what needs them; with `only`, the stages of that kind and their inputs.

        Raises DDBError if there is no such stage.
        """
        roots = [run.stage for run in self.amplifiers.values()] + [cell.stage for cell in self.cells]
        roots += [drawn.alignment for drawn in self.synthetic.values() if drawn.alignment]
        found = in_order(roots + self.more)
        if only is not None:
            kinds = ", ".join(dict.fromkeys(stage.name for stage in found.values()))
            found = in_order(stage for stage in found.values() if stage.name == only)
            if not found:
                raise DDBError(f"no stage {only!r} in this experiment; it has {kinds}")
        return list(found.values())


@dataclass(frozen=True)
class _Request:
    """What one cell asks for, before it is known what others ask of the same CDPM."""

    point: Point
    row: MethodConfig
    seed: int
    data: Stage
    features: Stage | None  # None if no row uses features
    cdpm: Stage

    @property
    def needs_amplifier(self) -> bool:
        return self.row.method.needs_signals or self.row.settings.selection == "val_pseudo_worst_group"

    @property
    def draws(self) -> bool:
        """Whether synthetic images have a part in it."""
        return self.row.method.needs_synthetic or (
            self.needs_amplifier and SOURCES[self.row.amplifier.source].needs_synthetic
        )

    @cached_property
    def family(self) -> str:
        """The same for all synthetic sets of which one is the beginning of the other."""
        sampler = self.row.sampling.model_dump(mode="json", exclude={"images_per_class"})
        return canonical_json([self.cdpm.key, self.seed, sampler])


def build_graph(experiment: Experiment) -> Graph:
    """The stages of `experiment`. Alignment is measured where the data set knows its bias attributes."""
    graph = Graph(experiment)
    requests = list(_requests(graph))
    largest: dict[str, int] = {}
    for request in requests:
        if request.draws:
            largest[request.family] = max(largest.get(request.family, 0), request.row.sampling.images_per_class)
    cells: dict[tuple, Cell] = {}
    for request in requests:
        cell = _cell(graph, request, largest.get(request.family, 0))
        known = cells.setdefault((cell.method, cell.seed, cell.stage.key), cell)
        settings = {k: v if cell.settings.get(k) == v else None for k, v in known.settings.items()}
        cells[cell.method, cell.seed, cell.stage.key] = replace(known, settings=settings)
        _add_real_amplifier(graph, request)
    graph.cells = _without_base(list(cells.values()))
    needed = graph.stages()
    graph.more = [stage for kind in KINDS.values() for stage in kind.more_stages(needed)]
    return graph


def _without_base(cells: list[Cell]) -> list[Cell]:
    """Cells that do not name their base where the data set says as much: no two bases have the same one."""
    pairs = {(cell.dataset, cell.settings.get("base")) for cell in cells}
    if len(pairs) > len({dataset for dataset, _ in pairs}):
        return cells
    return [replace(cell, settings={n: v for n, v in cell.settings.items() if n != "base"}) for cell in cells]


def _requests(graph: Graph) -> Iterator[_Request]:
    """Every row of every point and seed."""
    data: dict[str, Stage] = {}
    for point in graph.experiment.points:
        config = point.config
        name = config.dataset.model_dump_json()
        if name not in data:
            data[name], missing, reading = _data(config.dataset)
            graph.reading += reading
            if missing:
                graph.missing_data[data[name].key] = missing
        rows = methods(config)
        features = None
        if any(row.settings.network in HEADS or row.amplifier.space == "features" for row in rows):
            features, missing = features_stage(config.features, data[name])
            if missing:
                graph.missing_data[features.key] = missing
        for seed in config.seeds:
            cdpm = _cdpm(config.cdpm, seed, data[name])
            for row in rows:
                yield _Request(point, row, seed, data[name], features, cdpm)


def _data(settings: DatasetConfig) -> tuple[Stage, str | None, tuple[str, ...]]:
    """The data stage, whose key holds the fingerprint of the files; why there are none; how they were read."""
    config = {"dataset": settings}
    if not isinstance(settings, FilesConfig):
        return make_stage("data", config), None, ()
    try:
        dataset = load_dataset(settings)
    except DataMissing as error:
        return make_stage("data", config | {"files": "missing"}), str(error), ()
    stage = make_stage("data", config | {"files": fingerprint(dataset)})
    return replace(stage, location=str(data_root(settings))), None, dataset.reading


def _cdpm(settings: CDPMSettings, seed: int, data: Stage) -> Stage:
    """The training, or the trained model of a folder."""
    if settings.pipeline:
        return make_stage("imported_cdpm", {"cdpm": Part(settings, ("pipeline",))}, data=data)
    seed = seed if settings.seed is None else settings.seed
    return make_stage("cdpm", {"cdpm": settings, "seed": seed}, data=data)


def features_stage(settings: FeatureSettings, data: Stage) -> tuple[Stage, str | None]:
    """The stage, whose key contains the content of the file of weights, and the reason if that file is missing."""
    from ddb.training.pretrained import weights_file

    content, location, missing = "missing", None, None
    try:
        location = str(weights_file(settings.encoder, settings.weights))
        content = file_content(location)
    except DDBError as error:
        missing = str(error)
    stage = make_stage("features", {"features": settings, "weights": content}, data=data)
    return replace(stage, location=location), missing


def _cell(graph: Graph, request: _Request, largest: int) -> Cell:
    """One classifier with the inputs that its method asks for; its synthetic set has `largest` images per class."""
    row, dataset = request.row, request.point.config.dataset
    config = {"method": row.method.name, "settings": row.settings, "seed": request.seed}
    inputs: dict[str, Any] = {"data": request.data}
    amplifier, drawn = row.amplifier, None
    if request.draws:
        if amplifier.images_per_class is None and row.sampling.images_per_class < largest:
            amplifier = amplifier.model_copy(update={"images_per_class": row.sampling.images_per_class})
        sampling = row.sampling.model_copy(update={"images_per_class": largest})
        drawn = _synthetic(graph, sampling, request, dataset.bias_labels)
    if request.needs_amplifier:
        stage = _amplifier(amplifier, request, drawn)
        graph.amplifiers.setdefault(stage.key, AmplifierRun(amplifier.source, request.seed, stage))
        inputs["amplifier"] = stage
    if row.method.needs_synthetic:
        inputs["synthetic"] = drawn
        config["amplifier"] = SOURCES[amplifier.source].settings(amplifier)
    guidance = row.sampling.guidance if drawn else None
    seen: dict[str, Any] = {"data": request.data}
    if row.settings.network in HEADS:
        seen["features"] = request.features
    classifier = make_stage("classifier", config, **(inputs | seen))
    stage = make_stage("evaluation", {}, classifier=classifier, **seen)
    selection = row.settings.selection
    settings = {name: _setting(request, name) for name in graph.experiment.axes}
    return Cell(dataset.name, row.label, request.seed, selection, guidance, settings, row, request.point.config, stage)


def _setting(request: _Request, name: str) -> Any:
    """The value of a varied setting in this cell, also where its grid does not vary it; None where it has none."""
    if name == "base":
        return request.point.varied.get(name)
    try:
        value = setting_value(request.point.config, request.row, name)
    except KeyError:
        return None
    return "none" if value is None else value


def _synthetic(graph: Graph, sampling: SamplingSettings, request: _Request, bias_labels: bool) -> Stage:
    stage = make_stage("synthetic", {"sampling": sampling, "seed": request.seed}, cdpm=request.cdpm)
    if stage.key not in graph.synthetic:
        alignment = None
        if bias_labels:
            probe = make_stage("probe", {}, data=request.data)
            alignment = make_stage("alignment", {}, synthetic=stage, probe=probe, data=request.data)
        graph.synthetic[stage.key] = SyntheticSet(request.seed, sampling, stage, alignment)
    return stage


def _amplifier(settings: AmplifierSettings, request: _Request, drawn: Stage | None) -> Stage:
    source = SOURCES[settings.source]
    config: dict[str, Any] = {"amplifier": source.settings(settings)}
    inputs: dict[str, Any] = {"data": request.data}
    if source.trains:
        config["seed"] = request.seed
    if source.needs_synthetic:
        inputs["synthetic"] = drawn
    if settings.space == "features":
        inputs["features"] = request.features
    return make_stage("amplifier", config, **inputs)


def _add_real_amplifier(graph: Graph, request: _Request) -> None:
    """The amplifier on real images whose curve shows memorisation, where the experiment asks for it."""
    config = request.point.config
    if config.memorisation:
        changes = {"source": "real", "images_per_class": None, "file": None, "generated": None}
        stage = _amplifier(config.amplifier.model_copy(update=changes), request, None)
        graph.amplifiers.setdefault(stage.key, AmplifierRun("real", request.seed, stage))
