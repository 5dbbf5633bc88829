"""A path to the interpreter without spaces: Ray starts workers by shell commands that do not quote it."""

import sys
from pathlib import Path


def without_spaces(python: Path, directory: Path) -> Path:
    """`python`, if its path has a space through a link in `directory` to its environment, where its packages are."""
    if not any(character.isspace() for character in str(python)):
        return python
    link = directory / "python"
    if not link.is_symlink():
        link.symlink_to(sys.prefix, target_is_directory=True)
    return link / python.relative_to(sys.prefix)
