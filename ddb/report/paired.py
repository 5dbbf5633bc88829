"""One row of a table against another, seed by seed: is the difference more than the seeds' own spread?

    found = differences(rows(Results(graph, store)), "erm")
    found[0].metrics["conflicting_accuracy"]      # {"mean", "low", "high", "n"}
    render_differences(found, "erm", "markdown")

All methods of a seed share data, order of batches and start of the weights, so their difference varies less than each
of them. The interval is Student's t over the seeds' differences: with n seeds it is right 95 times in 100 where these
are about normal. It says nothing of other data sets, nor of images other than the test split's.
"""

import json
import statistics
from dataclasses import dataclass
from typing import Any

from ddb.errors import DDBError
from ddb.lazy import pd
from ddb.report.equal import equal_rows
from ddb.report.render import latex_sheet, markdown_sheet
from ddb.report.sheets import ORACLE, Sheet, make_sheet
from ddb.report.table import Row
from ddb.report.titles import METRICS, NONE, TITLES, method_title, value_text
from ddb.settings import unknown

CONFIDENCE = 0.95
Interval = dict[str, Any]  # mean, low, high, n; low and high are None for a single seed


@dataclass(frozen=True)
class Difference:
    """A row minus the one that it is compared with."""

    row: Row
    reference: Row
    metrics: dict[str, Interval]  # of accuracies in [0, 1]; without those that no shared seed has in both

    def as_json(self) -> dict[str, Any]:
        """Plain values, accuracies in [0, 1]; what `ddb table --against ROW --format json` prints."""
        one, other = self.row, self.reference
        values = {"dataset": one.dataset, "method": one.method, "guidance": one.guidance, "settings": one.settings}
        against = {"method": other.method, "guidance": other.guidance, "settings": other.settings}
        return values | {"against": against, "differences": self.metrics}


def differences(rows: list[Row], against: str) -> list[Difference]:
    """Every row minus the one that `against` names, over the seeds that both have finished.

    `against` is a method, compared at equal settings as far as they concern it, or a method and settings, such as
    `ddb_two_step sampling.guidance=1`, compared with all rows of its data set. Raises DDBError where it names no row
    or several.
    """
    method, *wanted = against.split() or [""]
    if method not in {row.method for row in rows}:
        raise DDBError(f"--against: no row {method!r}; {unknown(method, list(dict.fromkeys(r.method for r in rows)))}")
    found = []
    for row in rows:
        same = [other for other in rows if (other.method, other.dataset) == (method, row.dataset)]
        candidates = [other for other in same if _fits(other, row, wanted)]
        if len(candidates) > 1:
            raise DDBError(f"--against: {len(candidates)} rows of {row.dataset} are {against!r}; add settings behind "
                           f"it, such as '{method} {_example(candidates)}'")  # fmt: skip
        if not candidates:
            raise DDBError(f"--against: no row of {row.dataset} is {against!r}")
        if candidates[0] is not row:
            found.append(Difference(row, candidates[0], _metrics(row, candidates[0])))
    return found


def interval(values: list[float]) -> Interval:
    """Mean of `values` with its 95 % confidence interval by Student's t, which needs two of them."""
    from scipy.stats import t  # takes long to import

    mean, n = statistics.fmean(values), len(values)
    if n == 1:
        return {"mean": mean, "low": None, "high": None, "n": n}
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * statistics.stdev(values) / n**0.5
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def render_differences(found: list[Difference], against: str, format: str) -> str:
    """As text that ends in one newline: markdown, latex, csv or json."""
    if format == "json":
        return json.dumps([each.as_json() for each in found], indent=1, allow_nan=False) + "\n"
    sheet = _sheet(found, against)
    if format == "csv":
        table = pd.DataFrame(sheet.lines, columns=sheet.header).assign(method=[each.row.method for each in found])
        return table.to_csv(index=False, lineterminator="\n")
    return markdown_sheet(sheet) if format == "markdown" else latex_sheet(sheet)


def _fits(other: Row, row: Row, wanted: list[str]) -> bool:
    """Whether `other` is the row to compare `row` with: it has the wanted settings, or those of `row`."""
    values, own = _settings(other), _settings(row)
    if wanted:
        return all(value_text(values.get(name)) == value for name, _, value in (word.partition("=") for word in wanted))
    return all(value is None or own.get(name) is None or own[name] == value for name, value in values.items())


def _settings(row: Row) -> dict[str, Any]:
    return row.settings | {"sampling.guidance": row.guidance}


def _example(rows: list[Row]) -> str:
    first, second = (_settings(row) for row in rows[:2])
    return next(f"{name}={value_text(value)}" for name, value in first.items() if second.get(name) != value)


def _metrics(row: Row, reference: Row) -> dict[str, Interval]:
    found = {}
    for name in METRICS:
        ours, theirs = row.by_seed.get(name, {}), reference.by_seed.get(name, {})
        if shared := sorted(ours.keys() & theirs.keys()):
            found[name] = interval([ours[seed] - theirs[seed] for seed in shared])
    return found


def _sheet(found: list[Difference], against: str) -> Sheet:
    rows = [each.row for each in found]
    names = [name for name in METRICS if any(name in each.metrics for each in found)]
    numbers = {TITLES[name]: [points(each.metrics.get(name)) for each in found] for name in names}
    reference = method_title(against, any(each.reference.oracle for each in found))
    shown = list({id(row): row for each in found for row in (each.reference, each.row)}.values())
    caption = [
        f"Difference to {reference} in points, on the test split: mean over the seeds that both have finished, "
        f"[{CONFIDENCE:.0%} confidence interval by Student's t over their paired differences], (number of seeds).",
        *[ORACLE] * any(row.oracle for row in shown),
        *equal_rows(shown),
    ]
    return make_sheet(rows, {"method": [row.title for row in rows]}, numbers, " ".join(caption))


def points(value: Interval | None) -> str:
    """A difference in percentage points, with its interval and (number of seeds)."""
    if value is None:
        return NONE
    mean, n = f"{100 * value['mean']:+.1f}", value["n"]
    return f"{mean} ({n})" if n == 1 else f"{mean} [{100 * value['low']:+.1f}, {100 * value['high']:+.1f}] ({n})"
