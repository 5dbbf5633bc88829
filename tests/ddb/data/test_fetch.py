import gzip
import hashlib
import io
import multiprocessing
import os
import random
import shutil
import signal
import socket
import stat
import tarfile
import threading
import time
import zipfile
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from ddb.data import fetch as module
from ddb.data.extract import BadArchiveError, extract
from ddb.data.fetch import fetch, load_sources
from ddb.errors import DDBError

FILES = {  # incompressible, so that half an archive is half the data; one a multiple of tar's block
    "train/a.jpg": random.Random(1).randbytes(300_000),
    "train/b.jpg": random.Random(2).randbytes(512 * 400),
    "test/c.jpg": b"c",
}


def tar(members, compress=True):
    """`members`: (name, bytes) for a file, or a TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if compress else "w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def below(folder, files=FILES):
    return [(f"{folder}/{name}", content) for name, content in files.items()]


TARGZ = tar([*below("birds"), ("README", b"outside of inside")])


def content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}


def accept(folder):
    assert content(folder) == FILES


class Server(ThreadingHTTPServer):
    """Serves `body` at every path; what it is told to do wrong, and what it was asked, are attributes."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag, self.modified, self.status = TARGZ, '"v1"', None, 200
        self.ranges = self.if_range = self.length = True
        self.shift = 0  # bytes by which a range starts too early
        self.breaks = []  # bytes after which each of the next connections breaks
        self.stall = threading.Event()  # a broken connection stays open until this is set
        self.stall.set()
        self.asked = []  # Range headers of all requests
        self.url = f"http://127.0.0.1:{self.server_port}/pub/birds.tar.gz"

    def handle_error(self, request, client_address):
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers["Range"])
        body, start, status = server.body, 0, server.status
        if self.headers["Range"] and server.ranges:
            same = self.headers["If-Range"] in (server.etag, server.modified) or not server.if_range
            if same and not self.headers["If-Range"].startswith("W/") and status == 200:
                start, status = int(self.headers["Range"][len("bytes=") : -1]) - server.shift, 206
                if start >= len(body):
                    status = 416
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.modified:
            self.send_header("Last-Modified", server.modified)
        body = body[start:] if status < 300 else b"<html>no</html>"
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.breaks.pop(0)] if server.breaks else body)
        self.wfile.flush()
        server.stall.wait(20)


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "BACKOFF", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        source(monkeypatch, tmp_path, url=running.url, archive="tar.gz", inside="birds")
        yield running
        running.stall.set()
        running.shutdown()


def source(monkeypatch, tmp_path, name="waterbirds", **fields):
    """Let DDB_SOURCES say `fields` of `name`."""
    path = tmp_path / "mirror.yaml"
    path.write_text(yaml.safe_dump({name: fields}))
    monkeypatch.setenv("DDB_SOURCES", str(path))


def download(root):
    return root.with_name(root.name + ".download")


@pytest.mark.parametrize("kind", ["tar.gz", "tar", "zip"])
@pytest.mark.parametrize("empty_root", [False, True])
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


def test_a_server_that_gives_no_length_is_read_to_its_end(server, tmp_path):
    server.length, heard = False, []
    fetch("waterbirds", tmp_path / "birds", accept, lambda *now: heard.append(now))
    assert content(tmp_path / "birds") == FILES
    assert heard[-1] == (len(TARGZ), None)


@pytest.mark.parametrize(("etag", "modified"), [('"v1"', None), ('W/"v1"', "Mon, 01 Jan 2024 00:00:00 GMT")])
def test_a_broken_connection_continues_where_it_broke(server, tmp_path, etag, modified):
    server.etag, server.modified, server.breaks = etag, modified, [100_000, 50_000]
    fetch("waterbirds", tmp_path / "birds", accept)
    assert content(tmp_path / "birds") == FILES
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_the_next_call_continues_what_the_retries_could_not_finish(server, monkeypatch, tmp_path):
    root, server.breaks = tmp_path / "birds", [100_000, 0]
    monkeypatch.setattr(module, "RETRIES", 1)
    with pytest.raises(DDBError, match=r"birds.tar.gz: the connection broke after 100,000 of .* DDB_SOURCES"):
        fetch("waterbirds", root, accept)
    assert not root.exists()
    assert (download(root) / "birds.tar.gz.part").read_bytes() == TARGZ[:100_000]
    fetch("waterbirds", root, accept)
    assert server.asked[2:] == ["bytes=100000-"] and content(root) == FILES


def test_a_server_that_ignores_ranges_is_asked_for_everything_again(server, tmp_path):
    server.ranges, server.breaks = False, [100_000]
    fetch("waterbirds", tmp_path / "birds", accept)
    assert server.asked == [None, "bytes=100000-"] and content(tmp_path / "birds") == FILES


def test_another_range_than_asked_for_is_not_appended(server, tmp_path):
    server.shift, server.breaks = 10, [100_000]
    fetch("waterbirds", tmp_path / "birds", accept)
    assert server.asked == [None, "bytes=100000-", None] and content(tmp_path / "birds") == FILES


def test_without_a_version_the_rest_of_a_file_is_not_trusted(server, tmp_path):
    server.etag, server.breaks = None, [100_000]
    fetch("waterbirds", tmp_path / "birds", accept)
    assert server.asked == [None, None] and content(tmp_path / "birds") == FILES


@pytest.mark.parametrize("if_range", [True, False])  # False: a server that sends the range of whatever it has now
def test_a_file_that_changed_on_the_server_starts_anew(server, monkeypatch, tmp_path, if_range):
    server.body = tar(below("birds", {name: data[::-1] for name, data in FILES.items()}))
    server.breaks, root = [400_000], tmp_path / "birds"
    monkeypatch.setattr(module, "RETRIES", 0)
    with pytest.raises(DDBError):
        fetch("waterbirds", root, accept)
    monkeypatch.setattr(module, "RETRIES", 1)
    server.body, server.etag, server.if_range = TARGZ, '"v2"', if_range
    fetch("waterbirds", root, accept)
    assert content(root) == FILES
    assert server.asked == [None, "bytes=400000-"] + ([] if if_range else [None])


def test_a_part_longer_than_the_file_starts_anew(server, monkeypatch, tmp_path):
    server.breaks, root = [400_000], tmp_path / "birds"
    monkeypatch.setattr(module, "RETRIES", 0)
    with pytest.raises(DDBError):
        fetch("waterbirds", root, accept)
    monkeypatch.setattr(module, "RETRIES", 1)
    server.body = tar([("birds/train/a.jpg", b"short")])
    fetch("waterbirds", root, lambda folder: None)
    assert content(root) == {"train/a.jpg": b"short"} and server.asked[1:] == ["bytes=400000-", None]


def test_bytes_from_one_address_are_never_continued_from_another(server, monkeypatch, tmp_path):
    server.breaks, root = [100_000], tmp_path / "birds"
    monkeypatch.setattr(module, "RETRIES", 0)
    with pytest.raises(DDBError):
        fetch("waterbirds", root, accept)
    source(monkeypatch, tmp_path, url=server.url.replace("/pub/", "/other/"), archive="tar.gz", inside="birds")
    fetch("waterbirds", root, accept)
    assert server.asked == [None, None] and content(root) == FILES


@pytest.mark.parametrize("kind", ["tar.gz", "tar", "zip"])
@pytest.mark.parametrize("at", ["middle", "between members", "last byte"])
def test_a_truncated_archive_is_deleted_and_the_next_try_starts_anew(server, monkeypatch, tmp_path, kind, at):
    source(monkeypatch, tmp_path, url=server.url, archive=kind, inside="birds")
    whole = {"tar.gz": TARGZ, "tar": tar(below("birds"), compress=False), "zip": zipped(below("birds"))}[kind]
    if at == "between members":  # tarfile takes this for the end
        cut = tar(below("birds"), compress=False)[: 512 + 586 * 512]
        server.body = gzip.compress(cut) if kind == "tar.gz" else cut if kind == "tar" else whole[:300_000]
    elif at == "middle":
        server.body = whole[: len(whole) // 2]
    else:
        server.body = whole[:-1] if kind != "tar" else whole[: whole.rindex(b"c") + 1]
    root = tmp_path / "birds"
    with pytest.raises(DDBError, match=rf"birds.tar.gz: not a whole {kind} archive .*deleted"):
        fetch("waterbirds", root, lambda folder: None)
    assert not root.exists() and not download(root).exists()
    server.body = whole
    fetch("waterbirds", root, accept)
    assert server.asked == [None, None] and content(root) == FILES


def test_damaged_bytes_are_one_clear_error(tmp_path):
    """Three turned bytes: BadArchiveError and nothing else, unless they hit what no checksum guards."""
    dice = random.Random(0)
    small = [("birds/a", b"a" * 2000), ("birds/d/b", dice.randbytes(700))]
    wholes = {"tar.gz": tar(small), "zip": zipped(small), "tar": tar(small, compress=False)}
    refused = 0
    for turn in range(300):
        kind = ["tar.gz", "zip", "tar"][turn % 3]
        damaged = bytearray(wholes[kind])
        for _ in range(3):
            damaged[dice.randrange(len(damaged))] ^= dice.randrange(1, 256)
        (tmp_path / "damaged").write_bytes(damaged)
        try:
            extract(tmp_path / "damaged", kind, "", tmp_path / f"out{turn}")
        except BadArchiveError:
            refused += 1
    assert refused > 150


def test_a_name_that_is_no_text_is_one_clear_error(tmp_path):
    (tmp_path / "damaged").write_bytes(zipped([("é", b"x")]).replace("é".encode(), b"\xff\xff"))
    with pytest.raises(BadArchiveError, match="not a whole zip archive"):
        extract(tmp_path / "damaged", "zip", "", tmp_path / "out")


def _symlink_in_zip():
    info = zipfile.ZipInfo("birds/x")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


SYM, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
UNSAFE = {
    "tar up": tar([("birds/../../outside", b"x")]),
    "tar up, not wanted": tar([("elsewhere/../../../outside", b"x")]),
    "tar absolute": tar([("/birds/outside", b"x")]),
    "tar symlink up": tar([link("birds/x", "../outside", SYM)]),
    "tar symlink absolute": tar([link("birds/x", "/outside", SYM)]),
    "tar symlink through itself": tar([link("birds/d/x", "..", SYM), link("birds/y", "d/x/../outside", SYM)]),
    "tar file below a symlink": tar([link("birds/x", "train", SYM), ("birds/x/outside", b"x")]),
    "tar hardlink up": tar([link("birds/x", "../outside", HARD)]),
    "tar hardlink absolute": tar([link("birds/x", "/outside", HARD)]),
    "tar hardlink out of inside": tar([("outside", b"x"), link("birds/x", "outside", HARD)]),
    "tar hardlink to a symlink": tar([link("birds/d/x", "../train", SYM), link("birds/y", "birds/d/x", HARD)]),
    "tar device": tar([link("birds/x", "", tarfile.CHRTYPE)]),
    "tar pipe": tar([link("birds/x", "", tarfile.FIFOTYPE)]),
    "zip up": zipped([("birds/../../outside", b"x")]),
    "zip absolute": zipped([("/birds/outside", b"x")]),
    "zip up on Windows": zipped([("birds/..\\..\\outside", b"x")]),
    "zip symlink": zipped([(_symlink_in_zip(), "../outside")]),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_an_archive_that_leads_out_is_refused_whole(server, monkeypatch, tmp_path, case):
    kind = "zip" if case.startswith("zip") else "tar.gz"
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    source(monkeypatch, tmp_path, url=server.url, archive=kind, inside="birds")
    server.body, before = UNSAFE[case], set(tmp_path.rglob("*"))
    with pytest.raises(DDBError, match=r"unsafe archive: member '.*(outside|birds/).*' (is|leads|lies)"):
        fetch("waterbirds", tmp_path / "root", lambda folder: None)
    assert outside.read_bytes() == b"mine" and set(tmp_path.rglob("*")) == before and not Path("/outside").exists()


def test_links_that_stay_within_are_kept(server, tmp_path):
    server.body = tar([
        *below("birds"),
        link("birds/val", "test", SYM),
        link("birds/val2/c.jpg", "../val/c.jpg", SYM),
        link("birds/hard.jpg", "birds/test/c.jpg", HARD),
    ])  # fmt: skip
    root = fetch("waterbirds", tmp_path / "birds", lambda folder: None)
    assert [(root / name).read_bytes() for name in ("val/c.jpg", "val2/c.jpg", "hard.jpg")] == [b"c", b"c", b"c"]
    assert (root / "hard.jpg").samefile(root / "test/c.jpg")


def test_modes_in_an_archive_neither_hide_files_nor_make_them_run_as_another_user(server, tmp_path):
    hidden, risky = tarfile.TarInfo("birds/hidden"), tarfile.TarInfo("birds/risky")
    hidden.mode, risky.mode = 0o000, 0o6777
    server.body = tar([hidden, risky])
    root = fetch("waterbirds", tmp_path / "birds", lambda folder: None)
    assert [stat.S_IMODE((root / name).stat().st_mode) for name in ("hidden", "risky")] == [0o600, 0o755]


@pytest.mark.parametrize("field", ["sha256", "bytes"])
def test_a_file_that_is_not_the_known_one_is_refused_and_deleted(server, monkeypatch, tmp_path, field):
    wrong = {"sha256": "0" * 64, "bytes": len(TARGZ) + 1}[field]
    right = {"sha256": hashlib.sha256(TARGZ).hexdigest(), "bytes": len(TARGZ)}[field]
    source(monkeypatch, tmp_path, url=server.url, archive="tar.gz", inside="birds", **{field: wrong})
    root = tmp_path / "birds"
    shown = f"{wrong:,}" if field == "bytes" else wrong
    with pytest.raises(DDBError, match=f"has .* instead of {shown}; the download is deleted"):
        fetch("waterbirds", root, accept)
    assert not root.exists() and not download(root).exists()
    source(monkeypatch, tmp_path, url=server.url, archive="tar.gz", inside="birds", **{field: right})
    fetch("waterbirds", root, accept)
    assert server.asked == [None, None]


def test_what_verify_refuses_is_not_put_in_place(server, tmp_path):
    def refuse(folder):
        accept(folder)
        raise DDBError("train holds 2 images instead of 4,795")

    root = tmp_path / "birds"
    root.mkdir()
    with pytest.raises(DDBError, match=r"not this data set: train holds 2 images.*nothing is put in place"):
        fetch("waterbirds", root, refuse)
    assert not list(root.iterdir()) and not download(root).exists()
    fetch("waterbirds", root, accept)
    assert server.asked == [None, None]


def test_an_archive_without_the_folder_is_refused(server, monkeypatch, tmp_path):
    source(monkeypatch, tmp_path, url=server.url, archive="tar.gz", inside="birds/train2")
    with pytest.raises(DDBError, match="holds no folder 'birds/train2'"):
        fetch("waterbirds", tmp_path / "birds", lambda folder: None)
    assert not (tmp_path / "birds").exists()


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


@pytest.mark.parametrize("host", ["refused", "no such host"])
def test_a_host_that_cannot_be_reached_is_told_at_once(monkeypatch, tmp_path, host):
    monkeypatch.setattr(module, "BACKOFF", 1000)
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:  # bound and not listening: nobody else gets the port meanwhile
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}" if host == "refused" else "ddb.invalid"
        source(monkeypatch, tmp_path, url=f"http://{address}/birds.tar.gz")
        with pytest.raises(DDBError, match=rf"^http://{address}/birds.tar.gz: [A-Z].*DDB_SOURCES.*by hand at [^\n]+$"):
            fetch("waterbirds", tmp_path / "birds", accept)


def test_a_server_that_falls_silent_is_left_and_the_part_kept(server, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    monkeypatch.setattr(module, "RETRIES", 0)
    server.stall.clear()
    server.breaks = [module.CHUNK + 1]
    with pytest.raises(DDBError, match=r"birds.tar.gz: (timed out|.*timed out); .*DDB_SOURCES"):
        fetch("waterbirds", tmp_path / "birds", accept)
    assert (download(tmp_path / "birds") / "birds.tar.gz.part").stat().st_size == module.CHUNK


def _fetch_in_child(root, hang):
    def verify(folder):
        accept(folder)
        if hang:
            (root.parent / "verifying").touch()
            time.sleep(60)

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
    reached = part if moment == "downloading" else tmp_path / "verifying"
    deadline = time.monotonic() + 60
    while not reached.exists() and time.monotonic() < deadline:
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


@pytest.mark.parametrize("name", ["bffhq", "imagenet9", "urbancars"])
def test_what_cannot_be_downloaded_says_where_files_go(monkeypatch, tmp_path, name):
    monkeypatch.delenv("DDB_SOURCES", raising=False)
    root = tmp_path / "data" / name
    with pytest.raises(DDBError) as caught:
        fetch(name, root, accept)
    shown = {"bffhq": "<pct>/align/<class>/", "imagenet9": "imagenet-a/<wnid>/*.jpg", "urbancars": "test/<group>"}[name]
    assert f"{root}/" in str(caught.value) and shown in str(caught.value) and "{root}" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_mirror_serves_what_has_no_public_address(server, monkeypatch, tmp_path):
    source(monkeypatch, tmp_path, "bffhq", url=server.url, archive="tar.gz", inside="birds")
    fetch("bffhq", tmp_path / "bffhq", accept)
    assert any((tmp_path / "bffhq").iterdir())


def test_the_built_in_sources_are_whole(monkeypatch):
    monkeypatch.delenv("DDB_SOURCES", raising=False)
    sources = load_sources()
    assert sorted(sources) == ["bar", "bffhq", "imagenet9", "urbancars", "waterbirds"]
    assert sources["bar"].archive == "zip" and sources["bar"].inside == "BAR-master"
    wnids = {word for word in sources["imagenet9"].instructions.split() if word.startswith("n0")}
    assert len(wnids) == 42


def test_ddb_sources_replaces_field_by_field(monkeypatch, tmp_path):
    monkeypatch.delenv("DDB_SOURCES", raising=False)
    before = load_sources()
    source(monkeypatch, tmp_path, url="https://mirror.example.org/w.tar.gz")
    after = load_sources()
    assert after["waterbirds"].url == "https://mirror.example.org/w.tar.gz"
    assert after["waterbirds"].inside == before["waterbirds"].inside and after["bar"] == before["bar"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("waterbirds: {urll: x}", r"waterbirds.urll: unknown setting; did you mean 'url'\?"),
        ("waterbird: {url: x}", "'waterbird' is unknown; did you mean 'waterbirds'"),
        ("waterbirds: {url: 'file:///etc/x'}", "waterbirds.url: "),
        ("waterbirds: {url: 'http://host'}", "waterbirds.url: "),
        ("waterbirds: {inside: ../up}", "waterbirds.inside: must be a folder within the archive"),
        ("waterbirds: {sha256: abc}", "waterbirds.sha256: "),
        ("bffhq: {url: 'https://host/b.zip'}", "bffhq: a url needs archive"),
        ("waterbirds: {url: null}", "waterbirds: needs a url or instructions"),
        ("- waterbirds", "must hold entries"),
        ("waterbirds: text", "must hold entries"),
        ("waterbirds: {", "not YAML"),
    ],
)
def test_a_mistake_in_a_mirror_file_names_the_file_and_the_field(monkeypatch, tmp_path, text, message):
    path = tmp_path / "mirror.yaml"
    path.write_text(text)
    monkeypatch.setenv("DDB_SOURCES", str(path))
    with pytest.raises(DDBError, match=message) as caught:
        load_sources()
    assert str(path) in str(caught.value)


def test_a_missing_mirror_file_and_an_unknown_name_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("DDB_SOURCES", str(tmp_path / "none.yaml"))
    with pytest.raises(DDBError, match=r"none.yaml: No such file"):
        load_sources()
    monkeypatch.delenv("DDB_SOURCES")
    with pytest.raises(DDBError, match="'waterbird' has no source; did you mean 'waterbirds'"):
        fetch("waterbird", tmp_path / "birds", accept)


def test_an_old_python_is_told_before_the_download(server, monkeypatch, tmp_path):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(DDBError, match=r"update to 3\.10\.12, 3\.11\.4"):
        fetch("waterbirds", tmp_path / "birds", accept)
    assert not server.asked
