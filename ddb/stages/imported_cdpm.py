"""`imported_cdpm`: a folder with a trained diffusion model -> the same as a result of the store, in place of `cdpm`."""

from pathlib import Path
from typing import Any

from ddb.diffusion.imported import content, read
from ddb.stages.kind import Job, Kind, pixels_of


class ImportedCDPM(Kind):
    """The key contains the folder's content. All seeds share the model."""

    name = "imported_cdpm"

    def compute(self, job: Job) -> dict[str, Any]:
        job.check_file("cdpm", "pipeline", content)
        folder, classes = Path(job.config["cdpm"]["pipeline"]), len(job.data().classes)
        read(folder, classes, pixels_of(job.stage)).save_pretrained(job.result / "pipeline")
        return {}
