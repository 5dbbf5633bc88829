"""`evaluation`: a trained classifier -> its predictions for every image, and the metrics made from them.

Apart from the training, so that a new metric trains nothing again.
"""

from typing import Any

from ddb.stages.kind import Job, Kind
from ddb.store import Stage


class Evaluation(Kind):
    """`predictions.parquet` (`ddb.training.predictions`) and the metrics of the test split (`ddb.training.metrics`)."""

    name = "evaluation"
    numbers = ("metrics",)
    goes_first = True

    def compute(self, job: Job) -> dict[str, Any]:
        """Predict the images of all splits."""
        from ddb.data.loading import ImageTransform
        from ddb.training import predictions
        from ddb.training.classifier import load_classifier, predict
        from ddb.training.metrics import evaluate

        dataset, machine = job.seen_data(), job.machine
        model = load_classifier(job.input("classifier")).to(machine.device)
        transform = ImageTransform(
            job.stage.inputs["classifier"].config["settings"]["image_size"], workers=machine.workers
        )
        logits = {}
        for name, split in dataset.splits.items():
            logits[name] = predict(model, split, transform).numpy()  # (N, C)
            job.progress(len(logits), len(dataset.splits), {})
        predictions.write(job.result / "predictions.parquet", dataset, logits)
        test, names = dataset["test"], (dataset.classes, dataset.bias_attributes)
        job.write("metrics", evaluate(logits["test"], test, *names, dataset["train"]))
        return {}

    def subject(self, stage: Stage) -> Stage:
        """The classifier."""
        return stage.inputs["classifier"]
