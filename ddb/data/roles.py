"""Which folders of a tree are splits and which are classes, from their names and from what is in them.

roles = find_roles(walk(root), None)
roles.folders                    # {"train": "Training", "test": "Testing"}; {} where each folder is a class
roles.notes                      # what was taken for what, and how to say otherwise
"""

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field

from ddb.data.tree import Tree, shown
from ddb.errors import DDBError

WORDS = {  # how people call splits; the first that is there is taken
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
FILLER = {"", "set", "data", "dataset", "image", "images", "img", "imgs", "split"}  # as in "Training set"
SEPARATORS = re.compile(r"[\W\d_]+")  # numbers too: train2017


@dataclass
class Roles:
    """Folders below the root by split. A train of "" is the root itself, where only the other splits have folders."""

    folders: dict[str, str]
    notes: list[str] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)  # called like a split that another folder was taken for


def role_of(name: str, common: frozenset[str] = frozenset()) -> str | None:
    """The split that a folder or a table's value of that name is for: train, val, test, or None.

    Words in `common` are not looked at: those that all the names beside it have, as in seg_train and seg_test.
    """
    return next((role for role, words in WORDS.items() if _word(name, common) in words), None)


def _word(name: str, common: frozenset[str]) -> str:
    """The one word that is left of a name without "set", "data" and the like; "" where there are several."""
    words = _words(name) - FILLER - common
    return words.pop().removesuffix("set").removesuffix("data") if len(words) == 1 else ""


def _words(name: str) -> set[str]:
    return set(SEPARATORS.split(name.lower()))


def find_roles(tree: Tree, wanted: dict[str, str] | None) -> Roles:
    """Split folders as the setting `dataset.splits` names them, else by name.

    Raises DDBError where the setting names what cannot be, or where there are splits and none to train on.
    """
    if wanted is not None:
        return Roles(_checked(tree, wanted))
    inside = _folders_inside(tree)
    common = frozenset(set.intersection(*map(_words, inside)) if len(inside) > 1 else ())
    found = _by_role(inside, common)
    others = [name for name in inside if not role_of(name, common)]
    if not found:
        return Roles({}, _alike(inside))
    if others and not _are_splits(found, others, inside):
        taken = "is taken for a class and no split" if len(found) == 1 else "are taken for classes and no splits"
        return Roles({}, [f"{' and '.join(sorted(found.values()))} {taken}, because of {others[0]} beside it "
                          "(dataset.splits names split folders)"])  # fmt: skip
    if "train" not in found and not others:
        raise DDBError(f"{tree.root}: {' and '.join(found.values())} would be splits, but no folder is called train; "
                       "name the folders in dataset.splits, or set it to {} to take each for a class")  # fmt: skip
    folders = {"train": ""} | found
    named = ", ".join(f"{role} from {folder or 'the other folders'}" for role, folder in folders.items())
    hint = "dataset.splits names other folders, or {} to take each for a class"
    spare = [name for name in inside if name not in (*others, *found.values())]
    return Roles(folders, [f"splits: {named} ({hint})"], spare)


def _checked(tree: Tree, wanted: dict[str, str]) -> dict[str, str]:
    """The folders as they are called in `tree`; "" for the root itself, which may be train beside other folders."""
    if wanted and "train" not in wanted:
        raise DDBError("dataset.splits: names no folder for train")
    folders = {role: os.path.normpath(name) for role, name in wanted.items()}
    folders = {role: "" if name == "." else name for role, name in folders.items()}
    for role, folder in folders.items():
        if folder not in ("", *tree.folders):
            raise DDBError(f"dataset.splits.{role}: {tree.root / folder}: no such folder")
        for other in sorted(folders.keys() - {role}):
            outer = folders[other]
            no_class = other == "train" and not outer and folder and "/" not in folder  # of the root's classes
            if (not outer or f"{folder}/".startswith(f"{outer}/")) and not no_class:
                raise DDBError(f"dataset.splits: {role} ({wanted[role]}) lies in {other} ({wanted[other]}), so its "
                               "images would be in both")  # fmt: skip
    return folders


def _folders_inside(tree: Tree) -> dict[str, set[str]]:
    """Folders of the root that have images -> names of the folders in them that have; "" for images right in it."""
    inside = defaultdict(set)
    for path in tree.images:
        first, *rest = path.split("/")
        if rest:
            inside[first].add(rest[0] if len(rest) > 1 else "")
    return dict(sorted(inside.items()))


def _by_role(names: dict[str, set[str]], common: frozenset[str]) -> dict[str, str]:
    """One folder for each split that has any; a second one to validate on (evaluation) may stand in for test."""
    called = {name: _word(name, common) for name in names}
    known = {role: [n for word in words for n in names if called[n] == word] for role, words in WORDS.items()}
    spare = [name for name in known["val"][1:] if called[name] in ("eval", "evaluation")]
    known["test"] = known["test"] or spare
    return {role: found[0] for role, found in known.items() if found}


def _are_splits(found: dict[str, str], others: list[str], inside: dict[str, set[str]]) -> bool:
    """Whether folders named like splits are splits, though there are `others` beside them."""
    if "train" not in found:  # classes, and beside them a test folder that has the same classes
        return all(inside[name] <= set(others) for name in found.values())
    classes = inside[found["train"]]
    if "" in classes or len(classes) < 2:
        return False
    flat = [name for name in others if inside[name] == {""}]
    return len(found) > 1 or len(flat) < 2


def _alike(inside: dict[str, set[str]]) -> list[str]:
    """A note where all folders of the root have the same folders in them: splits of other names look like that."""
    first = next(iter(inside.values()), set())
    if len(inside) < 2 or len(first) < 2 or "" in first or any(each != first for each in inside.values()):
        return []
    names, classes = (", ".join(map(shown, sorted(each)[:3])) for each in (inside, first))
    return [f"warning: each class ({names}) has the same folders in it ({classes}); if these are the classes and those "
            "the splits, say which in dataset.splits: {train: FOLDER, test: FOLDER}"]  # fmt: skip
