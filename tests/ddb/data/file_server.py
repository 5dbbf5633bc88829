"""A server of one archive that misbehaves as it is told, and the archives that it serves."""

import io
import random
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

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
        self.body, self.etag, self.status = TARGZ, '"v1"', 200
        self.ranges = self.length = True
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
        end = server.breaks.pop(0) if server.breaks else None  # now: the next request may begin before this one ends
        body, start, status = server.body, 0, server.status
        if self.headers["Range"] and server.ranges and self.headers["If-Range"] == server.etag and status == 200:
            start, status = int(self.headers["Range"][len("bytes=") : -1]), 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        body = body[start:] if status < 300 else b"<html>no</html>"
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:end])
        self.wfile.flush()
        server.stall.wait(300)


def source(monkeypatch, tmp_path, name="waterbirds", **fields):
    """Let DDB_SOURCES say `fields` of `name`."""
    path = tmp_path / "mirror.yaml"
    path.write_text(yaml.safe_dump({name: fields}))
    monkeypatch.setenv("DDB_SOURCES", str(path))


def download(root):
    return root.with_name(root.name + ".download")
