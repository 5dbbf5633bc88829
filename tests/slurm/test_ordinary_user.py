"""The README's way onto a cluster, as somebody without any privilege goes it: `ddb submit` on two nodes."""

import time

import pytest
import yaml

from tests.slurm.conftest import experiment
from tests.slurm.local_slurm import Settings
from tests.slurm.ordinary_user import user_of_a_cluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def user():
    with user_of_a_cluster(Settings(nodes=2, cpus=1)) as user:
        yield user


def test_ddb_submit_on_two_nodes_is_looked_into_and_ends_with_its_table(user, tmp_path):
    text = experiment(tmp_path).read_text()
    user.write("small.yaml", text)
    workers = yaml.safe_load(text)["resources"]["cdpm_workers"]
    # A Ray of somebody else's, as a user's profile may name one.
    submitted = user.shell(
        "export RAY_ADDRESS=127.0.0.1:9; ddb submit small.yaml --nodes 2 --cpus-per-task 1 --time 30"
    )
    assert submitted.returncode == 0, submitted.stderr
    job = submitted.stdout.split()[1]
    assert submitted.stdout.startswith(f"job {job} is queued; its log: {user.project}/runs/slurm/{job}.log\n")
    log = user.project / "runs" / "slurm" / f"{job}.log"

    deadline = time.monotonic() + 300
    while "all 2 nodes have run a task" not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < deadline, log.read_text() if log.exists() else user.slurm.job(int(job))
        time.sleep(0.5)
    while "/2.0 CPU" not in (looked := user.shell(f"slurm/attach {job} ray status")).stdout:
        assert time.monotonic() < deadline and not looked.returncode, looked.stderr
    state = user.shell("ddb status small.yaml").stdout
    assert f"job {job}: RUNNING on n[1-2]" in state

    done = user.slurm.wait(int(job), timeout=500)
    assert (done["JobState"], done["ExitCode"]) == ("COMPLETED", "0:0"), log.read_text()
    assert "RAY_ADDRESS=127.0.0.1:9 is ignored" in log.read_text()
    assert f"job {job}: COMPLETED on n[1-2]" in user.shell("ddb status small.yaml").stdout
    table = user.shell("ddb table small.yaml")
    assert table.returncode == 0 and "ddb_two_step" in table.stdout, table.stderr
    files = user.project / "runs" / "slurm" / f"{job}.0"
    assert files.stat().st_mode & 0o777 == 0o700 and workers == 2
    record = next((user.project / "runs" / "cdpm").glob("*/record.json")).read_text()
    assert '"n1"' in record and '"n2"' in record
