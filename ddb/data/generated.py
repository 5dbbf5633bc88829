"""Images of any generator in a folder per class, for `ddb.signals.generated`."""

from __future__ import annotations

from pathlib import Path

from ddb.data.dataset import Split
from ddb.data.files import content_of, folders, images
from ddb.data.images import read_array
from ddb.errors import DDBError
from ddb.lazy import np


def read(root: Path, classes: tuple[str, ...], size: int) -> Split:
    """The images as (N, size, size, 3) uint8, class by class, sorted by name."""
    found = folders(root)
    numbers = [str(number) for number in range(len(classes))]
    names = list(classes) if set(found) == set(classes) else numbers
    if set(found) != set(names):
        raise DDBError(f"amplifier.generated: {root} has the folders {', '.join(found) or 'none'}; needed are the "
                       f"classes {', '.join(classes)}, or their numbers from 0 on")  # fmt: skip
    paths = [images(root / name, root) for name in names]
    if empty := [name for name, each in zip(names, paths, strict=True) if not each]:
        raise DDBError(f"amplifier.generated: no images in {root / empty[0]}")
    labels = np.repeat(np.arange(len(classes)), [len(each) for each in paths])
    flat = [path for each in paths for path in each]
    return Split(np.stack([read_array(root / path, size) for path in flat]), labels, flat)


def content(root: str) -> str:
    """A hash of the names and contents of all images; the name itself if there is no such folder."""
    folder = Path(root)
    if not folder.is_dir():
        return root
    paths = [path for name in folders(folder) for path in images(folder / name, folder)]
    return content_of(folder, paths)
