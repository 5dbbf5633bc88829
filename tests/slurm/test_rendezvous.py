import json
import os
import threading

import pytest

from slurm.errors import LaunchError
from slurm.rendezvous import make_token, publish, read, tail, wait_for


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    """A reader beside a writer that replaces the file 500 times never meets half of it."""
    path, seen = tmp_path / "head.json", set()
    content = {"address": "x" * 20000}
    writer = threading.Thread(target=lambda: [publish(path, content | {"i": i}) for i in range(500)])
    assert read(path) is None
    writer.start()
    while writer.is_alive():
        found = read(path)
        if found:
            seen.add(found["i"])
    writer.join()
    assert read(path)["i"] == 499 and len(seen) > 1 and os.listdir(tmp_path) == ["head.json"]


def test_half_a_file_under_another_name_is_not_taken_for_the_file(tmp_path):
    (tmp_path / ".head.json-n1-7").write_text(json.dumps({"address": "1"})[:5])
    with pytest.raises(LaunchError, match="address of the head: not there after 0 s"):
        wait_for(tmp_path / "head.json", 0.3, "address of the head")


def test_waiting_ends_when_the_job_does(tmp_path):
    with pytest.raises(LaunchError, match="since the job is ending"):
        wait_for(tmp_path / "head.json", 60, "address of the head", lambda: True)


def test_the_token_is_new_secret_and_its_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        first = make_token(tmp_path)
    finally:
        os.umask(before)
    assert oct(first.stat().st_mode)[-3:] == "600" and len(first.read_text()) == 64
    (tmp_path / "b").mkdir()
    assert make_token(tmp_path / "b").read_text() != first.read_text()
    with pytest.raises(FileExistsError):
        make_token(tmp_path)


def test_the_tail_of_a_log(tmp_path):
    log = tmp_path / "n1.log"
    assert tail(log) == "(No such file or directory)"
    log.write_text("")
    assert tail(log) == "(empty)"
    log.write_text("a\nb\nc\n")
    assert tail(log, 2) == "b\nc"
