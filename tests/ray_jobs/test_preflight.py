"""What would make Ray wait, or raise, is one line before Ray is asked."""

import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest

from ddb.errors import DDBError
from ray_jobs import preflight
from ray_jobs.preflight import LONGEST, reachable, short_names


def test_an_address_where_no_ray_answers_is_refused(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(preflight, "PATIENCE", 0.2)
        with pytest.raises(DDBError, match=r"no Ray answers there \(no answer\)"):
            reachable(address)
        server.accept()[0].close()

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        monkeypatch.setattr(preflight, "PATIENCE", 60)
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DDBError, match=r"\(what listens there is no Ray\)"):
            reachable(address)
        thread.join()
    for name in (address, f"ray://{address}"):
        with pytest.raises(DDBError, match=rf"^RAY_ADDRESS={name}: no Ray answers there \(Connection refused\); name"):
            reachable(name)


def test_a_name_that_only_ray_understands_is_left_to_it(monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "create_connection", lambda *arguments, **options: asked.append(arguments))
    for address in ("auto", "local", "anyscale://x"):
        reachable(address)
    assert not asked


@pytest.fixture(autouse=True)
def _no_temporary_folder(monkeypatch):
    """No variable names a folder for temporary files, and Python remembers none."""
    for variable in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.mark.parametrize(("variable", "name"), [("TMPDIR", "x" * 90), ("RAY_TMPDIR", "a b")])
def test_a_name_that_does_not_fit_ray_is_shortened_for_the_block(variable, name, tmp_path, monkeypatch):
    long = tmp_path / name
    long.mkdir()
    monkeypatch.setenv(variable, str(long))
    with short_names():
        short = Path(os.environ[variable])
        assert len(str(short)) <= LONGEST and " " not in str(short)
        (short / "file").write_text("there")
    assert (long / "file").read_text() == "there" and os.environ[variable] == str(long)
    assert not short.parent.exists() and [each.name for each in long.iterdir()] == ["file"]


def test_a_folder_that_ray_cannot_use_is_one_line(tmp_path, monkeypatch):
    def refused(reason):
        with pytest.raises(DDBError, match=reason), short_names():
            pass

    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    refused(r"^TMPDIR: Ray cannot keep its session in .*absent: No such")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(preflight, "LONGEST", 3)
    monkeypatch.setattr(preflight, "SHORT", (str(tmp_path / "absent"),))
    refused(r"is too long for Ray.*name a folder of at most 3 bytes")
    monkeypatch.setattr(preflight, "NEEDED", 1e30)
    refused(r"^TMPDIR: no space left for Ray's session in")
