"""The files by which the nodes of a job find each other."""

import os
import threading

import pytest

from slurm.files import check_private, publish, read
from slurm.log import LaunchError


def test_a_reader_never_reads_half_a_file(tmp_path):
    """A thread replaces the file until 50 different versions of it have been read."""
    path, seen = tmp_path / "head", set()

    def replace_file():
        for i in range(100_000):
            publish(path, f"{i} {'x' * 20000} end")
            if len(seen) >= 50:
                return

    assert read(path) == ""
    writer = threading.Thread(target=replace_file)
    writer.start()
    while writer.is_alive():
        if found := read(path):
            assert found.endswith(" end")
            seen.add(found.partition(" ")[0])
    assert len(seen) >= 50 and os.listdir(tmp_path) == ["head"]


def test_only_a_directory_that_nobody_else_can_enter_is_private(tmp_path):
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir(mode=0o700)
    check_private(folder)
    link.symlink_to(folder)
    for path, mode in ((link, 0o700), (folder, 0o710)):
        folder.chmod(mode)
        with pytest.raises(LaunchError, match="must be a directory of this user with mode 0700"):
            check_private(path)
