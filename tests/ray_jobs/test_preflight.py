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


@pytest.fixture
def listener():
    """A socket of this machine that takes connections, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


def test_where_nobody_listens_is_told_at_once(listener):
    server, address = listener
    server.close()
    for name in (address, f"ray://{address}"):
        with pytest.raises(DDBError, match=rf"^RAY_ADDRESS={name}: no Ray answers there \(Connection refused\); name"):
            reachable(name)


def test_who_listens_and_says_nothing_is_given_up(listener, monkeypatch):
    monkeypatch.setattr(preflight, "PATIENCE", 0.2)
    with pytest.raises(DDBError, match=r"no Ray answers there \(no answer\)"):
        reachable(listener[1])


def test_who_speaks_otherwise_is_no_ray(listener):
    server, address = listener

    def answer():
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(DDBError, match=r"\(what listens there is no Ray\)"):
        reachable(address)
    thread.join()


@pytest.fixture
def asked(monkeypatch):
    """Where connections are made to; they are made."""
    places, connect = [], socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda place, *more: places.append(place) or connect(place, *more))
    return places


@pytest.mark.parametrize("address", ["auto", "local", "anyscale://x"])
def test_a_name_that_only_ray_understands_is_left_to_it(address, asked):
    reachable(address)
    assert asked == []


@pytest.mark.cluster
def test_a_ray_is_taken_for_one(capacity, asked):
    import ray

    port = int(ray.get_runtime_context().gcs_address.rpartition(":")[2])
    reachable(f"127.0.0.1:{port}")  # without an error
    assert asked == [("127.0.0.1", port)]


@pytest.fixture
def temporary(monkeypatch):
    """Sets a variable to a folder, and forgets it afterwards."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)

    def name(folder: Path, variable="TMPDIR"):
        monkeypatch.setenv(variable, str(folder))
        monkeypatch.setattr(tempfile, "tempdir", None)

    return name


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize("name", ["x" * 90, "a b"])
def test_a_name_that_does_not_fit_ray_is_shortened_for_the_block(variable, name, tmp_path, temporary):
    long = tmp_path / name
    long.mkdir()
    temporary(long, variable)
    with short_names():
        short = Path(os.environ[variable])
        assert len(str(short)) <= LONGEST and " " not in str(short)
        (short / "file").write_text("there")
    assert (long / "file").read_text() == "there" and os.environ[variable] == str(long)
    assert not short.parent.exists() and [each.name for each in long.iterdir()] == ["file"]


def test_what_fits_stays_as_it_is(temporary):
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        temporary(name)
        with short_names():
            assert os.environ["TMPDIR"] == name


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, temporary, monkeypatch):
    temporary(tmp_path / "absent")
    with (
        pytest.raises(DDBError, match=r"^TMPDIR: Ray cannot keep its session in .*absent: No such"),
        short_names(),
    ):
        pass
    temporary(tmp_path)
    monkeypatch.setattr(preflight, "NEEDED", 1e30)
    with pytest.raises(DDBError, match=r"^TMPDIR: no space left for Ray's session in"), short_names():
        pass


def test_where_no_short_name_can_be_made_the_limit_is_told(tmp_path, temporary, monkeypatch):
    temporary(tmp_path)
    monkeypatch.setattr(preflight, "LONGEST", 3)
    monkeypatch.setattr(preflight, "SHORT", (str(tmp_path / "absent"),))
    with pytest.raises(DDBError, match=r"is too long for Ray.*name a folder of at most 3 bytes"), short_names():
        pass
