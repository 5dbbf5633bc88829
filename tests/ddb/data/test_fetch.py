import hashlib
import multiprocessing
import os
import signal
import tarfile
import time

import pytest

from ddb.data import fetch as module
from ddb.data.fetch import fetch
from ddb.errors import DDBError
from tests.ddb.data.file_server import FILES, TARGZ, accept, below, content, download, link, source, tar, zipped


@pytest.mark.parametrize(("kind", "empty_root"), [("tar.gz", False), ("tar", True), ("zip", False)])
def test_an_archive_becomes_the_data_set_and_leaves_nothing_else(server, monkeypatch, tmp_path, kind, empty_root):
    members = [("README", b"outside of inside"), *below("birds")]
    server.body = {"tar.gz": tar(members), "tar": tar(members, compress=False), "zip": zipped(members)}[kind]
    digest = hashlib.sha256(server.body).hexdigest()
    source(monkeypatch, tmp_path, url=server.url, archive=kind, inside="birds", sha256=digest)
    root = tmp_path / "data" / "birds"
    if empty_root:
        root.mkdir(parents=True)
    assert fetch("waterbirds", root, accept) == root
    assert content(root) == FILES
    assert list(root.parent.iterdir()) == [root]


@pytest.mark.parametrize(
    ("behaviour", "requests"),
    [
        ({}, [None, "bytes=100000-", "bytes=150000-"]),
        ({"length": False}, [None]),  # nothing tells that the connection broke; the archive does
        ({"ranges": False}, [None, "bytes=100000-", None]),  # the server sends everything again
        ({"etag": None}, [None, None, None]),  # without a version, the rest may be of another file
    ],
)
def test_a_broken_connection_resumes_if_the_server_supports_it(server, tmp_path, behaviour, requests):
    vars(server).update(behaviour, breaks=[100_000, 50_000] if behaviour.get("length", True) else [])
    fetch("waterbirds", tmp_path / "birds", accept)
    assert content(tmp_path / "birds") == FILES
    assert server.asked == requests


def test_the_next_call_continues_what_the_tries_could_not_finish(server, monkeypatch, tmp_path):
    root, server.breaks = tmp_path / "birds", [100_000]
    monkeypatch.setattr(module, "TRIES", 1)
    with pytest.raises(DDBError, match=rf"^{server.url}: transfer closed .* DDB_SOURCES.* by hand at {root}$"):
        fetch("waterbirds", root, accept)
    assert not root.exists() and (download(root) / "part").read_bytes() == TARGZ[:100_000]
    fetch("waterbirds", root, accept)
    assert server.asked == [None, "bytes=100000-"] and content(root) == FILES and not download(root).exists()


def test_a_file_that_changed_on_the_server_starts_anew(server, monkeypatch, tmp_path):
    root, server.breaks = tmp_path / "birds", [100_000]
    server.body = tar(below("birds", {name: data[::-1] for name, data in FILES.items()}))
    with monkeypatch.context() as patch, pytest.raises(DDBError):
        patch.setattr(module, "TRIES", 1)
        fetch("waterbirds", root, accept)
    server.body, server.etag = TARGZ, '"v2"'
    fetch("waterbirds", root, accept)
    assert content(root) == FILES and server.asked == [None, "bytes=100000-", None]


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (503, 3)])
def test_an_http_error_is_one_line_that_says_what_to_do(server, tmp_path, status, requests):
    server.status, root = status, tmp_path / "birds"
    with pytest.raises(DDBError) as caught:
        fetch("waterbirds", root, accept)
    message = str(caught.value)
    assert message.startswith(f"{server.url}: The requested URL returned error: {status}") and "\n" not in message
    assert len(server.asked) == requests and not root.exists() and not download(root).exists()


def _fetch_in_child(root):
    def verify(folder):
        (root.parent / "verifying").touch()
        time.sleep(300)

    fetch("waterbirds", root, verify)


@pytest.mark.parametrize("moment", ["downloading", "verifying"])
def test_a_killed_fetch_leaves_nothing_that_looks_finished_and_continues(server, tmp_path, moment):
    """While its curl lives on, nobody else may write the part."""
    root = tmp_path / "birds"
    part, verifying = download(root) / "part", tmp_path / "verifying"
    if moment == "downloading":
        server.stall.clear()
        server.breaks = [100_000]
    child = multiprocessing.get_context("spawn").Process(target=_fetch_in_child, args=(root,))
    child.start()
    reached = verifying if moment == "verifying" else part
    while not reached.exists() or (reached == part and not part.stat().st_size):  # curl writes in blocks
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert not root.exists()
    if moment == "downloading":
        with pytest.raises(DDBError, match="another process is downloading this data set"):
            fetch("waterbirds", root, accept)
    server.stall.set()
    while True:
        try:
            fetch("waterbirds", root, accept)
            break
        except DDBError as error:
            assert "another process" in str(error)
            time.sleep(0.02)
    assert content(root) == FILES and not download(root).exists()
    assert [asked and asked[:6] for asked in server.asked] == [None, "bytes="][: 1 + (moment == "downloading")]


def test_existing_data_is_never_touched(server, tmp_path):
    root = tmp_path / "birds"
    root.mkdir()
    (root / "mine").touch()
    with pytest.raises(DDBError, match=f"^{root}: the data set is already there"):
        fetch("waterbirds", root, accept)
    with pytest.raises(DDBError, match="mine is not a folder"):
        fetch("waterbirds", root / "mine", accept)
    with pytest.raises(DDBError, match="cannot be written: Not a directory"):
        fetch("waterbirds", root / "mine" / "birds", accept)
    assert [path.name for path in root.iterdir()] == ["mine"] and not server.asked


def test_data_that_appears_during_the_download_is_not_replaced(server, tmp_path):
    root = tmp_path / "birds"

    def meanwhile(folder):
        root.mkdir()
        (root / "mine").touch()

    with pytest.raises(DDBError, match="cannot be written: Directory not empty"):
        fetch("waterbirds", root, meanwhile)
    assert [path.name for path in root.iterdir()] == ["mine"]


def test_a_root_behind_a_symlink_is_filled_where_it_points(server, tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "birds").symlink_to(tmp_path / "scratch" / "birds")
    assert fetch("waterbirds", tmp_path / "birds", accept) == tmp_path / "birds"
    assert (tmp_path / "birds").is_symlink() and content(tmp_path / "scratch" / "birds") == FILES


@pytest.mark.parametrize("kind", ["tar.gz", "tar", "zip"])
def test_a_damaged_archive_is_deleted_and_the_next_try_starts_anew(server, monkeypatch, tmp_path, kind):
    source(monkeypatch, tmp_path, url=server.url, archive=kind, inside="birds")
    whole = {"tar.gz": TARGZ, "tar": tar(below("birds"), compress=False), "zip": zipped(below("birds"))}[kind]
    server.body, root = whole[: len(whole) // 2], tmp_path / "birds"
    with pytest.raises(DDBError, match=rf"birds.tar.gz: is not a whole and safe {kind} archive .*deleted"):
        fetch("waterbirds", root, lambda folder: None)
    assert not root.exists() and not download(root).exists()
    server.body = whole
    fetch("waterbirds", root, accept)
    assert server.asked == [None, None] and content(root) == FILES


@pytest.mark.parametrize(
    "member",
    [
        ("birds/../../outside", b"x"),
        link("birds/x", "../../outside", tarfile.SYMTYPE),
        link("birds/x", "/outside", tarfile.LNKTYPE),
        link("birds/x", "", tarfile.CHRTYPE),
    ],
    ids=["up", "symlink", "hardlink", "device"],
)
def test_an_archive_that_leads_out_is_refused_whole(server, tmp_path, member):
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    server.body, before = tar([*below("birds"), member]), set(tmp_path.rglob("*"))
    with pytest.raises(DDBError, match="is not a whole and safe tar"):
        fetch("waterbirds", tmp_path / "root", lambda folder: None)
    assert outside.read_bytes() == b"mine" and set(tmp_path.rglob("*")) == before


def test_members_of_a_zip_that_lead_out_are_left_out(server, monkeypatch, tmp_path):
    """Python's zipfile has no filter that refuses; the published counts judge what is left."""
    server.body = zipped([*below("birds"), ("birds/../../../outside", b"x"), ("/birds/outside", b"x")])
    source(monkeypatch, tmp_path, url=server.url, archive="zip", inside="birds")
    assert content(fetch("waterbirds", tmp_path / "birds", accept)) == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"birds", "mirror.yaml"}


def test_another_checksum_or_content_is_not_put_in_place(server, monkeypatch, tmp_path):
    def refuse(folder):
        raise DDBError("train holds 2 images instead of 4,795")

    root = tmp_path / "birds"
    root.mkdir()
    with pytest.raises(DDBError, match=r"is not this data set: train holds 2 images.*nothing is put in place"):
        fetch("waterbirds", root, refuse)
    source(monkeypatch, tmp_path, url=server.url, archive="tar.gz", inside="birds", sha256="0" * 64)
    with pytest.raises(DDBError, match=f"has sha256 .* instead of {'0' * 64}; the download is deleted"):
        fetch("waterbirds", root, accept)
    source(monkeypatch, tmp_path, url=server.url, archive="tar.gz", inside="birds/train2")
    with pytest.raises(DDBError, match="holds no folder 'birds/train2'"):
        fetch("waterbirds", root, accept)
    assert not list(root.iterdir()) and not download(root).exists()
