import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from ddb.errors import DDBError
from ddb.store import Stage, Store

GROUP = 54321
STAGE = Stage("cdpm", {"steps": 3}, 1, {"data": Stage("data", {"seed": 0}, 1)})


def test_the_key_follows_settings_code_and_inputs():
    others = [
        Stage("cdpm", {"steps": 4}, 1, STAGE.inputs),
        Stage("cdpm", {"steps": 3}, 2, STAGE.inputs),
        Stage("cdpm", {"steps": 3}, 1, {"data": Stage("data", {"seed": 1}, 1)}),
    ]
    assert len({STAGE.key, *(stage.key for stage in others)}) == 4
    assert STAGE.key == Stage("cdpm", {"steps": 3}, 1, dict(STAGE.inputs)).key


def test_a_result_is_absent_until_complete_and_then_reused(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.produce(STAGE) as work:
        (work.result / "half").touch()
        raise RuntimeError
    assert not store.has(STAGE)
    with store.produce(STAGE) as work:
        assert not list(work.result.iterdir())
        (work.result / "whole").touch()
        assert not store.has(STAGE)
    assert (store.path(STAGE) / "whole").exists() and not store.work_path(STAGE).exists()
    with store.produce(STAGE) as work:
        assert work is None


def test_a_result_is_computed_again_if_its_record_or_a_file_of_it_was_removed(tmp_path):
    """As the cleaning of a scratch disk does, which keeps folders."""
    store = Store(tmp_path)
    for removed in ("record.json", "weights/unet", "weights"):
        with store.produce(STAGE) as work:
            (work.result / "weights").mkdir()
            (work.result / "weights" / "unet").write_text("new")
        assert store.has(STAGE) and store.finished([STAGE]) == {STAGE.key}
        place = store.path(STAGE) / removed
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        assert not store.has(STAGE) and not store.finished([STAGE])
    with store.produce(STAGE) as work:
        (work.result / "other").touch()
    assert store.has(STAGE) and not (store.path(STAGE) / "weights").exists()


def _write_then_hang(root):
    with Store(root).produce(STAGE) as work:
        (work.result / "half").touch()
        (work.resume / "checkpoint").touch()
        time.sleep(3600)


def test_a_killed_writer_leaves_its_checkpoint_and_nothing_that_looks_finished(tmp_path):
    writer = multiprocessing.get_context("spawn").Process(target=_write_then_hang, args=(tmp_path,))
    writer.start()
    store = Store(tmp_path)
    while not (store.work_path(STAGE) / "resume" / "checkpoint").exists():
        time.sleep(0.05)
    with pytest.raises(DDBError, match="computed by another process"), store.produce(STAGE, timeout=0.1):
        pass
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert not store.has(STAGE)
    with store.produce(STAGE) as work:
        assert (work.resume / "checkpoint").exists() and not list(work.result.iterdir())


def _count_one(root):
    with Store(root).produce(STAGE) as work:
        if work:
            with open(root / "computed", "a") as log:
                log.write("x")
            time.sleep(0.5)


def test_two_processes_wanting_one_key_compute_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count_one, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "computed").read_text() == "x"


def test_a_failure_is_recorded_until_success(tmp_path):
    store = Store(tmp_path)
    store.fail(STAGE, "out of memory")
    assert store.failure(STAGE) == "out of memory"
    with store.produce(STAGE):
        pass
    assert store.failure(STAGE) is None
    store.fail(STAGE, "out of memory again")
    store.failure_path(STAGE).write_text("")
    assert store.failure(STAGE).endswith(f"damaged: {store.failure_path(STAGE)}")


def test_an_unusable_store_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DDBError, match="file cannot be used: it is not a folder"):
        Store(tmp_path / "file")
    store = Store(tmp_path / "file" / "below")
    with pytest.raises(DDBError, match=r"below cannot be written: Not a directory \(--store or DDB_STORE\)"):
        store.open_to_write()


def test_who_only_reads_writes_nothing(tmp_path):
    store = Store(tmp_path / "runs")
    assert not store.has(STAGE) and not store.finished([STAGE]) and not store.interrupted(STAGE)
    assert store.failure(STAGE) is None and store.failure_time(STAGE) is None
    assert not list(store.root.iterdir())


@pytest.fixture
def open_folder():
    """A folder that other users can reach, which pytest's are not."""
    if os.getuid():
        pytest.skip("only root can act as other users")
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def _as_user(number, function, *arguments):
    """Call it in a process of user `number`, in GROUP, with the usual umask; whether it came to its end."""

    def child():
        os.setgroups([])
        os.setgid(GROUP)
        os.setuid(number)
        os.umask(0o022)
        function(*arguments)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    return process.exitcode == 0


def _read_only(root):
    store = Store(root)
    assert store.has(STAGE) and store.finished([STAGE]) == {STAGE.key} and store.record(STAGE)["seed"] == 0
    assert not store.claim(STAGE).is_held()
    with pytest.raises(DDBError, match=r"cannot be written: Permission denied"):
        store.open_to_write()


def test_a_store_of_somebody_else_can_be_read(open_folder):
    store = Store(open_folder / "runs")
    with store.produce(STAGE) as work:
        work.numbers["seed"] = 0
    assert _as_user(12345, _read_only, store.root)


def _leave_in_the_middle(root):
    with Store(root).produce(STAGE) as work:
        (work.result / "half").touch()
        (work.resume / "checkpoints").mkdir()
        (work.resume / "checkpoints" / "10").write_text("of the first")
        os._exit(0)


def _go_on(root):
    with Store(root).produce(STAGE) as work:
        checkpoint = work.resume / "checkpoints" / "10"
        assert checkpoint.read_text() == "of the first"
        checkpoint.write_text("of the second")
        checkpoint.with_name("20").touch()
    assert Store(root).has(STAGE) and not Store(root).work_path(STAGE).exists()


def test_two_users_share_a_store_that_their_group_may_write(open_folder):
    root = open_folder / "runs"
    root.mkdir()
    os.chown(root, 12345, GROUP)
    root.chmod(0o2775)
    assert _as_user(12345, _leave_in_the_middle, root)
    assert _as_user(12346, _go_on, root)
