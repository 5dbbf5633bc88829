"""`amplifier`: synthetic (or real) images -> the Bias Amplifier and its signals on the real images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddb.stages.kind import Job, Kind
from ddb.store import Stage

if TYPE_CHECKING:
    from ddb.cost import Probe, Size


class Amplifier(Kind):
    """Signals on the training and validation images, memorisation curve and, with bias labels, their quality."""

    name = "amplifier"
    version = 2
    unit = "epoch of the synthetic set"
    numbers = ("quality", "curve")

    def code(self, config: dict[str, Any]) -> dict[str, int]:
        """Of this kind and of the network."""
        from ddb.backbones import NETWORKS

        name = config["amplifier"]["network"]
        return {self.name: self.version, name: NETWORKS[name]}

    def compute(self, job: Job) -> dict[str, Any]:
        """Train the amplifier and compute its signals."""
        from ddb.classifier import Description, save_classifier
        from ddb.diffusion import synthetic
        from ddb.recipes.training import Run
        from ddb.signals.amplifier import AmplifierSettings, compute_signals, train_amplifier
        from ddb.signals.table import signal_quality

        settings, dataset, machine = AmplifierSettings.model_validate(job.config["amplifier"]), job.data(), job.machine
        train = dataset["train"]
        images = train if settings.source == "real" else synthetic.read(job.input("synthetic"))
        surroundings = {"device": machine.device, "workers": machine.workers, "progress": job.progress}
        run = Run(job.config["seed"], "amplifier", stream="amplifier", **surroundings)
        model, curve = train_amplifier(images, train, settings, run)
        save_classifier(job.result, model, Description(settings.network, dataset.classes, settings.image_size))
        view = settings.view(machine.workers)
        signals = compute_signals(model, train, view)
        signals.write(job.result / "signals.parquet")
        compute_signals(model, dataset["val"], view).write(job.result / "signals_val.parquet")
        job.write("curve", curve)
        if train.aligned is not None:
            job.write("quality", signal_quality(signals, train.aligned))
        return {}

    def cost(self, stage: Stage, probe: Probe, size: Size) -> tuple[float, float]:
        """Epochs over its images, and looks at the real training images for the curve."""
        from ddb.signals.amplifier import AmplifierSettings

        settings, sampled = AmplifierSettings.model_validate(stage.config["amplifier"]), stage.inputs.get("synthetic")
        per_class = settings.images_per_class or (sampled and sampled.config["sampling"]["images_per_class"])
        return probe.training(settings, per_class * size.classes if sampled else size.train, size.train)
