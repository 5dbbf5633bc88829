"""Everything below a folder, each file once, so that what is not read can be told.

    tree = walk(root)
    tree.images                      # what a data set may take
    left_out(tree, taken, tables)    # a line for each kind of entry that it did not take

Known clutter of operating systems (hidden files, Thumbs.db, __MACOSX, @eaDir) and texts such as README and LICENSE are
passed over without a word.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ddb.data.images import is_image_name
from ddb.errors import DDBError

CLUTTER_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
CLUTTER_FOLDERS = {"__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "lost+found",
                   "system volume information", "__pycache__"}  # fmt: skip
DOCUMENTS = ("readme", "license", "licence", "copying", "changelog", "citation")
DOCUMENT_ENDINGS = ("", ".txt", ".md", ".rst", ".pdf", ".html", ".cff")
SHOWN = 5  # values named in one line; the rest is counted


@dataclass
class Tree:
    """Paths below `root`, sorted, with `/` between their parts."""

    root: Path
    images: list[str] = field(default_factory=list)  # by their endings
    others: list[str] = field(default_factory=list)  # files of other endings
    hidden: list[str] = field(default_factory=list)  # images whose names begin with a dot
    folders: list[str] = field(default_factory=list)  # that could be listed
    dead: list[str] = field(default_factory=list)  # links to nothing or to a folder above, pipes, sockets
    closed: list[str] = field(default_factory=list)  # folders that may not be listed

    def below(self, folder: str) -> list[str]:
        """The images in `folder` and in folders below it."""
        return [path for path in self.images if path.startswith(f"{folder}/")]


def is_clutter(name: str) -> bool:
    """Whether an entry of that name belongs to an operating system or a tool, not to the data."""
    return name.startswith(".") or name.lower() in CLUTTER_FILES or name.lower() in CLUTTER_FOLDERS


def is_document(name: str) -> bool:
    """Whether a file of that name tells people of the data: README, LICENSE and the like."""
    path = PurePosixPath(name.lower())
    return path.name.startswith(DOCUMENTS) and path.suffix in DOCUMENT_ENDINGS


def walk(root: Path) -> Tree:
    """Every entry below `root`; links are followed. Raises DDBError where `root` itself cannot be listed."""
    tree = Tree(root)
    try:
        _walk(root, "", frozenset(), tree)
    except OSError as error:
        raise DDBError(f"{root}: {error.strerror}") from None
    for paths in (tree.images, tree.others, tree.hidden, tree.folders, tree.dead, tree.closed):
        paths.sort()
    return tree


def _walk(directory: Path | str, below: str, above: frozenset[tuple[int, int]], tree: Tree) -> None:
    """Sort the entries of one folder into `tree`; `above` identifies the folders that it lies in."""
    with os.scandir(directory) as entries:
        status = os.stat(directory)
        inside = above | {(status.st_dev, status.st_ino)}
        for entry in entries:
            path = below + entry.name
            if entry.is_dir():
                if not is_clutter(entry.name):
                    _enter(entry, path, inside, tree)
            elif is_image_name(entry.name.lstrip(".")) and entry.name.startswith("."):
                if not entry.name.startswith("._"):  # what macOS writes beside a file on other file systems
                    tree.hidden.append(path)
            elif is_clutter(entry.name):
                continue
            elif not entry.is_file():
                tree.dead.append(path)
            elif is_image_name(entry.name):
                tree.images.append(path)
            else:
                tree.others.append(path)


def _enter(entry: os.DirEntry, path: str, inside: frozenset[tuple[int, int]], tree: Tree) -> None:
    status = entry.stat()
    if (status.st_dev, status.st_ino) in inside:
        tree.dead.append(path)
        return
    try:
        _walk(entry.path, f"{path}/", inside, tree)
    except PermissionError:
        tree.closed.append(path)
    else:
        tree.folders.append(path)


def left_out(tree: Tree, taken: Collection[str], tables: Collection[str] = ()) -> list[str]:
    """A line with count and example for each kind of entry that is neither in `taken` nor one of `tables`."""
    known = set(map(os.path.normpath, (*taken, *tables)))
    unused, hidden = ([path for path in paths if path not in known] for paths in (tree.images, tree.hidden))
    others = [path for path in tree.others if path not in known and not is_document(path)]
    full = {path.rpartition("/")[0] for path in (*tree.images, *tree.others, *tree.hidden)}
    full |= {str(parent) for folder in full for parent in PurePosixPath(folder).parents}
    empty = [path for path in tree.folders if path not in full]
    places = counted(path.partition("/")[0] if "/" in path else "not in a folder" for path in unused)
    kinds = [
        (unused, "image", f"that no split takes ({places})"),
        (others, "file", f"with an ending that is not read as an image ({endings(others)})"),
        (hidden, "hidden image", ""),
        (empty, "empty folder", ""),
        (tree.dead, "special file", "(a link to nothing, a link to a folder above, or a pipe)"),
        (tree.closed, "folder", "that may not be listed"),
    ]
    return [
        f"left out: {len(paths):,} {name}{'s' * (len(paths) > 1)} {which}".rstrip() + f", such as {shown(paths[0])}"
        for paths, name, which in kinds
        if paths
    ]


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
