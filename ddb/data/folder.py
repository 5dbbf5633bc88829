"""Anyone's own images: a folder per class, without bias labels.

<root>/<class>/**                             split by us: 70 % train, 10 % val, 20 % test, stratified, seeded
<root>/{train,val,test}/<class>/**            taken as they are; a missing val or test is held out from train

Split folders are known by their names (`ddb.data.roles`); what lies in folders below a class's belongs to the class.
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ddb.data.dataset import BiasedDataset, Split, hold_out
from ddb.data.files import FilesConfig, listed
from ddb.data.review import apply_review
from ddb.data.roles import find_roles, role_of
from ddb.data.tree import Tree, endings, shown, walk
from ddb.errors import DDBError
from ddb.lazy import np
from ddb.settings import AddedLater, HashedAs, NotHashed, absolute, file_content

TEXTS = (".txt", ".md", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".html", ".pdf")  # notes on images


class FolderConfig(FilesConfig):
    """Settings of a folder of images."""

    name: Literal["folder"] = "folder"
    root: Annotated[Path, NotHashed()] = Field(description="the folder")
    val_share: float = Field(
        default=0.1, gt=0, lt=1, description="held out for validation where there is no such folder"
    )
    test_share: float = Field(default=0.2, gt=0, lt=1, description="held out for testing where there is no such folder")
    splits: dict[Literal["train", "val", "test"], str] | None = Field(
        default=None,
        description="folders of the splits, below root; {} where each folder is a class; null: known by their names",
        exclude_if=lambda splits: splits is None,  # what is read is in the fingerprint, and older keys stay
    )
    review: Annotated[str | None, AddedLater(None), HashedAs(file_content)] = Field(
        default=None, description="CSV with your verdicts on single images: keep, relabel, drop (ddb/data/review.py)"
    )
    split_seed: int = Field(default=0, ge=0, description="draws what is held out; training seeds are apart")

    @field_validator("review")
    @classmethod
    def _absolute_review(cls, name: str | None) -> str | None:
        return name and absolute(name)

    @model_validator(mode="after")
    def _leaves_some(self):
        if self.val_share + self.test_share > 0.9:
            raise ValueError("val_share and test_share leave less than a tenth to train on")
        return self


def index(config: FolderConfig, root: Path) -> BiasedDataset:
    """List the folder. Raises DDBError where it has fewer than two classes, or a class fewer than three images."""
    tree = walk(root)
    roles = find_roles(tree, None if config.splits is None else {**config.splits})
    given, train, notes = roles.folders, roles.folders.get("train", ""), []
    beside = [*(folder for split, folder in given.items() if split != "train"), *roles.spare]  # no classes of the root
    members = _classes(tree, train, beside)
    classes = tuple(members)
    if len(classes) < 2:
        hint = "; dataset.splits={} takes each folder for a class, not for a split" if given else ""
        if classes and not given and len(_grouped(tree.images, classes[0])) > 1:
            hint = f" ({classes[0]}); is the root {root / classes[0]}?"
        raise DDBError(f"{root / train}: needs a folder per class, at least two; it has {len(classes)}{hint}")
    if config.splits is None:
        _refuse_splits_in_classes(root, train, members)
    splits = {"train": _read(root, members, classes)}
    for name, share, seed in (("test", config.test_share, 0), ("val", config.val_share, 1)):
        if name in given:
            splits[name] = _read(root, _classes(tree, given[name], ()), classes)
            if not len(splits[name]):
                raise DDBError(f"{root / given[name]}: no images in folders of the classes; mend it, or leave it out "
                               f"of dataset.splits to hold out some of train for {name}")  # fmt: skip
            continue
        if name == "val" and "test" not in given:
            share /= 1 - config.test_share  # of what is left beside the test images
        counts = np.bincount(splits["train"].labels, minlength=len(classes))  # (C,)
        if counts.min() < 2:
            label = int(np.argmax(counts < 2))
            raise DDBError(f"{root / train / classes[label]}: {counts[label]} images left; too few to hold some out "
                           "for val and test")  # fmt: skip
        splits["train"], splits[name] = hold_out(splits["train"], share, 2 * config.split_seed + seed)
        notes.append(f"{name}: {len(splits[name])} images, held out by us from the training images, stratified by "
                     f"class, seed {config.split_seed}")  # fmt: skip
    dataset = BiasedDataset("folder", classes, {}, splits, tuple(notes), (*roles.notes, *_deep(splits, given)))
    return dataset if config.review is None else apply_review(dataset, config.review)


def _classes(tree: Tree, folder: str, beside: list[str] | tuple) -> dict[str, list[str]]:
    """Folders of `folder` that hold images, by name -> their images, those of folders below them too.

    Raises DDBError where one cannot be listed, or holds files of which none can be an image.
    """
    if closed := [path for path in tree.closed if path.startswith(os.path.join(folder, ""))]:
        raise DDBError(f"{tree.root / closed[0]}: the folder cannot be listed")
    images, others = _grouped(tree.images, folder), _grouped(tree.others, folder)
    for name in sorted(set(others) - set(images) - set(beside)):
        if not all(path.lower().endswith(TEXTS) for path in others[name]):
            raise DDBError(f"{tree.root / folder / name}: none of its {len(others[name])} files can be read as an "
                           f"image ({endings(others[name])}); convert them, or move the folder away")  # fmt: skip
    return {name: images[name] for name in sorted(set(images) - set(beside))}


def _grouped(paths: list[str], folder: str) -> dict[str, list[str]]:
    """Paths below `folder` by the folder in it that they lie in, however deep."""
    found, start = defaultdict(list), os.path.join(folder, "")
    for path in paths:
        name, slash, _ = path.removeprefix(start).partition("/")
        if path.startswith(start) and slash:
            found[name].append(path)
    return found


def _refuse_splits_in_classes(root: Path, train: str, members: dict[str, list[str]]) -> None:
    """<class>/train and <class>/test: read as one class, training and test images would be mixed."""
    for name, paths in members.items():
        roles = {role_of(folder) for folder in _grouped(paths, os.path.join(train, name))}
        if "train" in roles and {"val", "test"} & roles:
            raise DDBError(f"{root / train / name}: a class with splits in it; put the splits above the classes "
                           "(train/<class>), or read it as one: dataset.splits={}")  # fmt: skip


def _deep(splits: dict[str, Split], given: dict[str, str]) -> list[str]:
    """A note on images that lie in folders below their class's."""
    start = {name: f"{given.get(name, given.get('train', ''))}/" for name in splits}
    deep = [path for name in splits for path in splits[name].paths if path.removeprefix(start[name]).count("/") > 1]
    if not deep:
        return []
    return [f"{len(deep):,} images in folders below a class's are read with their class, such as {shown(deep[0])}"]


def _read(root: Path, members: dict[str, list[str]], classes: tuple[str, ...]) -> Split:
    if strange := [name for name in members if name not in classes]:
        near = [name for name in classes if name.strip().lower() == strange[0].strip().lower()]
        hint = f"; the training images' folder is called {near[0]!r}" if near else ""
        parts = members[strange[0]][0].split("/")
        place = "/".join(parts[: parts.index(strange[0]) + 1])
        raise DDBError(f"{root / place}: no training images of this class{hint}")
    labels = {path: label for label, name in enumerate(classes) for path in members.get(name, [])}
    return listed(root, [*labels], [*labels.values()])
