"""What each stage of the graph computes, from its own settings and its inputs' directories.

    run(stage, store)       # in this process; ray_jobs runs the same functions on a cluster

Every function reads settings from `stage.config` alone, which is what the key hashes, and writes into `work.result`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddb.amplifier import AmplifierSettings, Signals, compute_signals, signal_quality, train_amplifier
from ddb.classifier import Description, load_classifier, predict, save_classifier
from ddb.data import BENCHMARKS, BiasedDataset, fingerprint, groups, load_dataset, prepared
from ddb.diffusion import synthetic
from ddb.errors import DDBError
from ddb.metrics import evaluate, worst
from ddb.probe import alignment, bias_names, train_probe
from ddb.recipes import get_method
from ddb.recipes.pseudo_groups import check_signals, error_set, pseudo_groups
from ddb.recipes.training import Run
from ddb.store import Stage, Store, Workspace

Progress = Callable[[int, int, dict[str, Any]], None]  # (step, total, numbers)


@dataclass(frozen=True)
class Machine:
    """What a stage may use: `cpu` or `cuda`, and CPU cores."""

    device: str = "cpu"
    cpus: int = 1

    @property
    def workers(self) -> int:
        """Processes that load images beside the one that trains."""
        return self.cpus if self.cpus > 1 else 0


def run_classifier_stage(
    stage: Stage, store: Store, work: Workspace, progress: Progress, machine: Machine | None = None
) -> None:
    """Compute one of the stages that need no cluster of their own: all but `cdpm` and `synthetic`."""
    FUNCTIONS[stage.name](stage, store, work.result, progress, machine or Machine())


def prepare_data(stage: Stage, store: Store, result: Path, progress: Progress, machine: Machine) -> None:
    """Benchmark -> arrays and labels (see `ddb.data.prepared`). Raises DDBError where files changed since planning."""
    values = stage.config["dataset"]
    if stage.location is not None:
        values = values | {"root": stage.location}
    settings = BENCHMARKS[values["name"]].settings.model_validate(values)
    dataset = load_dataset(settings)
    if stage.location is not None and fingerprint(dataset) != stage.config["files"]:
        raise DDBError(f"dataset {dataset.name}: files below {stage.location} changed while the command ran")
    report = lambda done, total: progress(done, total, {"images_per_step": 1})  # noqa: E731
    prepared.write(dataset, result, settings.image_size, machine.cpus, report)


def fit_amplifier(stage: Stage, store: Store, result: Path, progress: Progress, machine: Machine) -> None:
    """Synthetic (or real) images -> amplifier, its signals on train and val, memorisation curve, signal quality."""
    settings = AmplifierSettings.model_validate(stage.config["amplifier"])
    dataset = read_data(stage, store)
    train = dataset["train"]
    images = train if settings.source == "real" else synthetic.read(store.path(stage.inputs["synthetic"]))
    surrounding = {"device": machine.device, "workers": machine.workers, "progress": progress}
    run = Run(stage.config["seed"], "amplifier", stream="amplifier", **surrounding)
    model, curve = train_amplifier(images, train, settings, run)
    save_classifier(result, model, Description(settings.network, dataset.classes, settings.image_size))
    view = settings.view(machine.workers)
    signals = compute_signals(model, train, view)
    signals.write(result / "signals.parquet")
    compute_signals(model, dataset["val"], view).write(result / "signals_val.parquet")
    _write_json(result / "curve.json", curve)
    if train.aligned is not None:
        _write_json(result / "quality.json", signal_quality(signals, train.aligned))


def fit_target(stage: Stage, store: Store, result: Path, progress: Progress, machine: Machine) -> None:
    """Training images, and what the method asks for -> classifier, test metrics, training history."""
    method = get_method(stage.config["method"])
    settings = method.settings_class.model_validate(stage.config["settings"])
    dataset = read_data(stage, store)
    surrounding = {"device": machine.device, "workers": machine.workers, "progress": progress}
    run = Run(stage.config["seed"], method.name, validation=dataset["val"], **surrounding)
    signals = None
    if "amplifier" in stage.inputs:
        directory = store.path(stage.inputs["amplifier"])
        signals = Signals.read(directory / "signals.parquet")
        validation = Signals.read(directory / "signals_val.parquet")
    if settings.selection == "val_worst_group":
        run.validation_groups = groups(dataset["val"])
    elif settings.selection == "val_pseudo_worst_group":
        run.validation_groups = pseudo_groups(validation.labels, error_set(validation))
    if method.needs_synthetic:
        run.synthetic = synthetic.read(store.path(stage.inputs["synthetic"]))
        run.amplifier_settings = AmplifierSettings.model_validate(stage.config["amplifier"])
    model = method.function(dataset["train"], signals, settings, run)
    save_classifier(result, model, Description(settings.network, dataset.classes, settings.image_size))
    logits = predict(model, dataset["test"], settings.view(machine.workers))
    metrics = evaluate(logits, dataset["test"], dataset.classes, dataset.bias_attributes, dataset["train"])
    _write_json(result / "metrics.json", metrics)
    _write_json(result / "history.json", run.history)


def fit_probe(stage: Stage, store: Store, result: Path, progress: Progress, machine: Machine) -> None:
    """Real images -> two classifiers that judge synthetic ones: class and bias attribute."""
    dataset = read_data(stage, store)
    models, accuracies = train_probe(dataset, machine.device, progress)
    for name, model in models.items():
        (result / name).mkdir()
        names = dataset.classes if name == "class" else bias_names(dataset)
        save_classifier(result / name, model, Description("small_cnn", names))
    _write_json(result / "probe.json", accuracies)


def measure_alignment(stage: Stage, store: Store, result: Path, progress: Progress, machine: Machine) -> None:
    """Synthetic images -> share that follows the bias and share of the right class, as the probe sees them."""
    directory = store.path(stage.inputs["probe"])
    models = {name: load_classifier(directory / name) for name in ("class", "bias")}
    images = synthetic.read(store.path(stage.inputs["synthetic"]))
    numbers = alignment(models, images, read_data(stage, store)) | json.loads((directory / "probe.json").read_text())
    _write_json(result / "alignment.json", numbers)


def validate_target(stage: Stage, store: Store, result: Path, progress: Progress, machine: Machine) -> None:
    """A trained target -> its accuracy on the validation split: on average, worst group, worst pseudo-group."""
    target, split = stage.inputs["target"], read_data(stage, store)["val"]
    settings = get_method(target.config["method"]).settings_class.model_validate(target.config["settings"])
    model = load_classifier(store.path(target)).to(machine.device)
    right = predict(model, split, settings.view(machine.workers)).argmax(1).numpy() == split.labels  # (V,)
    numbers = {"val_average": right.mean()}
    if split.aligned is not None:
        numbers["val_worst_group"] = worst(right, groups(split))
    if "amplifier" in stage.inputs:
        signals = Signals.read(store.path(stage.inputs["amplifier"]) / "signals_val.parquet")
        check_signals(signals, split)
        numbers["val_pseudo_worst_group"] = worst(right, pseudo_groups(signals.labels, error_set(signals)))
    _write_json(result / "validation.json", numbers)


FUNCTIONS = {
    "data": prepare_data,
    "amplifier": fit_amplifier,
    "target": fit_target,
    "probe": fit_probe,
    "alignment": measure_alignment,
    "validation": validate_target,
}


def read_data(stage: Stage, store: Store) -> BiasedDataset:
    """The prepared data set among the stage's inputs."""
    return prepared.read(store.path(stage.inputs["data"]))


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, allow_nan=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    """numpy's scalars as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")
