"""Synthetic images on Ray Data: rows (label, index) through a pool of actors that each hold the CDPM.

    python -m ray_jobs.sample_synthetic configs/colored_digits.yaml seeds=[0]

Finished parts are not sampled again on resume, whatever the batch size or number of actors.
"""

from typing import Any

import pyarrow as pa
from diffusers import UNet2DModel

from ddb.diffusion import synthetic
from ddb.diffusion.pipeline import CDPMPipeline
from ddb.diffusion.settings import SamplingSettings
from ddb.errors import Interrupted
from ddb.stages.needs import Demand
from ddb.stages.parts import Parts
from ddb.store import Stage, Store, Workspace
from ray_jobs import actor_pool


class Sampler(actor_pool.PartWriter):
    """One actor, with the CDPM."""

    def __init__(self, parts: Parts, threads: int | None, pipeline: str, seed: int, sampling: dict, batch: int):
        super().__init__(parts, threads)
        self.pipeline = CDPMPipeline.from_pretrained(pipeline)
        self.pipeline.to(self.device)
        self.seed, self.batch, self.settings = seed, batch, SamplingSettings.model_validate(sampling)

    def part(self, keys: pa.Table) -> pa.Table:
        labels, indices = keys["label"].to_numpy(), keys["index"].to_numpy()
        images = synthetic.generate(self.pipeline, labels, indices, self.seed, self.settings, self.batch)
        return synthetic.to_table(images, labels, indices, self.seed, self.settings.guidance)


def sample(stage: Stage, store: Store, work: Workspace, demand: Demand, batch: int) -> dict[str, Any]:
    """Sample the synthetic set of `stage` into `work.result/images.parquet`; returns numbers for the record."""
    pipeline, sampling = store.path(stage.inputs["cdpm"]) / "pipeline", stage.config["sampling"]
    network: Any = UNet2DModel.load_config(pipeline / "unet")
    classes = network["num_class_embeds"] - 1  # the last one is the null class
    parts, per_class = Parts(work.resume / "parts", ("label", "index")), sampling["images_per_class"]
    wanted = [(label, index) for label in range(classes) for index in range(per_class)]
    blocks = parts.missing(wanted, batch)
    arguments = {"parts": parts, "pipeline": str(pipeline), "sampling": sampling, "batch": batch}
    arguments["seed"] = stage.config["seed"]
    done, numbers = actor_pool.run(Sampler, arguments, blocks, demand, work, len(wanted))
    if done < len(wanted):
        raise Interrupted(f"synthetic: interrupted after {done} of {len(wanted)} images")
    synthetic.write(parts.whole(), work.result / "images.parquet")
    return {"images": len(wanted), **numbers}


if __name__ == "__main__":
    from ray_jobs.job import main

    main("synthetic", __doc__)
