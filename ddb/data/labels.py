"""Labels that are likely mistakes: words for a missing one, one written in two ways, measurements, rows of one file."""

import math
import re
import unicodedata
from collections import defaultdict

from ddb.data.dataset import BiasedDataset
from ddb.data.tree import shown
from ddb.lazy import np

MISSING = {"", "nan", "-nan", "<na>", "#n/a", "#na", "n/a", "null", "nat"}  # what pandas and spreadsheets write
DOUBTFUL = {"none", "na", "n.a.", "nil", "missing", "unknown", "undefined", "unlabeled", "unlabelled", "?", "-"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
BETWEEN = re.compile(r"(?<=\w)[\s_-]+(?=\w)")  # what separates words


def is_missing(value: str | None) -> bool:
    """Whether a table's value stands for a missing one."""
    return value is None or value.strip().lower() in MISSING


def doubts(dataset: BiasedDataset) -> list[str]:
    """A line for each class or bias value that is likely a mistake, and one for files with more than one row."""
    columns = [("class", "classes", dataset.classes)]
    columns += [(f"value of {key!r}", f"values of {key!r}", names) for key, names in dataset.bias_attributes.items()]
    lines = []
    for what, each, names in columns:
        alike = defaultdict(list)
        for name in names:
            alike[_folded(name)].append(name)
        lines += [f"warning: {' and '.join(map(repr, same))} are each a {what} of its own; the same one, written in "
                  f"{len(same)} ways?" for same in alike.values() if len(same) > 1]  # fmt: skip
        lines += [f"warning: {name!r} is a {what}; does it stand for a missing one?" for name in names
                  if name.strip().lower() in MISSING | DOUBTFUL or (name == "-1" and "0" in names)]  # fmt: skip
        fractions = [name for name in names if NUMBER.fullmatch(name) and not float(name).is_integer()]
        if fractions:
            lines.append(f"warning: {len(fractions)} of {len(names)} {each} are fractions, such as "
                         f"{fractions[0]}; are they measurements? each different number counts apart")  # fmt: skip
    single = int((np.bincount(dataset["train"].labels, minlength=len(dataset.classes)) == 1).sum())
    if 2 * single > len(dataset.classes):  # the column is an identity, not a class
        lines.append(f"warning: {single:,} of {len(dataset.classes):,} classes have one training image; are these "
                     "really classes?")  # fmt: skip
    return lines + _in_two_splits(dataset)


def _folded(name: str) -> str:
    """Without differences of case, outer blanks, what separates words, Unicode form, and 1 against 1.0."""
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    return f"{float(text):.12g}" if NUMBER.fullmatch(text) and math.isfinite(float(text)) else BETWEEN.sub("", text)


def _in_two_splits(dataset: BiasedDataset) -> list[str]:
    """A line for files that are in two splits: a model that was trained on them is not tested by them."""
    rows = defaultdict(list)
    for split in dataset.splits.values():
        for path, label in zip(split.paths, split.labels, strict=True):
            rows[path].append(int(label))
    twice = {path: labels for path, labels in rows.items() if len(labels) > 1}
    if not twice:
        return []
    other = sum(len(set(labels)) > 1 for labels in twice.values())
    said = f", {other:,} of them with another class" if other else ""
    return [f"warning: files in more than one split: {len(twice):,}{said}, such as {shown(next(iter(twice)))}"]
