"""`validation`: a target -> its accuracy on the validation split, by which searches compare trials."""

from typing import Any

from ddb.stages.kind import Job, Kind


class Validation(Kind):
    """On average, of the worst group and of the worst pseudo-group, as far as these are known."""

    name = "validation"

    def compute(self, job: Job) -> dict[str, Any]:
        """Predict the validation images."""
        from ddb.classifier import load_classifier, predict
        from ddb.data import groups
        from ddb.metrics import worst
        from ddb.recipes import get_method
        from ddb.signals.table import Signals, check_signals, error_set, pseudo_groups

        target, split = job.stage.inputs["target"], job.data()["val"]
        settings = get_method(target.config["method"]).settings_class.model_validate(target.config["settings"])
        model = load_classifier(job.input("target")).to(job.machine.device)
        logits = predict(model, split, settings.view(job.machine.workers))  # (V, C)
        right = logits.argmax(1).numpy() == split.labels  # (V,)
        numbers = {"val_average": right.mean()}
        if split.aligned is not None:
            numbers["val_worst_group"] = worst(right, groups(split))
        if "amplifier" in job.stage.inputs:
            signals = Signals.read(job.input("amplifier") / "signals_val.parquet")
            check_signals(signals, split)
            numbers["val_pseudo_worst_group"] = worst(right, pseudo_groups(signals.labels, error_set(signals)))
        job.write("validation", numbers)
        return {}
