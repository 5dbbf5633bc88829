"""`evaluation`: a trained classifier -> its predictions for every image, and the metrics made from them.

Apart from the training, so that a new metric trains nothing again.
"""

from typing import Any

from ddb.data.loading import ImageTransform
from ddb.stages.kind import Job, Kind
from ddb.store import Stage
from ddb.training import metrics, predictions
from ddb.training.classifier import load_classifier, predict


class Evaluation(Kind):
    """`predictions.parquet` (`ddb.training.predictions`) and the metrics of the test split (`ddb.training.metrics`)."""

    name = "evaluation"
    numbers = ("metrics",)
    goes_first = True

    def compute(self, job: Job) -> dict[str, Any]:
        dataset, settings = job.seen_data(), job.stage.inputs["classifier"].config["settings"]
        model = load_classifier(job.input("classifier")).to(job.machine.device)
        transform = ImageTransform(settings["image_size"], workers=job.machine.workers)
        logits = {}
        for name, split in dataset.splits.items():
            logits[name] = predict(model, split, transform).numpy()  # (N, C)
            job.progress(len(logits), len(dataset.splits), {})
        predictions.write(job.result / "predictions.parquet", dataset, logits)
        test, names = dataset["test"], (dataset.classes, dataset.bias_attributes)
        job.write("metrics", metrics.evaluate(logits["test"], test, *names, dataset["train"]))
        return {}

    def subject(self, stage: Stage) -> Stage:
        return stage.inputs["classifier"]
