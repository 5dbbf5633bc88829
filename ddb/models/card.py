"""The model card: what a model was made from, how well it does by group, what it cannot do, and how to use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddb.store import Store

if TYPE_CHECKING:
    from ddb.models.model import Model

LIMITS = (
    "One seed on one data set; the accuracy elsewhere is unknown. The model knows no other class than those above, and "
    "its probabilities are not calibrated."
)
NO_GROUPS = "No bias labels were known, so whether the accuracy differs between groups was not measured."


def card(store: Store, classifier: Path, record: dict[str, Any], model: Model, formats: tuple[str, ...]) -> str:
    """The card as Markdown, from the records of the classifier, its data and its evaluation."""
    data = json.loads((store.root / record["inputs"]["data"] / "record.json").read_text())["config"]["dataset"]
    name, git = f"{classifier.parent.name}/{classifier.name}", record["git"] or {}
    metrics, method = _metrics(store, name), record["config"]["method"]
    files = {"model.safetensors, classifier.json": "weights, network and classes"}
    files["preprocessing.json"] = "how the model sees a picture"
    files |= {"amplifier/": "the Bias Amplifier, for conflict scores"} if model.amplifier else {}
    files |= {f"model.{each}": "preprocessed images (N, 3, S, S) to logits (N, C)" for each in formats}
    known = [f"{key} {value}" for key, value in data.items() if value is not None and key != "root"]
    lines = [
        f"# {method}, {data['name']}",
        "",
        "An image classifier, trained with DDB on Ray, an implementation of Diffusing DeBias (arXiv 2502.09564).",
        "",
        f"- Classes: {', '.join(model.classes)}",
        f"- Data: {', '.join(known)}",
        f"- Method: {method}, seed {record['config']['seed']}",
        f"- Result: {name}, commit {git.get('commit', 'unknown')}{', with changes' * bool(git.get('dirty'))}",
        f"- Computed: {record['finished']} on {record['host']}",
        "",
        "## Test accuracy",
        "",
        *_table(metrics),
        "",
        "## Limits",
        "",
        LIMITS if any(each.startswith("group_accuracy") for each in metrics) else f"{LIMITS} {NO_GROUPS}",
        "",
        "## Use",
        "",
        "    ddb predict THIS_FOLDER my_images",
        "",
        *(f"- {file}: {about}" for file, about in files.items()),
    ]
    return "\n".join(lines) + "\n"


def _metrics(store: Store, classifier: str) -> dict[str, float]:
    """Of the evaluation of this classifier, nested names joined by slashes; empty if there is none."""
    for path in sorted(store.root.glob("evaluation/*/record.json")):
        if json.loads(path.read_text())["inputs"].get("classifier") == classifier:
            found = json.loads((path.parent / "metrics.json").read_text())
            return {
                f"{name}/{key}" if key else name: number
                for name, value in found.items()
                for key, number in (value.items() if isinstance(value, dict) else [("", value)])
                if isinstance(number, (int, float))
            }
    return {}


def _table(metrics: dict[str, float]) -> list[str]:
    if not metrics:
        return ["Not evaluated."]
    rows = [f"| {name.replace('_', ' ')} | {100 * value:.1f} |" for name, value in metrics.items()]
    return ["| metric | percent |", "|---|---:|", *rows]
