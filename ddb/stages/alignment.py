"""`alignment`: synthetic images and the probe -> shares that follow the bias and that show the right class."""

import json
from typing import Any

from ddb.stages.kind import Job, Kind
from ddb.store import Stage
from ddb.training.classifier import load_classifier


class Alignment(Kind):
    """Whether sampling exaggerates the bias."""

    name = "alignment"
    version = 2
    numbers = ("alignment",)

    def compute(self, job: Job) -> dict[str, Any]:
        from ddb.diffusion import synthetic
        from ddb.diffusion.probe import alignment

        folder = job.input("probe")
        models = {name: load_classifier(folder / name) for name in ("class", "bias")}
        numbers = alignment(models, synthetic.read(job.input("synthetic")), job.data())
        job.write("alignment", numbers | json.loads((folder / "probe.json").read_text()))
        return {}

    def subject(self, stage: Stage) -> Stage:
        return stage.inputs["synthetic"]
