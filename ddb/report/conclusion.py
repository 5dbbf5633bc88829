"""What an experiment shows, in a line: how far the rows that amplify the bias are from plain training."""

from ddb.data import BENCHMARKS
from ddb.errors import DDBError
from ddb.report.paired import Difference, differences, points
from ddb.report.table import Row
from ddb.report.titles import TITLES, settings_text

BASELINE = "erm"
SHOWN = 4  # rows that are named; of more, the lowest and the highest


def conclusion(rows: list[Row]) -> str:
    """Differences to `erm` in the metric that papers compare on the first data set; empty where there are none."""
    metric = BENCHMARKS[rows[0].dataset].metric
    try:
        found = differences([row for row in rows if row.dataset == rows[0].dataset], BASELINE)
    except DDBError:  # no such row, or several
        return ""
    known = [each for each in found if metric in each.metrics and _amplifies(each.row)]
    if not known:
        return ""
    known.sort(key=lambda each: each.metrics[metric]["mean"])
    named = known if len(known) <= SHOWN else [known[0], known[-1]]
    texts = [f"{each.row.method}{_settings(each.row, known)} {points(each.metrics[metric])}" for each in named]
    between = ", ".join(texts) if len(known) <= SHOWN else f"from {' to '.join(texts)}, of {len(known)} rows"
    return f"{TITLES[metric]} accuracy against {BASELINE}, in points [95 % interval] (seeds): {between}"


def _settings(row: Row, found: list[Difference]) -> str:
    """What tells a row from others of its method."""
    if sum(each.row.method == row.method for each in found) == 1:
        return ""
    known = [f"w = {row.guidance:g}"] if row.guidance is not None else []
    known += settings_text({name: value for name, value in row.settings.items() if value is not None})
    return f" ({', '.join(known)})"


def _amplifies(row: Row) -> bool:
    method = row.cells[0].row.method
    return method.needs_signals or method.needs_synthetic
