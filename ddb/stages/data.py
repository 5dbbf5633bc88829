"""`data`: a benchmark or a folder of images -> arrays and labels (`ddb.data.prepared`)."""

from typing import Any

from ddb.data import BENCHMARKS, fingerprint, load_dataset
from ddb.errors import DDBError
from ddb.stages.kind import Job, Kind
from ddb.stages.needs import Capacity, Demand, ResourceSettings
from ddb.store import Stage


class Data(Kind):
    """Its key has the fingerprint of the files, which lie outside the store."""

    name = "data"

    def code(self, config: dict[str, Any]) -> dict[str, int]:
        name = config["dataset"]["name"]
        return {self.name: self.version, name: BENCHMARKS[name].version}

    def compute(self, job: Job) -> dict[str, Any]:
        """Raises DDBError if the files have changed since planning."""
        from ddb.data import prepared

        values, location = job.config["dataset"], job.stage.location
        if location is not None:
            values = values | {"root": location}
        settings = BENCHMARKS[values["name"]].settings.model_validate(values)
        dataset = load_dataset(settings)
        if location is not None and fingerprint(dataset) != job.config["files"]:
            raise DDBError(f"dataset {dataset.name}: files below {location} changed while the command ran")
        report = lambda done, total: job.progress(done, total, {"images_per_step": 1})  # noqa: E731
        prepared.write(dataset, job.result, settings.image_size, job.machine.cpus, report)
        return {}

    def demand(self, stage: Stage, capacity: Capacity, resources: ResourceSettings) -> Demand:
        """A whole node's CPUs, which decode images side by side."""
        return Demand(cpus=capacity.cpus_for_each(1))
