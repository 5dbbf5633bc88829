"""The one place for titles: of metrics, settings and stages, and of values as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ddb.stages import KINDS
from ddb.store import Stage

if TYPE_CHECKING:
    from ddb.experiment.graph import Graph

TITLES = {  # metrics (ddb.training.metrics) in the order of the table's columns, then numbers of signals
    "average_accuracy": "average",
    "weighted_average_accuracy": "weighted average",
    "conflicting_accuracy": "conflicting",
    "aligned_accuracy": "aligned",
    "worst_group_accuracy": "worst group",
    "id_accuracy": "I.D.",
    "bg_gap": "BG gap",
    "co_occur_obj_gap": "CoObj gap",
    "bg_co_occur_obj_gap": "BG+CoObj gap",
    "aligned_share": "synthetic: aligned",
    "right_class_share": "right class",
    "precision": "error set: precision",
    "recall": "recall",
    "auroc": "AUROC",
}
METRICS, SIGNALS = tuple(TITLES)[:9], tuple(TITLES)[9:]
GUIDANCE = "guidance w (scale 1 + w)"
NONE = "–"  # in place of a number that does not exist
ELSEWHERE = ("dataset.name", "sampling.guidance")  # varied settings that have a column of their own


def method_title(method: str, oracle: bool) -> str:
    """A row's method for reading."""
    return f"{method} (oracle)" if oracle else method


def shown(settings: dict[str, Any]) -> dict[str, Any]:
    """The varied settings that need a column of their own."""
    return {name: value for name, value in settings.items() if name not in ELSEWHERE}


def axis_titles(names: Iterable[str]) -> dict[str, str]:
    """Settings with their titles; those of one title have their full names."""
    titles = {name: axis_title(name) for name in names}
    return {name: title if [*titles.values()].count(title) == 1 else name for name, title in titles.items()}


def axis_title(name: str) -> str:
    """`dataset.conflict_ratio` -> "conflict ratio", `amplifier.steps` -> "amplifier steps"."""
    section, _, setting = name.rpartition(".")
    section = section.partition(".")[0]
    words = setting.replace("_", " ")
    return f"{section} {words}" if section in ("amplifier", "cdpm", "training") else words


def value_text(value: Any) -> str:
    """A setting's value; a dash where it changes nothing."""
    if value is None:
        return NONE
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_text(settings: dict[str, Any]) -> list[str]:
    """Each varied setting with its value."""
    return [f"{axis_title(name)} {value_text(value)}" for name, value in settings.items()]


def agreed_settings(graph: Graph) -> dict[str, dict[str, Any]]:
    """For every stage, by key: the varied settings of which all cells that rest on it have the same value.

    A stage on which no cell rests, such as an alignment, has those of its inputs.
    """
    found: dict[str, dict[str, Any]] = {}
    for cell in graph.cells:
        settings = {name: value for name, value in shown(cell.settings).items() if value is not None}
        for stage in cell.stage.ancestors():
            known = found.setdefault(stage.key, settings)
            found[stage.key] = {name: value for name, value in known.items() if settings.get(name) == value}
    for stage in graph.stages():
        if stage.key not in found:
            found[stage.key] = {n: v for needed in stage.inputs.values() for n, v in found[needed.key].items()}
    return found


def stage_titles(graph: Graph) -> dict[str, str]:
    """Every stage in words, by key: its name, what tells it from its siblings, its seed."""
    agreed = agreed_settings(graph)
    varied = {name for name in graph.cells[0].settings if len({repr(c.settings.get(name)) for c in graph.cells}) > 1}
    labels = {stage.key: cell.method for cell in graph.cells for stage in (cell.stage, cell.classifier)}
    guidances: dict[str, float | None] = {}
    for stage in graph.stages():  # inputs first
        drawn = [guidances[each.key] for each in stage.inputs.values() if guidances[each.key] is not None]
        own = stage.config["sampling"]["guidance"] if "sampling" in stage.config else None
        guidances[stage.key] = own if own is not None else next(iter(drawn), None)
    return {
        stage.key: _title(
            KINDS[stage.name].subject(stage),
            stage.name,
            labels.get(stage.key, ""),
            guidances[stage.key],
            {name: value for name, value in agreed[stage.key].items() if name in varied},
        )
        for stage in graph.stages()
    }


def _title(told: Stage, name: str, label: str, guidance: float | None, settings: dict[str, Any]) -> str:
    parts = [name, label or (told.config.get("amplifier") or {}).get("source", "")]
    if "dataset" in told.config:
        parts.append(told.config["dataset"]["name"])
    parts.append("" if guidance is None else f"w={guidance:g}")
    parts += [f"{axis_title(each)}={value_text(value)}" for each, value in settings.items()]
    parts.append(f"seed {told.config['seed']}" if "seed" in told.config else "")
    return " ".join(part for part in parts if part)
