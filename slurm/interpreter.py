"""A path of the interpreter that Ray can use: it starts its workers by shell commands in which that path is not quoted.

python = without_spaces(Path(sys.executable), directory)
"""

import sys
from pathlib import Path

LINK = "python"


def without_spaces(python: Path, directory: Path) -> Path:
    """`python` itself where its path has no space, else its path through a link in `directory`.

    The link stands for the folder of the whole environment, since an interpreter looks for its packages beside the
    path by which it was started.
    """
    if not any(character.isspace() for character in str(python)):
        return python
    link = directory / LINK
    if not link.is_symlink():
        link.symlink_to(sys.prefix, target_is_directory=True)
    return link / python.relative_to(sys.prefix)
