"""`probe`: real, balanced images -> two classifiers that judge synthetic images, for class and for bias attribute."""

from typing import Any

from ddb.stages.kind import Job, Kind
from ddb.training.classifier import Description, save_classifier
from ddb.training.networks import NETWORKS


class Probe(Kind):
    """One for each data set with bias labels."""

    name = "probe"
    version = 2
    numbers = ("probe",)

    def code(self, config: dict[str, Any]) -> dict[str, int]:
        return {self.name: self.version, "small_cnn": NETWORKS["small_cnn"]}

    def compute(self, job: Job) -> dict[str, Any]:
        from ddb.diffusion.probe import bias_names, train_probe

        dataset = job.data()
        models, accuracies = train_probe(dataset, job.machine.device, job.progress)
        for name, model in models.items():
            (job.result / name).mkdir()
            names = dataset.classes if name == "class" else bias_names(dataset)
            save_classifier(job.result / name, model, Description("small_cnn", names))
        job.write("probe", accuracies)
        return {}
