"""`classifier`: training images and what the method needs -> a classifier and its history."""

from typing import Any

from ddb.data import groups
from ddb.recipes import get_method
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.table import Signals, error_set, pseudo_groups, validation_signals
from ddb.stages.kind import Job, Kind, training_memory
from ddb.stages.needs import Demand
from ddb.stages.speed import Size, Speed
from ddb.store import Stage
from ddb.training.classifier import Description, save_classifier
from ddb.training.networks import NETWORKS


class Classifier(Kind):
    """A method with its settings and one seed."""

    name = "classifier"
    version = 4
    unit = "epoch of the training set"

    def code(self, config: dict[str, Any]) -> dict[str, int]:
        networks = [config[role]["network"] for role in ("settings", "amplifier") if role in config]
        method = {config["method"]: get_method(config["method"]).version}
        return {self.name: self.version} | method | {name: NETWORKS[name] for name in networks}

    def compute(self, job: Job) -> dict[str, Any]:
        from ddb.diffusion import synthetic

        method, dataset = get_method(job.config["method"]), job.seen_data()
        settings = method.settings_class.model_validate(job.config["settings"])
        job.check_file("settings", "pretrained", hashed_as="weights")
        context = job.context(method.name, validation=dataset["val"])
        signals = None
        if "amplifier" in job.stage.inputs:
            signals = Signals.read(job.input("amplifier") / "signals.parquet")
        if settings.selection == "val_worst_group":
            context.validation_groups = groups(dataset["val"])
        elif settings.selection == "val_pseudo_worst_group":
            validation = validation_signals(job.input("amplifier"))
            context.validation_groups = pseudo_groups(validation.labels, error_set(validation))
        if method.needs_synthetic:
            context.synthetic = synthetic.read(job.input("synthetic"))
            context.amplifier_settings = AmplifierSettings.model_validate(job.config["amplifier"])
        model = method.function(dataset["train"], signals, settings, context)
        save_classifier(job.result, model, Description.of(model, settings, dataset.classes))
        job.write("history", context.history)
        return {}

    def memory(self, stage: Stage, demand: Demand) -> int:
        """Of one network; a method that trains a second one beside it takes more."""
        return training_memory(stage, stage.config["settings"], demand)

    def cost(self, stage: Stage, speed: Speed, size: Size) -> tuple[float, float]:
        """Epochs over the training images, and looks at the validation images."""
        settings = get_method(stage.config["method"]).settings_class.model_validate(stage.config["settings"])
        return speed.training(settings, size.train, size.val)
