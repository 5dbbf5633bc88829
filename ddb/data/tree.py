"""Everything below a folder, each entry once, so that what is not read can be told.

    tree = walk(root)
    tree.images                      # what a data set may take
    left_out(tree, taken, tables)    # a line for each kind of entry that it did not take

Hidden entries and those of operating systems (Thumbs.db, __MACOSX, @eaDir) are clutter: never images, never classes,
and counted like all else. Folders among them are one entry each; nobody looks into them.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ddb.data.images import is_image_name
from ddb.errors import DDBError

CLUTTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "@recycle", "#recycle",
           "#snapshot", "$recycle.bin", "lost+found", "system volume information", "__pycache__"}  # fmt: skip
SHOWN = 5  # values named in one line; the rest is counted


@dataclass
class Tree:
    """Paths below `root`, sorted, with `/` between their parts."""

    root: Path
    images: list[str] = field(default_factory=list)  # by their endings
    others: list[str] = field(default_factory=list)  # files of other endings
    folders: list[str] = field(default_factory=list)  # that could be listed
    clutter: list[str] = field(default_factory=list)  # files and folders
    dead: list[str] = field(default_factory=list)  # links to nothing or to a folder above, pipes, sockets
    closed: list[str] = field(default_factory=list)  # folders that cannot be listed


def is_clutter(name: str) -> bool:
    """Whether an entry of that name is hidden, or belongs to an operating system or a tool, not to the data."""
    return name.startswith(".") or name.lower() in CLUTTER


def kind_of(entry: os.DirEntry) -> str:
    """Whether an entry, or what it links to, is a "folder" or a "file"; "" for a pipe, or a link in a circle."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:
        return ""


def walk(root: Path) -> Tree:
    """Every entry below `root`; links are followed. Raises DDBError where `root` itself cannot be listed."""
    tree = Tree(root)
    try:
        _walk(root, "", frozenset(), tree)
    except OSError as error:
        raise DDBError(f"{root}: {error.strerror}") from None
    for paths in (tree.images, tree.others, tree.folders, tree.clutter, tree.dead, tree.closed):
        paths.sort()
    return tree


def _walk(directory: Path | str, below: str, above: frozenset[tuple[int, int]], tree: Tree) -> None:
    """Sort the entries of one folder into `tree`; `above` identifies the folders that it lies in.

    Raises OSError where the folder cannot be listed; what is wrong further down is in `tree`.
    """
    status = os.stat(directory)
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        tree.dead.append(below.rstrip("/"))
        return
    with os.scandir(directory) as found:
        entries = list(found)
    if below:
        tree.folders.append(below.rstrip("/"))
    for entry in entries:
        path, kind = below + entry.name, kind_of(entry)
        if is_clutter(entry.name) or (kind == "folder" and _is_store(entry.path)):
            tree.clutter.append(path)
        elif kind == "folder":
            try:
                _walk(entry.path, f"{path}/", above | {identity}, tree)
            except OSError:
                tree.closed.append(path)
        elif kind == "file":
            (tree.images if is_image_name(entry.name) else tree.others).append(path)
        else:
            tree.dead.append(path)


def _is_store(folder: str) -> bool:
    """Whether it is a store of results, as the command leaves it in a folder of images that it is run from."""
    return os.path.isdir(f"{folder}/.work") and os.path.isdir(f"{folder}/.failures")


def left_out(tree: Tree, taken: Collection[str], tables: Collection[str] = ()) -> list[str]:
    """A line with count and example for each kind of entry that is neither in `taken` nor one of `tables`."""
    known = set(map(os.path.normpath, (*taken, *tables)))
    unused, others, clutter = (
        [path for path in paths if path not in known] for paths in (tree.images, tree.others, tree.clutter)
    )
    entries = (*tree.images, *tree.others, *tree.dead, *tree.closed)
    full = {str(parent) for path in entries for parent in PurePosixPath(path).parents}
    empty = [path for path in tree.folders if path not in full]
    places = counted(path.partition("/")[0] if "/" in path else "not in a folder" for path in unused)
    kinds = [
        (unused, "image", f"that no split takes ({places})"),
        (others, "file", f"with an ending that is not read as an image ({endings(others)})"),
        (empty, "empty folder", ""),
        (clutter, "entry", f"hidden or of the operating system ({counted(map(_clutter_kind, clutter))})"),
        (tree.dead, "special file", "(a link to nothing, a link to a folder above, or a pipe)"),
        (tree.closed, "folder", "that cannot be listed"),
    ]
    return [
        f"left out: {_number(len(paths), name)} {which}".rstrip() + f", such as {shown(paths[0])}"
        for paths, name, which in kinds
        if paths
    ]


def left_out_pages(pages: dict[str, int]) -> list[str]:
    """A line that counts the pages after the first of all files; none if each file has one."""
    several = [path for path, number in pages.items() if number > 1]
    if not several:
        return []
    left = sum(pages.values()) - len(pages)
    return [f"left out: {_number(left, 'page')} (or frames) after the first of {_number(len(several), 'file')}, such "
            f"as {shown(several[0])}"]  # fmt: skip


def _number(number: int, noun: str) -> str:
    return f"{number:,} " + (noun if number == 1 else "entries" if noun == "entry" else f"{noun}s")


def _clutter_kind(path: str) -> str:
    """The name; one for all files that macOS writes beside others, and one for all hidden images."""
    name = path.rpartition("/")[2]
    if name.startswith("._"):
        return "._*"
    return "hidden image" if is_image_name(name.lstrip(".")) else name


def shown(path: str) -> str:
    """A path on one line, whatever is in it."""
    return path if path.isprintable() else repr(path)


def endings(paths: list[str]) -> str:
    """The commonest endings and how many files have each."""
    return counted(PurePosixPath(path).suffix.lower() or "none" for path in paths)


def counted(values: Iterable[str]) -> str:
    """The commonest values, each with its number, and how many others there are."""
    counts = Counter(values).most_common()
    parts = [f"{shown(value)} {number:,}" for value, number in counts[:SHOWN]]
    return ", ".join(parts + [f"{len(counts) - SHOWN} more"] * (len(counts) > SHOWN))
