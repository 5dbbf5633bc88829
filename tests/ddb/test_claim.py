"""Claims between real processes, and with holders on made-up machines."""

import errno
import json
import multiprocessing
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from ddb.store import Elsewhere, Stage, Store, claim
from ddb.store.claim import HOLDER, Claim

STAGE = Stage("cdpm", {"steps": 3}, 1)
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def _no_slurm(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_CLUSTER_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".work" / "cdpm" / "0123"


@pytest.fixture
def clock(monkeypatch):
    """The reader's monotonic clock in seconds: it moves only when a test says so."""
    hand = SimpleNamespace(now=0.0)
    monkeypatch.setattr(claim, "time", SimpleNamespace(monotonic=lambda: hand.now))
    return hand


def until(condition):
    while not condition():
        time.sleep(0.02)


def held_elsewhere(path, token="first", **more):
    """A workspace whose holder is a process of another machine."""
    place = path.with_name(f"{path.name}.{token}")
    place.mkdir(parents=True)
    holder = {"token": token, "host": "n7", "pid": 1, "started": 1, "machine": "another", "run": "theirs"}
    (place / HOLDER).write_text(json.dumps(holder | more))
    return place


def test_one_holder_at_a_time_and_the_next_finds_its_checkpoints(path):
    first, second = Claim(path), Claim(path)
    assert not second.is_held() and first.take()
    assert second.is_held() and not second.take() and not first.is_lost()
    assert second.owner().endswith(f"process {os.getpid()}")
    (first.workspace / "checkpoint").touch()
    first.release()
    assert not second.is_held() and second.take()
    assert (second.workspace / "checkpoint").exists() and len(second.places()) == 1
    second.remove()
    assert not list(path.parent.iterdir())


def test_a_free_workspace_beside_a_held_one_does_not_stop_its_release(path):
    mine = Claim(path)
    assert mine.take()
    (path.with_name(f"{path.name}.free") / "checkpoint").mkdir(parents=True)
    mine.release()
    assert not mine.is_held() and [place.name for place in mine.places()] == [f"{path.name}.free"]


def hold(path):
    assert Claim(path).take()
    time.sleep(3600)


def test_a_killed_holder_of_this_machine_is_succeeded_at_once(path):
    holder, watcher = SPAWN.Process(target=hold, args=(path,)), Claim(path)
    holder.start()
    until(watcher.is_held)
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert not watcher.is_held() and watcher.take() and not watcher.is_lost()
    watcher.remove()


def test_a_holder_elsewhere_is_dead_after_ten_minutes_without_a_touch_whatever_its_clock(path, clock):
    place, watcher = held_elsewhere(path), Claim(path)
    for future in (10**9, 2 * 10**9, 3 * 10**9):  # a living holder on a machine with a wrong clock
        os.utime(place / HOLDER, (future, future))
        clock.now += 599
        assert watcher.is_held() and not watcher.take()
    assert watcher.owner() == "n7, process 1"
    clock.now += 600
    assert watcher.is_held()
    clock.now += 1
    assert not watcher.is_held() and watcher.take()
    watcher.remove()


def test_earlier_attempts_of_a_run_and_earlier_starts_of_a_slurm_job_are_over_at_once(path, monkeypatch):
    held_elsewhere(path, job="c/7", restart=1)
    assert Claim(path, run="ours").is_held() and not Claim(path, run="theirs").is_held()
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "c")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for restart, held in (("0", True), ("1", True), ("2", False)):  # 1: another process of the same start
        monkeypatch.setenv("SLURM_RESTART_COUNT", restart)
        assert Claim(path).is_held() is held
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert Claim(path).is_held()


def test_a_workspace_that_nobody_has_signed_is_free_after_ten_minutes(path, clock):
    """Its successor died between the rename and the signature."""
    held_elsewhere(path, "former").rename(path.with_name(f"{path.name}.successor"))
    watcher = Claim(path)
    assert not watcher.take()
    clock.now += 601
    assert watcher.take()
    watcher.remove()


def test_a_slow_judge_finds_nothing_to_rename(path, clock, monkeypatch):
    slow, quick = Claim(path), Claim(path)
    held_elsewhere(path)
    assert not slow.take() and not quick.take()
    clock.now += 601
    judge = Claim._succeed

    def succeed_late(self, left, token):
        monkeypatch.setattr(Claim, "_succeed", judge)
        assert quick.take()
        return judge(self, left, token)

    monkeypatch.setattr(Claim, "_succeed", succeed_late)
    assert not slow.take() and not quick.is_lost() and len(quick.places()) == 1
    quick.remove()


def compete(path, log):
    """Take the claim, prove to be alone, and die with it."""
    mine = Claim(path)
    until(mine.take)
    inside = os.open(log.with_suffix(".inside"), os.O_CREAT | os.O_EXCL)
    time.sleep(0.02)
    os.unlink(log.with_suffix(".inside"))
    os.close(inside)
    with open(log, "a") as file:
        file.write("x")
    os._exit(0)


def test_of_many_successors_one_succeeds(path, tmp_path):
    processes = [SPAWN.Process(target=compete, args=(path, tmp_path / "log")) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
    assert (tmp_path / "log").read_text() == "x" * 6


def test_of_many_that_begin_at_once_one_succeeds(path):
    """All have found no workspace before the first one makes it."""
    claims, taken = [Claim(path) for _ in range(8)], []
    barrier, places = threading.Barrier(8), Claim.places

    def take(mine):
        mine.places = lambda: list(range(barrier.wait(), 0))  # none, once all have looked
        if mine.take():
            taken.append(mine)

    threads = [threading.Thread(target=take, args=(mine,)) for mine in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1 and places(taken[0]) == [taken[0].workspace]
    assert os.listdir(path.parent) == [taken[0].workspace.name]
    del taken[0].places
    taken[0].remove()


def test_a_holder_that_was_stopped_for_too_long_is_told_and_commits_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "HEARTBEAT", 0.05)
    store, told = Store(tmp_path), threading.Event()
    with pytest.raises(Elsewhere, match="taken over by n7"), store.produce(STAGE, on_loss=told.set) as work:
        (work.result / "mine").touch()
        theirs = held_elsewhere(tmp_path / ".work" / "cdpm" / STAGE.key, "theirs")
        work.root.rename(tmp_path / "moved")
        assert told.wait()
        with pytest.raises(FileNotFoundError):
            (work.resume / "checkpoint").touch()
    assert not store.has(STAGE) and theirs.exists() and store.claim(STAGE).is_held()


def test_a_holder_touches_its_workspace(path, monkeypatch):
    monkeypatch.setattr(claim, "HEARTBEAT", 0.05)
    mine = Claim(path)
    assert mine.take()
    os.utime(mine.workspace / HOLDER, (1, 1))
    until(lambda: (mine.workspace / HOLDER).stat().st_mtime > 1)
    mine.remove()


def test_a_full_disk_is_an_error_and_not_another_holder(path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        Claim(path).take()
