"""Tiny image files on disk, a cache of digests for each test alone, and a server to fetch from."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.ddb.data.file_server import Server, source


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The folder that the digests of files are kept in, empty; DDB_CACHE names it."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DDB_CACHE", str(folder))
    return folder


@pytest.fixture
def picture():
    """Writes a small picture of one grey value."""

    def write(path: Path, value: int = 0, size: tuple[int, int] = (6, 5)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size[1], size[0], 3), value % 256, np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def put(tmp_path, picture):
    """put("a/b.png", ...) writes small pictures below tmp_path."""

    def write(*names):
        for name in names:
            picture(tmp_path / name)

    return write


@pytest.fixture
def unlistable(monkeypatch):
    """Folders called "shut" cannot be listed."""
    original = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)


@pytest.fixture
def real():
    """The folder of a real data set below DDB_DATA; the test is skipped where it is not there."""

    def find(name: str) -> Path:
        home = os.environ.get("DDB_DATA")
        if not home or not (Path(home) / name).is_dir():
            pytest.skip(f"DDB_DATA is not set, or has no {name}")
        return Path(home) / name

    return find


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        source(monkeypatch, tmp_path, url=running.url, archive="tar.gz", inside="birds")
        yield running
        running.stall.set()
        running.shutdown()
