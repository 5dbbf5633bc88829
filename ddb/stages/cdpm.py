"""`cdpm`: training images and labels -> the class-conditional diffusion model, as a diffusers pipeline."""

import json
from typing import Any

from ddb.diffusion.denoisers import DENOISERS
from ddb.diffusion.noise_schedules import noise_schedule
from ddb.diffusion.settings import CDPMSettings
from ddb.process_memory import CDPM_BESIDE, CDPM_WORKER
from ddb.stages.kind import Job, Kind, pixels_of, too_many
from ddb.stages.needs import Capacity, Demand, ResourceSettings
from ddb.stages.network_memory import cdpm_bytes
from ddb.stages.speed import Size, Speed
from ddb.store import Stage


class CDPM(Kind):
    """On a cluster `ray_jobs.train_cdpm` trains it on several workers; `compute` needs no Ray."""

    name = "cdpm"
    version = 2
    unit = "step"
    has_workers = gang = True

    def code(self, config: dict[str, Any]) -> dict[str, int]:
        name = config["cdpm"]["denoiser"]
        return {self.name: self.version, name: DENOISERS[name].version}

    def compute(self, job: Job) -> dict[str, Any]:
        """Train from the first step to the last; nothing is resumed."""
        from ddb.diffusion.pipeline import CDPMPipeline
        from ddb.diffusion.train import Hooks, train

        settings, dataset, lines = CDPMSettings.model_validate(job.config["cdpm"]), job.data(), []

        def log(step: int, numbers: dict[str, float]) -> None:
            lines.append(json.dumps({"step": step, **numbers}) + "\n")
            job.progress(step, settings.steps, numbers)

        images, labels = dataset["train"].array, dataset["train"].labels
        classes, device = len(dataset.classes), job.machine.device
        network = train(images, labels, classes, settings, job.config["seed"], Hooks(log), device=device)
        CDPMPipeline(network.cpu(), noise_schedule(settings)).save_pretrained(job.result / "pipeline")
        (job.result / "losses.jsonl").write_text("".join(lines))
        return {}

    def demand(self, stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand:
        """A GPU for each worker, or the CPUs of the cluster divided among them."""
        return self._demand(resources.fixed_cdpm_workers, capacity)

    def demand_after_loss(self, stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand:
        """With the most workers that divide the batch. Checkpoints of ZeRO hold a part of the optimizer per worker."""
        settings, slots = stage.config["cdpm"], capacity.slots
        if not slots or (settings["engine"] == "deepspeed" and settings["zero_stage"] > 0):
            return self.demand(stage, capacity, resources)
        return self._demand(max(n for n in range(1, slots + 1) if settings["batch_size"] % n == 0), capacity)

    def _demand(self, workers: int, capacity: Capacity) -> Demand:
        if workers > capacity.slots:
            raise too_many("cdpm_workers", workers, capacity)
        return Demand(workers, 1, 1) if capacity.gpus else Demand(workers, capacity.cpus_for_each(workers))

    def memory(self, stage: Stage, demand: Demand) -> int:
        """On a GPU, the memory of training is not the node's."""
        process = CDPM_WORKER + CDPM_BESIDE // demand.workers
        if demand.gpus:
            return process
        settings: Any = CDPMSettings.model_validate(stage.config["cdpm"])  # frozen, so it has a hash
        return process + cdpm_bytes(settings, pixels_of(stage), classes=10, workers=demand.workers)

    def cost(self, stage: Stage, speed: Speed, size: Size) -> tuple[float, float]:
        """Steps of the optimizer."""
        settings = CDPMSettings.model_validate(stage.config["cdpm"])
        step = speed.unet(settings)[0] * settings.batch_size
        return step, step * settings.steps
