import multiprocessing
import os
import shutil
import signal
import socket
import time
from collections import namedtuple

import pytest
from filelock import FileLock

from ddb.data import fetch as module
from ddb.data.fetch import fetch
from ddb.errors import DDBError
from tests.ddb.data.file_server import FILES, TARGZ, accept, content, download, source


def test_too_little_space_is_told_before_anything_is_downloaded(server, monkeypatch, tmp_path):
    def free(number):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(number))

    root, heard = tmp_path / "birds", []
    free(int(2.5 * len(TARGZ)) - 1)
    with pytest.raises(DDBError, match=r"birds.download: not enough disk space: 0\.00 GB .* 0\.00 GB free"):
        fetch("waterbirds", root, accept, lambda *now: heard.append(now))
    assert not heard and not root.exists() and not download(root).exists()
    free(int(2.5 * len(TARGZ)) + 1)
    fetch("waterbirds", root, accept)


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, 4)])
def test_an_http_error_is_one_line_that_says_what_to_do(server, tmp_path, status, requests):
    server.status, root = status, tmp_path / "birds"
    with pytest.raises(DDBError) as caught:
        fetch("waterbirds", root, accept)
    message = str(caught.value)
    assert message.startswith(f"{server.url}: HTTP {status} ") and "\n" not in message
    assert "DDB_SOURCES" in message and f"by hand at {root}" in message
    assert len(server.asked) == requests and not root.exists() and not download(root).exists()


def test_an_unreachable_host_is_an_error_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "BACKOFF", 1000)
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:  # bound and not listening: nobody else gets the port meanwhile
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        source(monkeypatch, tmp_path, url=f"http://{address}/birds.tar.gz")
        with pytest.raises(DDBError, match=rf"^http://{address}/birds.tar.gz: [A-Z].*DDB_SOURCES.*by hand at [^\n]+$"):
            fetch("waterbirds", tmp_path / "birds", accept)


def test_a_server_that_falls_silent_is_left_and_the_part_kept(server, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "RETRIES", 0)
    server.stall.clear()
    part = download(tmp_path / "birds") / "birds.tar.gz.part"
    for seconds in (0.1, 1, 10, 60):  # a busy machine may need longer for the first bytes
        monkeypatch.setattr(module, "TIMEOUT", seconds)
        server.breaks = [module.CHUNK + 1]
        with pytest.raises(DDBError, match=r"birds.tar.gz: (timed out|.*timed out); .*DDB_SOURCES"):
            fetch("waterbirds", tmp_path / "birds", accept)
        if part.exists():
            break
    assert part.stat().st_size == module.CHUNK


def _fetch_in_child(root, hang):
    def verify(folder):
        accept(folder)
        if hang:
            (root.parent / "verifying").touch()
            time.sleep(300)

    fetch("waterbirds", root, verify)


@pytest.mark.parametrize("moment", ["downloading", "verifying"])
def test_a_killed_fetch_leaves_nothing_that_looks_finished_and_continues(server, tmp_path, moment):
    root = tmp_path / "birds"
    part = download(root) / "birds.tar.gz.part"
    if moment == "downloading":
        server.stall.clear()
        server.breaks = [module.CHUNK + 1000]
    child = multiprocessing.get_context("spawn").Process(target=_fetch_in_child, args=(root, moment == "verifying"))
    child.start()
    reached, size = (part, module.CHUNK) if moment == "downloading" else (tmp_path / "verifying", 0)
    while not (reached.exists() and reached.stat().st_size == size):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    server.stall.set()
    assert not root.exists()
    kept = part.stat().st_size
    fetch("waterbirds", root, accept)
    assert content(root) == FILES and not download(root).exists()
    assert kept == (module.CHUNK if moment == "downloading" else len(TARGZ))
    assert server.asked == ([None, f"bytes={kept}-"] if moment == "downloading" else [None])


@pytest.mark.parametrize("length", [True, False])
def test_a_bug_in_verify_keeps_the_whole_download_for_the_next_call(server, tmp_path, length):
    server.length, root = length, tmp_path / "birds"
    with pytest.raises(ZeroDivisionError):
        fetch("waterbirds", root, lambda folder: 1 / 0)
    assert not root.exists()
    assert {path.name for path in download(root).iterdir()} == {"birds.tar.gz.part", "birds.tar.gz.json", "lock"}
    fetch("waterbirds", root, accept)
    assert server.asked == [None]


def test_a_kill_right_after_the_last_byte_costs_nothing(server, monkeypatch, tmp_path):
    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.Partial, "finish", killed)
        fetch("waterbirds", tmp_path / "birds", accept)
    fetch("waterbirds", tmp_path / "birds", accept)
    assert server.asked == [None]


def test_one_process_at_a_time(server, tmp_path):
    root = tmp_path / "birds"
    download(root).mkdir()
    with FileLock(download(root) / "lock"), pytest.raises(DDBError, match="another process is downloading"):
        fetch("waterbirds", root, accept)
    assert not server.asked


def test_existing_data_is_never_touched(server, tmp_path):
    root = tmp_path / "birds"
    root.mkdir()
    (root / "mine").touch()
    with pytest.raises(DDBError, match=f"^{root}: the data set is already there"):
        fetch("waterbirds", root, accept)
    with pytest.raises(DDBError, match="mine is not a folder"):
        fetch("waterbirds", root / "mine", accept)
    assert [path.name for path in root.iterdir()] == ["mine"] and not server.asked


def test_data_that_appears_during_the_download_is_not_replaced(server, tmp_path):
    root = tmp_path / "birds"

    def meanwhile(folder):
        root.mkdir()
        (root / "mine").touch()

    with pytest.raises(DDBError, match=f"{root}: cannot be written: Directory not empty"):
        fetch("waterbirds", root, meanwhile)
    assert [path.name for path in root.iterdir()] == ["mine"]


def test_a_root_behind_a_symlink_is_filled_where_it_points(server, tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "birds").symlink_to(tmp_path / "scratch" / "birds")
    assert fetch("waterbirds", tmp_path / "birds", accept) == tmp_path / "birds"
    assert (tmp_path / "birds").is_symlink() and content(tmp_path / "scratch" / "birds") == FILES


def test_a_folder_that_cannot_be_written_is_one_clear_error(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DDBError, match=r"birds.download: cannot be written: Not a directory"):
        fetch("waterbirds", tmp_path / "file" / "birds", accept)
