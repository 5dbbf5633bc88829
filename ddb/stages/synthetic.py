"""`synthetic`: CDPM, guidance and seed -> synthetic images, as Parquet."""

from typing import Any

from ddb.diffusion.samplers import SAMPLERS
from ddb.diffusion.settings import CDPMSettings, SamplingSettings
from ddb.lazy import np, pa
from ddb.process_memory import SAMPLER, SAMPLING_TASK
from ddb.stages.kind import ActorKind, Job
from ddb.stages.needs import Demand
from ddb.stages.speed import Size, Speed
from ddb.store import Stage


class Synthetic(ActorKind):
    """On a cluster `ray_jobs.sample_synthetic` samples with several actors; `compute` needs no Ray."""

    name = "synthetic"
    version = 2
    unit = "image"

    def code(self, config: dict[str, Any]) -> dict[str, int]:
        name = config["sampling"]["sampler"]
        return {self.name: self.version, name: SAMPLERS[name].version}

    def compute(self, job: Job) -> dict[str, Any]:
        """Sample from the first image to the last; nothing is resumed."""
        from ddb.diffusion import synthetic
        from ddb.diffusion.pipeline import CDPMPipeline

        settings, seed = SamplingSettings.model_validate(job.config["sampling"]), job.config["seed"]
        pipeline = CDPMPipeline.from_pretrained(job.input("cdpm") / "pipeline").to(job.machine.device)
        pipeline.set_progress_bar_config(disable=True)
        per_class, batch, tables = settings.images_per_class, job.sampling_batch, []
        labels, indices = np.divmod(np.arange(pipeline.null_label * per_class), per_class)
        for start in range(0, len(labels), batch):
            some = slice(start, start + batch)
            images = synthetic.generate(pipeline, labels[some], indices[some], seed, settings, batch)
            tables.append(synthetic.to_table(images, labels[some], indices[some], seed, settings.guidance))
            job.progress(min(start + batch, len(labels)), len(labels), {})
        synthetic.write(pa.concat_tables(tables), job.result / "images.parquet")
        return {}

    def memory(self, stage: Stage, demand: Demand) -> int:
        """Of an actor, with its share of the task that feeds the actors."""
        return SAMPLER + SAMPLING_TASK // demand.workers

    def cost(self, stage: Stage, speed: Speed, size: Size) -> tuple[float, float]:
        """Network passes; guidance doubles them."""
        settings = SamplingSettings.model_validate(stage.config["sampling"])
        cdpm = CDPMSettings.model_validate(stage.inputs["cdpm"].config["cdpm"])
        image = speed.unet(cdpm)[1] * settings.sampler_steps * (2 if settings.guidance else 1)
        return image, image * settings.images_per_class * size.classes

    def share(self, stage: Stage, users: list[Stage]) -> float:
        """An amplifier may use the first images of each class alone."""
        sampled = stage.config["sampling"]["images_per_class"]
        return max(user.config["amplifier"]["images_per_class"] or sampled for user in users) / sampled
