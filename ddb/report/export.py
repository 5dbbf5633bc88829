"""A finished experiment as a folder to keep or publish: tables, figure, charts, and the record behind every number.

    ddb export configs/colored_digits.yaml results/colored_digits

<directory>/table.{md,tex,csv,json}, figure.{png,pdf}, charts/<name>.{png,pdf} (`ddb.report.charts`), and
records.jsonl: on one line for each stage its record (settings, inputs, commit, versions, machine, time) together with
the numbers that it found, without images and weights.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddb.errors import DDBError
from ddb.experiment.results import Results
from ddb.report.charts import charts
from ddb.report.draw import save
from ddb.report.figure import draw
from ddb.report.render import render
from ddb.report.table import rows
from ddb.stages import KINDS
from ddb.store import Stage, Store, canonical_json

if TYPE_CHECKING:
    from ddb.experiment.graph import Graph

SUFFIXES = {"markdown": "md", "latex": "tex", "csv": "csv", "json": "json"}


def export(graph: "Graph", store: Store, directory: Path) -> list[Path]:
    """Write everything that is finished; returns the files. Charts that lay there before are removed.

    Raises DDBError where nothing is finished or `directory` cannot be written.
    """
    finished = [stage for stage in graph.stages() if store.has(stage)]
    if not finished:
        raise DDBError(f"export: nothing of this experiment is finished in the store {store.root}")
    found = Results(graph, store)
    table, drawn = rows(found), charts(found)
    records = "".join(canonical_json(full_record(stage, store)) + "\n" for stage in finished)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for old in (directory / "charts").glob("*.p[nd][gf]"):
            old.unlink()
        written = [_write(directory / f"table.{SUFFIXES[name]}", render(table, name)) for name in SUFFIXES]
        written.append(_write(directory / "records.jsonl", records))
    except OSError as error:
        raise DDBError(f"export {directory}: {error.strerror}") from None
    pictures = [directory / "figure.png", directory / "figure.pdf"]
    draw(graph, store, *pictures)
    written += pictures
    return written + [path for chart in drawn for path in save(chart, directory / "charts")]


def full_record(stage: Stage, store: Store) -> dict[str, Any]:
    """The record of a finished stage with its numbers beside it."""
    record = store.record(stage)
    for name in KINDS[stage.name].numbers:
        if (numbers := store.read_json(stage, name)) is not None:
            record[name] = numbers
    return record


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
