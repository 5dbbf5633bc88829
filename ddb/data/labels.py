"""Labels that are likely mistakes: none at all, written as a word, and the same one written in two ways."""

import unicodedata
from collections import defaultdict

from ddb.data.dataset import BiasedDataset

MISSING = {"", "nan", "-nan", "<na>", "#n/a", "#na", "n/a", "null", "nat"}  # what pandas and spreadsheets write
DOUBTFUL = {"none", "na", "unknown", "undefined", "?", "-", "nil"}  # may be a value, may be a missing one


def is_missing(value: str | None) -> bool:
    """Whether a table's value stands for a missing one."""
    return value is None or value.strip().lower() in MISSING


def doubts(dataset: BiasedDataset) -> list[str]:
    """A line for each class or bias value that may be no value, or that another one is written like."""
    columns = {"class": dataset.classes} | {
        f"value of {key!r}": names for key, names in dataset.bias_attributes.items()
    }
    lines = []
    for what, names in columns.items():
        alike = defaultdict(list)
        for name in names:
            alike[_folded(name)].append(name)
        lines += [f"warning: {' and '.join(map(repr, same))} are each a {what} of its own; the same one, written in "
                  f"{len(same)} ways?" for same in alike.values() if len(same) > 1]  # fmt: skip
        lines += [f"warning: {name!r} is a {what}; does it stand for a missing one?" for name in names
                  if is_missing(name) or name.strip().lower() in DOUBTFUL]  # fmt: skip
    return lines


def _folded(name: str) -> str:
    """Without differences of case, spaces, dashes, Unicode form, and 1 against 1.0."""
    text = "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c not in " \t_-" or name == c)
    try:
        return f"{float(name):g}"
    except ValueError:
        return text
