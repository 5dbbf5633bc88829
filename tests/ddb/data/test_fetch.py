import hashlib

import pytest

from ddb.data import fetch as module
from ddb.data.fetch import fetch
from ddb.errors import DDBError
from tests.ddb.data.file_server import FILES, TARGZ, accept, below, content, download, source, tar, zipped


@pytest.mark.parametrize(("kind", "empty_root"), [("tar.gz", False), ("tar", True), ("zip", False)])
def test_an_archive_becomes_the_data_set_and_leaves_nothing_else(server, monkeypatch, tmp_path, kind, empty_root):
    members = [("README", b"outside of inside"), *below("birds")]
    server.body = {"tar.gz": tar(members), "tar": tar(members, compress=False), "zip": zipped(members)}[kind]
    digest = hashlib.sha256(server.body).hexdigest()
    source(monkeypatch, tmp_path, url=server.url, archive=kind, inside="birds", sha256=digest, bytes=len(server.body))
    root, heard = tmp_path / "data" / "birds", []
    if empty_root:
        root.mkdir(parents=True)
    assert fetch("waterbirds", root, accept, lambda *now: heard.append(now)) == root
    assert content(root) == FILES
    assert list(root.parent.iterdir()) == [root]
    assert heard[0] == (0, len(server.body)) and heard[-1] == (len(server.body), len(server.body))


@pytest.fixture
def interrupted(server, monkeypatch, tmp_path):
    """interrupted(n) downloads n bytes of the server's body and returns the folder that fetch should have made."""

    def download_part(number):
        server.breaks = [number]
        with monkeypatch.context() as patch, pytest.raises(DDBError):
            patch.setattr(module, "RETRIES", 0)
            fetch("waterbirds", tmp_path / "birds", accept)
        return tmp_path / "birds"

    return download_part


def test_a_server_that_gives_no_length_is_read_to_its_end(server, tmp_path):
    server.length, heard = False, []
    fetch("waterbirds", tmp_path / "birds", accept, lambda *now: heard.append(now))
    assert content(tmp_path / "birds") == FILES
    assert heard[-1] == (len(TARGZ), None)


@pytest.mark.parametrize(
    ("behaviour", "requests"),
    [
        ({}, [None, "bytes=100000-", "bytes=150000-"]),
        (
            {"etag": 'W/"v1"', "modified": "Mon, 01 Jan 2024 00:00:00 GMT"},  # a weak ETag may mean other bytes
            [None, "bytes=100000-", "bytes=150000-"],
        ),
        ({"ranges": False}, [None, "bytes=100000-", "bytes=50000-"]),  # the server sends everything again
        ({"shift": 10}, [None, "bytes=100000-", None]),  # a wrong range is not appended
        ({"etag": None}, [None, None, None]),  # without a version, the rest may be of another file
    ],
)
def test_a_broken_connection_resumes_if_the_server_supports_it(server, tmp_path, behaviour, requests):
    vars(server).update(behaviour, breaks=[100_000, 50_000])
    fetch("waterbirds", tmp_path / "birds", accept)
    assert content(tmp_path / "birds") == FILES
    assert server.asked == requests


def test_the_next_call_continues_what_the_retries_could_not_finish(server, monkeypatch, tmp_path):
    root, server.breaks = tmp_path / "birds", [100_000, 0]
    monkeypatch.setattr(module, "RETRIES", 1)
    with pytest.raises(DDBError, match=r"birds.tar.gz: the connection broke after 100,000 of .* DDB_SOURCES"):
        fetch("waterbirds", root, accept)
    assert not root.exists()
    assert (download(root) / "birds.tar.gz.part").read_bytes() == TARGZ[:100_000]
    fetch("waterbirds", root, accept)
    assert server.asked[2:] == ["bytes=100000-"] and content(root) == FILES


@pytest.mark.parametrize("if_range", [True, False])  # False: a server that sends the range of whatever it has now
def test_a_file_that_changed_on_the_server_starts_anew(server, interrupted, if_range):
    server.body = tar(below("birds", {name: data[::-1] for name, data in FILES.items()}))
    root = interrupted(400_000)
    server.body, server.etag, server.if_range = TARGZ, '"v2"', if_range
    fetch("waterbirds", root, accept)
    assert content(root) == FILES
    assert server.asked == [None, "bytes=400000-"] + ([] if if_range else [None])


def test_a_part_longer_than_the_file_starts_anew(server, interrupted):
    root = interrupted(400_000)
    server.body = tar([("birds/train/a.jpg", b"short")])
    fetch("waterbirds", root, lambda folder: None)
    assert content(root) == {"train/a.jpg": b"short"} and server.asked[1:] == ["bytes=400000-", None]


def test_bytes_from_one_address_are_never_continued_from_another(server, monkeypatch, tmp_path, interrupted):
    root = interrupted(100_000)
    source(monkeypatch, tmp_path, url=server.url.replace("/pub/", "/other/"), archive="tar.gz", inside="birds")
    fetch("waterbirds", root, accept)
    assert server.asked == [None, None] and content(root) == FILES
