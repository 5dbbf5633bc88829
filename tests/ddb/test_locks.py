"""Locks of both kinds between real processes, on file systems whose flock fails as others' do."""

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from ddb import lock_kind, locks
from ddb.artifacts import Elsewhere, Stage, Store
from ddb.errors import DDBError
from ddb.locks import Flock, Lease

STAGE = Stage("cdpm", {"steps": 3}, 1)
SPAWN = multiprocessing.get_context("spawn")
KINDS = pytest.mark.parametrize("kind", [Flock, Lease])


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv(lock_kind.SETTING, raising=False)


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock by which leases are judged, in seconds: `now` moves only when a test says so."""
    hand = SimpleNamespace(now=0.0)
    monkeypatch.setattr(locks, "time", SimpleNamespace(monotonic=lambda: hand.now))
    return hand


def until(condition):
    while not condition():
        time.sleep(0.02)


def missing_flock(descriptor, operation):
    """Lustre mounted without -o flock."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def useless_flock(descriptor, operation):
    """A server that says yes to everybody."""


def hold(kind, path):
    assert kind(path).acquire()
    time.sleep(3600)


@KINDS
def test_one_at_a_time_and_free_again_once_released(kind, tmp_path):
    first, second = kind(tmp_path / "a"), kind(tmp_path / "a")
    assert not second.held() and first.acquire()
    assert second.held() and not second.acquire() and not first.lost()
    assert second.owner().endswith(f"process {os.getpid()}")
    first.release()
    assert not second.held() and second.acquire()
    second.release()


@KINDS
def test_a_killed_holder_is_followed_at_once(kind, tmp_path):
    holder, watcher = SPAWN.Process(target=hold, args=(kind, tmp_path / "a")), kind(tmp_path / "a")
    holder.start()
    until(watcher.held)
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert not watcher.held() and watcher.acquire() and not watcher.lost()
    watcher.release()


def of_another_machine(path, token="theirs"):
    path.write_text(json.dumps({"host": "n7", "pid": 1, "started": 1, "machine": "other", "token": token}))


def test_a_lease_of_another_node_ends_when_nobody_touches_it_whatever_its_clock_says(tmp_path, clock):
    path, watcher = tmp_path / "a", Lease(tmp_path / "a")
    of_another_machine(path)
    for future in (10**9, 2 * 10**9, 3 * 10**9):  # a living holder, whose node has lost its time
        os.utime(path, (future, future))
        clock.now += 100
        assert watcher.held() and not watcher.acquire()
    assert watcher.owner() == "n7, process 1"
    clock.now += locks.DURATION
    assert watcher.held()
    clock.now += 1
    assert not watcher.held() and watcher.acquire()
    assert not watcher.lost() and sorted(tmp_path.iterdir()) == [path]
    watcher.release()
    assert not path.exists()


def test_a_lease_ends_too_whose_holder_died_while_writing_it_and_an_election_whose_winner_died(tmp_path, clock):
    (tmp_path / "a").touch()
    of_another_machine(tmp_path / "b")
    of_another_machine(tmp_path / "b.over-theirs")
    # "b" is seen, then its election, which is removed, and then the lease is taken.
    for watcher, looks in ((Lease(tmp_path / "a"), 1), (Lease(tmp_path / "b"), 3)):
        for _ in range(looks):
            assert not watcher.acquire()
            clock.now += locks.DURATION + 1
        assert watcher.acquire()
        watcher.release()
    assert not list(tmp_path.iterdir())


def compete(path, log):
    """Take the lease, prove to be alone, and die without releasing it: the next one takes a dead lease over."""
    lock = Lease(path)
    until(lock.acquire)
    inside = os.open(log.with_suffix(".inside"), os.O_CREAT | os.O_EXCL)
    time.sleep(0.02)
    os.unlink(log.with_suffix(".inside"))
    os.close(inside)
    with open(log, "a") as file:
        file.write("x")
    os._exit(0)


def test_of_many_that_find_a_dead_lease_one_has_it(tmp_path):
    processes = [SPAWN.Process(target=compete, args=(tmp_path / "a", tmp_path / "log")) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
    assert (tmp_path / "log").read_text() == "x" * 6


def test_who_lost_a_lease_is_told_and_commits_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(lock_kind.SETTING, "lease")
    monkeypatch.setattr(locks, "HEARTBEAT", 0.05)
    store, told = Store(tmp_path), threading.Event()
    with pytest.raises(Elsewhere, match="taken over by n7"), store.produce(STAGE, on_loss=told.set) as work:
        (work.result / "mine").touch()
        of_another_machine(store.lock(STAGE).path)
        assert told.wait()
    assert not store.has(STAGE) and store.lock(STAGE).held()


def test_a_held_lease_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT", 0.05)
    lock = Lease(tmp_path / "a")
    assert lock.acquire()
    os.utime(lock.path, (1, 1))
    until(lambda: lock.path.stat().st_mtime > 1)
    lock.release()


@pytest.mark.parametrize(("flock", "said"), [(missing_flock, "Function not implemented"), (useless_flock, "nobody")])
def test_where_flock_is_missing_or_useless_the_store_says_so_and_uses_leases(
    flock, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(fcntl, "flock", flock)
    store = Store(tmp_path)
    assert store.lock_kind == "lease" and said in capsys.readouterr().err
    with store.produce(STAGE) as work, pytest.raises(Elsewhere, match="computed by another process"):
        (work.result / "whole").touch()
        with Store(tmp_path).produce(STAGE, timeout=0):
            pass
    assert store.has(STAGE) and not capsys.readouterr().err  # said once


@pytest.mark.parametrize(("type", "kind"), [("nfs4", "lease"), ("ext4", "flock")])
def test_a_network_file_system_gets_leases(type, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(lock_kind, "file_system", lambda folder: type)
    assert Store(tmp_path / "auto").lock_kind == kind
    monkeypatch.setenv(lock_kind.SETTING, "flock")
    assert Store(tmp_path / "asked").lock_kind == "flock"


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path):
    assert lock_kind.file_system(lock_kind.Path("/proc/self")) == "proc"


def test_all_that_work_on_one_store_use_the_same_kind(tmp_path, monkeypatch):
    monkeypatch.setenv(lock_kind.SETTING, "lease")
    Store(tmp_path).open_to_write()
    monkeypatch.setenv(lock_kind.SETTING, "auto")
    assert Store(tmp_path).lock_kind == "lease"
    monkeypatch.setenv(lock_kind.SETTING, "flock")
    with pytest.raises(DDBError, match=r"DDB_LOCKS=flock: the store .* uses lease"):
        Store(tmp_path).open_to_write()


def test_what_cannot_be_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv(lock_kind.SETTING, "file")
    with pytest.raises(DDBError, match="DDB_LOCKS: 'file' is unknown; known: auto, flock, lease"):
        Store(tmp_path).open_to_write()
    monkeypatch.setenv(lock_kind.SETTING, "flock")
    monkeypatch.setattr(fcntl, "flock", missing_flock)
    with pytest.raises(DDBError, match=r"DDB_LOCKS=flock: .*Function not implemented"):
        Store(tmp_path).open_to_write()
