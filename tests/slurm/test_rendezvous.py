import os
import threading

import pytest

from slurm.errors import LaunchError
from slurm.rendezvous import make_token, publish, read, wait_for


def test_a_reader_never_reads_half_a_file(tmp_path):
    """A thread replaces the file until 50 different versions of it have been read."""
    path, seen = tmp_path / "head.json", set()

    def replace_file():
        for i in range(100_000):
            publish(path, {"address": "x" * 20000, "i": i})
            if len(seen) >= 50:
                return

    assert read(path) is None
    writer = threading.Thread(target=replace_file)
    writer.start()
    while writer.is_alive():
        found = read(path)
        if found:
            seen.add(found["i"])
    assert len(seen) >= 50 and os.listdir(tmp_path) == ["head.json"]


def test_waiting_for_a_file_ends_after_the_timeout_and_with_the_job(tmp_path):
    (tmp_path / ".head.json-n1-7").write_text('{"add')  # written in part, not yet renamed
    with pytest.raises(LaunchError, match="address of the head: not there after 0 s"):
        wait_for(tmp_path / "head.json", 0.3, "address of the head")
    with pytest.raises(LaunchError, match="since the job is ending"):
        wait_for(tmp_path / "head.json", 60, "address of the head", lambda: True)


def test_the_token_is_new_and_only_its_owner_can_read_it(tmp_path):
    first = make_token(tmp_path)
    assert oct(first.stat().st_mode)[-3:] == "600" and len(first.read_text()) == 64
    (tmp_path / "b").mkdir()
    assert make_token(tmp_path / "b").read_text() != first.read_text()
    with pytest.raises(FileExistsError):
        make_token(tmp_path)
