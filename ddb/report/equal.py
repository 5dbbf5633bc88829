"""Rows of a table that have exactly the same numbers, and the reason as far as the stored results show it.

rows = table.rows(Results(graph, store))
equal_rows(rows)        # ["ddb_two_step equals group_dro (oracle) on bar: the error set holds exactly ..."]
"""

from typing import TYPE_CHECKING

from ddb.lazy import pq
from ddb.report.titles import settings_text
from ddb.store import Stage, Store

if TYPE_CHECKING:
    from ddb.report.table import Row

EXACT = "the error set holds exactly the bias-conflicting images, so the training groups are the same"
SAME_SET = "the error sets are the same"
PREDICTIONS = "every prediction is the same"
UNKNOWN = "every test metric is the same; the stored results show no reason"


def equal_to(row: "Row", rows: "list[Row]", store: Store) -> "tuple[Row, str] | None":
    """The first of `rows` with the same numbers as `row` in every seed, and why; None if that is `row` itself."""
    numbers = (row.dataset, row.seeds, row.by_seed)
    first = next(each for each in rows if each is row or (each.dataset, each.seeds, each.by_seed) == numbers)
    return (first, _reason(row, first, store)) if first is not row and row.by_seed else None


def equal_rows(rows: "list[Row]") -> list[str]:
    """One sentence for all rows that are equal to the same row for the same reason."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.equal_to:
            first, reason = row.equal_to
            found.setdefault((_name(first, rows), row.dataset, reason), []).append(_name(row, rows))
    return [
        f"{', '.join(names)} {'equal' if len(names) > 1 else 'equals'} {first} on {dataset}: {reason}."
        for (first, dataset, reason), names in found.items()
    ]


def _reason(row: "Row", first: "Row", store: Store) -> str:
    pairs = [(a, b) for a in row.cells for b in first.cells if a.seed == b.seed and a.seed in row.seeds]
    tested = [(a.stage, b.stage) for a, b in pairs]
    if not _same(tested, store, "predictions.parquet", ["path", "predicted"]):
        return UNKNOWN
    # Classifiers that were trained differently may agree on every image, but not in their logits.
    if _same(tested, store, "predictions.parquet", ["logits"]):
        found = (first if row.oracle else row).signal
        if found and row.oracle != first.oracle:
            exact = all(found.numbers.get(name, {}).get("mean") == 1 for name in ("precision", "recall"))
            return EXACT if exact else PREDICTIONS
        if row.signal and first.signal and row.signal.amplifiers != first.signal.amplifiers:
            sources = [(a.classifier.inputs["amplifier"], b.classifier.inputs["amplifier"]) for a, b in pairs]
            one_method = row.cells[0].row.method == first.cells[0].row.method
            if one_method and _same(sources, store, "signals.parquet", ["path", "conflicting"]):
                return SAME_SET
    return PREDICTIONS


def _same(pairs: list[tuple[Stage, Stage]], store: Store, file: str, columns: list[str]) -> bool:
    """Whether both results of each pair have the file, with the same values in these columns."""
    paths = [[store.path(stage) / file for stage in pair] for pair in pairs]
    return all(path.exists() for both in paths for path in both) and all(
        pq.read_table(one, columns=columns).equals(pq.read_table(other, columns=columns)) for one, other in paths
    )


def _name(row: "Row", rows: "list[Row]") -> str:
    """The method, and the settings in which it differs from its other rows."""
    own, *others = (
        each.settings | {"guidance": each.guidance}
        for each in [row, *rows]
        if (each.dataset, each.method) == (row.dataset, row.method)
    )
    told = {name: v for name, v in own.items() if v is not None and any(other.get(name) != v for other in others)}
    return f"{row.title} ({', '.join(settings_text(told))})" if told else row.title
