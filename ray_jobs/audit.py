"""`ddb audit`: run what the verdict needs, then write scores and page.

    ddb audit configs/colored_digits.yaml --output audit

<output>/conflicts.parquet and .csv: every training image with its conflict score; <output>/audit.html: what the
shortcut looks like, which images break it, and whether there is a sign of one at all.
"""

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image

from ddb.audit import AuditResult, audit, audit_plan, write_scores
from ddb.config import ExperimentConfig
from ddb.errors import DDBError
from ddb.experiment import Plan
from ddb.report.audit_page import Audit, ClassAudit, Example, render_audit
from ddb.store import Store
from ray_jobs.job import execute

TYPICAL, BREAKING = 12, 12  # images shown per class
THUMBNAIL = 160  # pixels


def run_audit(config: ExperimentConfig, store: Store, output: Path) -> tuple[AuditResult, list[Path]]:
    """The audit over all seeds of `config`, and its files. Raises DDBError where a stage fails."""
    graph = audit_plan(config)
    if execute(graph, store):
        raise DDBError("audit: a stage failed; see above")
    result = audit(graph, store)
    output.mkdir(parents=True, exist_ok=True)
    page = output / "audit.html"
    page.write_text(render_audit(_page(result, graph, store)), encoding="utf-8")
    return result, [*write_scores(result, output), page]


def _page(result: AuditResult, graph: Plan, store: Store) -> Audit:
    record = store.record(result.amplifier)
    provenance = {
        "guidance w": f"{result.amplifier.inputs['synthetic'].config['sampling']['guidance']:g}",
        "seeds of the verdict": ", ".join(map(str, graph.config.seeds)),
        "seed of lists and images": str(result.amplifier.config["seed"]),
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
        notes=[*result.dataset.notes, *dict.fromkeys(graph.reading)],
    )


def _class(result: AuditResult, label: int) -> ClassAudit:
    signals, train, drawn = result.signals, result.dataset["train"], result.synthetic
    members = np.flatnonzero(signals.labels == label)
    marked = members[signals.misclassified[members]]
    shown = marked[np.argsort(-signals.loss[marked], kind="stable")][:BREAKING]
    examples = [
        Example(
            train.paths[row],
            float(signals.loss[row]),
            result.dataset.classes[signals.predicted[row]],
            _thumbnail(train.images[row]),
        )
        for row in shown
    ]
    own = np.flatnonzero(drawn.labels == label)
    best = own[np.argsort(result.synthetic_loss[own], kind="stable")][:TYPICAL]
    typical = [_thumbnail(drawn.images[row]) for row in best]
    return ClassAudit(result.dataset.classes[label], len(members), len(marked), typical, examples)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """At most THUMBNAIL pixels wide and high, (H, W, 3) uint8."""
    picture = Image.fromarray(np.array(image))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(picture)
