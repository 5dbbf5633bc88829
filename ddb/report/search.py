"""The tables of a search: the default beside the choice and the oracle's choice once it is over, and its trials.

for table in search_tables(sweep, store.root / "sweeps" / sweep.key): ...
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ddb.experiment.sweep import Sweep, trials_of
from ddb.report.titles import NONE, axis_title, value_text

BEST = 20  # trials that are shown


def search_tables(sweep: Sweep, folder: Path) -> Iterator[Table]:
    """What a search in `folder` has come to so far."""
    trials, result = trials_of(folder), folder / "sweep.json"
    found = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {"trials": []}
    if len(found["trials"]) >= sweep.settings.trials:
        yield outcome_table(sweep, found["outcomes"], found["trials"])
    yield _trials(sweep, trials)


def outcome_table(sweep: Sweep, outcomes: list[dict[str, Any]], trials: list[dict[str, Any]]) -> Table:
    """The default, the choice and the oracle's choice side by side, in percent."""
    first, failed = outcomes[0], sum(trial["state"] == "failed" for trial in trials)
    caption = (
        f"Chosen by {sweep.settings.objective} alone, over {len(trials)} trials ({failed} failed); "
        "val_worst_group needs bias labels and is there to show how close the choice comes to an oracle's. Test "
        "numbers had no part in it."
    )
    tests = [f"test {name}" for name in first["test"]]
    table = Table("", *map(axis_title, sweep.settings.space), *first["validation"], *tests,
                  caption=caption, caption_justify="left")  # fmt: skip
    for each in outcomes:
        numbers = [*each["validation"].values(), *each["test"].values()]
        cells = [value_text(each["point"][name]) for name in sweep.settings.space]
        table.add_row(each["name"], *cells, *(f"{100 * number:.1f}" for number in numbers))
    return table


def _trials(sweep: Sweep, trials: list[dict[str, Any]]) -> Table:
    """The best trials first, then those that are not over."""
    objective, planned = sweep.settings.objective, sweep.settings.trials
    over = [trial for trial in trials if trial["state"] not in ("running", "waiting")]
    caption = f"{len(over)} of {planned} trials are over; {objective} in percent, the mean over seeds."
    if len(trials) > BEST:
        caption += f" The best {BEST} are shown."
    table = Table("trial", *map(axis_title, sweep.settings.space), objective, "state",
                  caption=Text(caption), caption_justify="left")  # fmt: skip
    order = sorted(trials, key=lambda trial: (trial["value"] is None, -(trial["value"] or 0)))
    for trial in order[:BEST]:
        point = [value_text(trial["point"].get(name)) for name in sweep.settings.space]
        value = NONE if trial["value"] is None else f"{100 * trial['value']:.1f}"
        table.add_row(str(trial["number"]), *point, value, trial["state"])
    return table
