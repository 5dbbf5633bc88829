"""`ddb data check`: is a data set complete, readable, and what its papers used? All problems at once, before training.

    report = check(WaterbirdsConfig())
    report.problems         # one line each, naming the file; empty where all is well

Every file is opened and decoded; counts per split and group stand beside the published ones; an image whose content is
in two splits is reported, since a model that has seen it is not tested by it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ddb.data import BENCHMARKS, SPLITS, BiasedDataset, FilesConfig, group_names, groups, load_dataset
from ddb.data.files import EMPTY, file_digests
from ddb.data.images import look_at, metadata_is_damaged, pages, read_image
from ddb.data.pixels import is_blank, told
from ddb.data.tree import left_out_pages, shown
from ddb.errors import DDBError


@dataclass
class Report:
    """What was found. `counts` has rows (split, group or class, found, published or None)."""

    name: str
    root: Path | None
    rows: int = 0
    present: int = 0  # of the rows' files
    bytes: int = 0
    counts: list[tuple[str, str, int, int | None]] = field(default_factory=list)
    sizes: str = ""  # smallest and largest image in pixels
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check(
    config: FilesConfig, threads: int = 1, progress: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Look at everything. Raises DataMissing where the folder is not there; all else is in the report."""
    try:
        dataset = load_dataset(config)
    except DDBError as error:
        if type(error) is not DDBError:
            raise
        return Report(config.name, config.root, problems=[str(error)])
    report = Report(config.name, dataset["train"].root, notes=[*dataset.notes, *dataset.reading])
    report.counts = count(dataset, config)
    report.problems += count_problems(report.counts)
    if report.root is not None:
        _read_files(dataset, report, threads, progress)
        table = _contents(dataset)
        report.problems += _duplicates(table)
        report.notes += _contradictions(table)
    return report


def verify_counts(config: FilesConfig) -> None:
    """Raise DDBError where the counts of a data set differ from the published ones; reads no image."""
    problems = count_problems(count(load_dataset(config), config))
    if problems:
        raise DDBError("; ".join(problems))


def count(dataset: BiasedDataset, config: FilesConfig) -> list[tuple[str, str, int, int | None]]:
    """Rows (split, group, found, published). A split that we held out counts with train where papers have none."""
    known = BENCHMARKS[config.name].published
    published = known(config) if callable(known) else known
    by_group = dataset["train"].aligned is not None
    names = group_names(dataset.classes, tuple(dataset.bias_attributes)) if by_group else list(dataset.classes)
    found = {}
    for name in SPLITS:
        member = groups(dataset[name]) if by_group else dataset[name].labels
        found[name] = np.bincount(member, minlength=len(names))  # (G,)
    if published and "val" not in published:
        found["train"] = found["train"] + found.pop("val")
    rows = []
    for split, numbers in found.items():
        known = published.get(split)
        each = known if isinstance(known, tuple) else [None] * len(names)
        rows += [(split, group, int(n), k) for group, n, k in zip(names, numbers, each, strict=True)]
        rows.append((split, "all", int(numbers.sum()), sum(known) if isinstance(known, tuple) else known))
    return rows


def count_problems(counts: list[tuple[str, str, int, int | None]]) -> list[str]:
    """A line for each count that is not the published one."""
    wrong = [row for row in counts if row[3] is not None and row[2] != row[3]]
    return [f"{split} {group}: {found:,} images, published are {known:,}" for split, group, found, known in wrong]


def _read_files(dataset: BiasedDataset, report: Report, threads: int, progress: Callable[[int, int], None]) -> None:
    """Open and decode every file; missing and broken ones become problems, doubtful ones notes."""
    assert report.root is not None
    paths = [path for name in SPLITS for path in dataset[name].paths]
    files = [report.root / path for path in paths]
    report.rows, seen = len(paths), {}
    for path, file, found in zip(paths, files, look_at(files, _look, threads, progress), strict=True):
        report.present += file.is_file()
        if isinstance(found, DDBError):
            report.problems.append(str(found))
        else:
            seen[path] = found
            report.bytes += file.stat().st_size
    if seen:
        ordered = sorted((each.size for each in seen.values()), key=lambda size: size[0] * size[1])
        report.sizes = " to ".join(f"{width} x {height}" for width, height in (ordered[0], ordered[-1]))
    report.notes += told(report.root, [path for path, each in seen.items() if each.blank])
    report.notes += left_out_pages({path: each.pages for path, each in seen.items()})
    if damaged := [path for path in seen if metadata_is_damaged(report.root / path)]:
        report.notes.append(f"images with damaged EXIF or XMP data: {len(damaged):,}, such as {shown(damaged[0])}; "
                            "they are used, turned upright where the orientation can be read")  # fmt: skip


class _Seen(NamedTuple):
    size: tuple[int, int]  # width and height in pixels
    blank: bool
    pages: int


def _look(path: Path) -> _Seen:
    picture = read_image(path)
    return _Seen(picture.size, is_blank(picture), pages(path))


def _contents(dataset: BiasedDataset) -> pd.DataFrame:
    """Split, path, class and hash of each file; missing and empty files have none."""
    parts = []
    for name in SPLITS:
        split = dataset[name]
        assert split.root is not None
        columns = {"path": split.paths, "label": split.labels, "content": file_digests(split.root, split.paths)}
        parts.append(pd.DataFrame({"split": name, **columns}))
    table = pd.concat(parts, ignore_index=True)
    return table[~table["content"].isin([b"", EMPTY])]


def _duplicates(table: pd.DataFrame) -> list[str]:
    """A line for each content that is in more than one split."""
    first = table.drop_duplicates(["split", "content"])
    shared = first[first.duplicated("content", keep=False)]
    places = (shared["split"] + " (" + shared["path"] + ")").groupby(shared["content"], sort=False)
    return [f"the same content in {' and '.join(each)}" for _, each in places]


def _contradictions(table: pd.DataFrame) -> list[str]:
    """A line for images of a split that have the same content and not the same class; one of the labels is wrong."""
    first = table.groupby(["split", "content"])[["path", "label"]].transform("first")
    wrong = table.index[table["label"] != first["label"]]
    if wrong.empty:
        return []
    return [f"warning: images of one content and two classes: {len(wrong):,}, such as "
            f"{shown(first['path'][wrong[0]])} and {shown(table['path'][wrong[0]])}"]  # fmt: skip


def summarize(problems: list[str], shown: int) -> list[str]:
    """At most `shown` problems of each kind, and how many more there are."""
    kinds, so_far, lines = Counter(map(_kind, problems)), Counter(), []
    for problem in problems:
        kind = _kind(problem)
        so_far[kind] += 1
        if so_far[kind] <= shown:
            lines.append(problem)
        if so_far[kind] == shown and kinds[kind] > shown:
            lines.append(f"... and {kinds[kind] - shown:,} more of this kind")
    return lines


def _kind(problem: str) -> str:
    """Missing files, broken ones and duplicates apart; the rest is one kind."""
    kinds = ("no such file", "the same content", "broken image", "empty file", "not an image", "published")
    return next((kind for kind in kinds if kind in problem), "other")
