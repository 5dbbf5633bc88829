import errno

import pytest

from ddb.errors import fault_of_system


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOENT, "No such file", "a.txt"), "a.txt: No such file"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "b"), "b: File name too long; choose a shorter name"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; allow more open files (ulimit -n)"),
        (OSError(errno.EXDEV, "Cross-device link", "a", None, "b"), "a -> b: Cross-device link"),
        (OSError("two\n lines"), "two lines"),
        (OSError(), "OSError"),
        (MemoryError(), "out of memory: give this process more, or ask for less at a time"),
    ],
)
def test_one_line_names_file_fault_and_way_out(error, line):
    assert fault_of_system(error) == line
