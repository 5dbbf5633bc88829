"""`ddb audit`: run what the verdict needs, then write the list of images, a summary and a page.

ddb audit my_images --output audit
"""

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image

from ddb.audit.audit import AuditResult, audit, audit_graph, scores, suggestions, write_scores
from ddb.audit.second_opinion import Opinion
from ddb.errors import DDBError
from ddb.experiment.config import ExperimentConfig
from ddb.experiment.graph import Graph
from ddb.report.audit_page import Audit, ClassAudit, Example, render_audit
from ddb.store import Stage, Store
from ray_jobs.job import execute
from ray_jobs.output import free

TYPICAL, BREAKING = 12, 12  # images shown per class
THUMBNAIL = 160  # pixels


def run_audit(
    config: ExperimentConfig, store: Store, output: Path, replace: bool = True
) -> tuple[AuditResult, list[Path]]:
    """The audit over all seeds of `config`, and its files in `output`. Raises DDBError where a stage fails.

    Unless they may be replaced, another list that is there already, such as one with a person's verdicts, is kept:
    then the files are in `output-2`, and so on.
    """
    graph = audit_graph(config)
    if execute(graph, store, f"audit-{output.name}"):
        raise DDBError("audit: a stage failed; see above")
    result = audit(graph, store)
    if not replace:
        text = scores(result).to_csv(index=False).encode()
        output = free(output, lambda known: _list(known) in (None, text))
    output.mkdir(parents=True, exist_ok=True)
    page = output / "audit.html"
    page.write_text(render_audit(_page(result, graph, store)), encoding="utf-8")
    return result, [*write_scores(result, output), page]


def _list(folder: Path) -> bytes | None:
    path = folder / "conflicts.csv"
    return path.read_bytes() if path.exists() else None


def _page(result: AuditResult, graph: Graph, store: Store) -> Audit:
    record, settings = store.record(result.amplifier), result.amplifier.config["amplifier"]
    provenance = {
        "source of signals": settings["source"],
        **_how(result.amplifier),
        "seeds of the verdict": ", ".join(map(str, graph.config.seeds)),
        "seed of the list": str(result.amplifier.config.get("seed", "the same for all")),
        "amplifier": f"{result.amplifier.name}/{result.amplifier.key}",
        "commit": (record["git"] or {}).get("commit", "outside a checkout"),
        "machine": f"{record['host']}, {record['device']}",
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    return Audit(
        dataset=result.dataset.name if result.dataset["train"].root is None else result.dataset["train"].root.name,
        verdict=result.evidence.verdict,
        reason=result.evidence.reason,
        classes=[_class(result, label) for label in range(len(result.dataset.classes))],
        precision=result.precision,
        recall=result.recall,
        provenance=provenance,
        synthetic="synthetic" in result.amplifier.inputs,
        opinions=bool(result.opinions),
        notes=[*result.dataset.notes, *dict.fromkeys(graph.reading)],
    )


def _class(result: AuditResult, label: int) -> ClassAudit:
    signals, train, opinion = result.signals["train"], result.dataset["train"], result.opinions.get("train")
    advice = np.full(len(train), "") if opinion is None else suggestions(signals, opinion)  # (N,)
    members = np.flatnonzero(signals.labels == label)
    marked = members[signals.misclassified[members]]
    shown = marked[np.argsort(-signals.loss[marked], kind="stable")][:BREAKING]
    examples = [
        Example(
            train.paths[row],
            float(signals.loss[row]),
            result.dataset.classes[signals.predicted[row]],
            _thumbnail(train.array[row]),
            "" if opinion is None else str(advice[row]),
            "" if opinion is None else _views(opinion, row, result.dataset.classes),
        )
        for row in shown
    ]
    own = np.flatnonzero(result.typical.labels == label)
    best = own[np.argsort(result.typical_loss[own], kind="stable")][:TYPICAL]
    typical = [_thumbnail(result.typical.array[row]) for row in best]
    return ClassAudit(result.dataset.classes[label], len(members), len(marked), typical, examples)


def _how(amplifier: Stage) -> dict[str, str]:
    """Where the signals come from, beside the source's name."""
    if "synthetic" in amplifier.inputs:
        return {"guidance w": f"{amplifier.inputs['synthetic'].config['sampling']['guidance']:g}"}
    if "features" in amplifier.inputs:
        settings = amplifier.inputs["features"].config["features"]
        layers = ", ".join(settings["layers"] or ["blocks at 1/4, 1/2 and 3/4 of the depth", "final"])
        return {"encoder": settings["encoder"], "layers": layers}
    return {}


def _views(opinion: Opinion, row: int, classes: tuple[str, ...]) -> str:
    """What the second opinion says of one image."""
    agrees = "a second source agrees" if opinion.agrees[row] else "a second source disagrees"
    near = f"{opinion.neighbours[row]:.0%} of its neighbours have its label"
    return f"{agrees}; {near}; a debiased model predicts {classes[opinion.predicted[row]]}"


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """At most THUMBNAIL pixels wide and high, (H, W, 3) uint8."""
    picture = Image.fromarray(np.array(image))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(picture)
