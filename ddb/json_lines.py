"""Files to which lines of JSON are appended: a kill or a full disk may leave half a line at their end.

mend(path)      # before more is appended: half a line and the next would make one that nobody can read
"""

import json
import os
from pathlib import Path

from ddb.errors import DDBError


def mend(path: Path) -> int:
    """Cut off what follows the last whole line; how many bytes that were. Of a file that is not there, none.

    Raises DDBError for a damaged line that whole ones follow: which of them still hold, nobody knows.
    """
    if not path.exists():
        return 0
    whole, damaged = 0, 0  # bytes up to the end of the last good line; number of the first bad one
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not _is_whole(line):
                damaged = damaged or number
            elif damaged:
                raise DDBError(f"{path}: line {damaged} is damaged, and others follow; `head -n {damaged - 1}` has "
                               "what is before it, and without the file all begins anew")  # fmt: skip
            else:
                whole += len(line)
    cut = path.stat().st_size - whole
    if cut:
        os.truncate(path, whole)
    return cut


def _is_whole(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:  # not JSON, or not even text
        return False
