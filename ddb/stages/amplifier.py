"""`amplifier`: a source of signals and the real images -> signals, and the trained Bias Amplifier if there is one."""

from typing import Any

from ddb.data.generated import content
from ddb.features import table
from ddb.signals import SOURCES
from ddb.signals.amplifier import AmplifierSettings
from ddb.signals.judge import judge
from ddb.signals.table import signal_quality
from ddb.stages.kind import Job, Kind, training_memory
from ddb.stages.needs import Demand
from ddb.stages.speed import Size, Speed
from ddb.store import Stage
from ddb.training.classifier import Description, save_classifier
from ddb.training.networks import NETWORKS


class Amplifier(Kind):
    """Signals on all images, memorisation curve and, with bias labels, their quality."""

    name = "amplifier"
    version = 3
    unit = "epoch of the synthetic set"
    numbers = ("quality", "curve")

    def code(self, config: dict[str, Any]) -> dict[str, int]:
        settings = config["amplifier"]
        source = {f"source {settings['source']}": SOURCES[settings["source"]].version}
        network = {settings["network"]: NETWORKS[settings["network"]]} if "network" in settings else {}
        return {self.name: self.version} | source | network

    def compute(self, job: Job) -> dict[str, Any]:
        from ddb.diffusion import synthetic

        recorded, dataset = job.config["amplifier"], job.data()
        settings = AmplifierSettings.model_validate(recorded)
        if "file" in recorded:
            job.check_file("amplifier", "file")
        if "pretrained" in recorded:
            job.check_file("amplifier", "pretrained", hashed_as="weights")
        if "generated" in recorded:
            job.check_file("amplifier", "generated", content)
        context = job.context("amplifier", stream="amplifier", classes=dataset.classes)
        images = synthetic.read(job.input("synthetic")) if "synthetic" in job.stage.inputs else None
        layers = [dataset]
        if settings.space == "features":
            features = job.input("features")
            every = settings.layer is None and not SOURCES[settings.source].trains
            names = table.layers(features) if every else [settings.layer]
            layers = [table.with_features(dataset, features, name) for name in names]
        found = judge(layers, images, settings, context)
        found.train.write(job.result / "signals.parquet")
        for name, signals in (("val", found.val), ("test", found.test)):
            if signals:
                signals.write(job.result / f"signals_{name}.parquet")
        if found.model:
            save_classifier(job.result, found.model, Description.of(found.model, settings, dataset.classes))
        if found.curve:
            job.write("curve", found.curve)
        if dataset["train"].aligned is not None:
            job.write("quality", signal_quality(found.train, dataset["train"].aligned))
        return {}

    def memory(self, stage: Stage, demand: Demand) -> int:
        """Of the amplifier's training; of a closed form, of one process."""
        settings = stage.config["amplifier"]
        return training_memory(stage, settings, demand) if "network" in settings else super().memory(stage, demand)

    def cost(self, stage: Stage, speed: Speed, size: Size) -> tuple[float, float]:
        """Epochs over its images, and looks at the real training images for the curve; a closed form costs nothing."""
        settings, sampled = AmplifierSettings.model_validate(stage.config["amplifier"]), stage.inputs.get("synthetic")
        if "network" not in stage.config["amplifier"]:
            return 0.0, 0.0
        images = size.train
        if sampled:
            images = size.classes * (settings.images_per_class or sampled.config["sampling"]["images_per_class"])
        epoch, whole = speed.training(settings, images, size.train)
        return epoch, whole * SOURCES[settings.source].networks * stage.config["amplifier"].get("folds", 1)
