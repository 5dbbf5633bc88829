"""`target`: training images and what the method needs -> a debiased classifier, its history and test metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddb.stages.kind import Job, Kind
from ddb.store import Stage

if TYPE_CHECKING:
    from ddb.cost import Probe, Size


class Target(Kind):
    """One cell of the table: a method with its settings and one seed."""

    name = "target"
    version = 3
    unit = "epoch of the training set"
    numbers = ("metrics",)

    def compute(self, job: Job) -> dict[str, Any]:
        """Train by the method and evaluate on the test split."""
        from ddb.classifier import Description, predict, save_classifier
        from ddb.data import groups
        from ddb.diffusion import synthetic
        from ddb.metrics import evaluate
        from ddb.recipes import get_method
        from ddb.recipes.training import Run
        from ddb.signals.amplifier import AmplifierSettings
        from ddb.signals.table import Signals, error_set, pseudo_groups

        method, dataset, machine = get_method(job.config["method"]), job.data(), job.machine
        settings = method.settings_class.model_validate(job.config["settings"])
        surroundings = {"device": machine.device, "workers": machine.workers, "progress": job.progress}
        run = Run(job.config["seed"], method.name, validation=dataset["val"], **surroundings)
        signals = None
        if "amplifier" in job.stage.inputs:
            signals = Signals.read(job.input("amplifier") / "signals.parquet")
        if settings.selection == "val_worst_group":
            run.validation_groups = groups(dataset["val"])
        elif settings.selection == "val_pseudo_worst_group":
            validation = Signals.read(job.input("amplifier") / "signals_val.parquet")
            run.validation_groups = pseudo_groups(validation.labels, error_set(validation))
        if method.needs_synthetic:
            run.synthetic = synthetic.read(job.input("synthetic"))
            run.amplifier_settings = AmplifierSettings.model_validate(job.config["amplifier"])
        model = method.function(dataset["train"], signals, settings, run)
        save_classifier(job.result, model, Description(settings.network, dataset.classes, settings.image_size))
        logits = predict(model, dataset["test"], settings.view(machine.workers))
        job.write(
            "metrics", evaluate(logits, dataset["test"], dataset.classes, dataset.bias_attributes, dataset["train"])
        )
        job.write("history", run.history)
        return {}

    def cost(self, stage: Stage, probe: Probe, size: Size) -> tuple[float, float]:
        """Epochs over the training images, and looks at the validation images."""
        from ddb.recipes import get_method

        settings = get_method(stage.config["method"]).settings_class.model_validate(stage.config["settings"])
        return probe.training(settings, size.train, size.val)
