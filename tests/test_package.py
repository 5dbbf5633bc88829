"""What a wheel contains: the package works in a folder that holds nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.mark.long
def test_an_installed_package_brings_its_configurations_and_the_batch_script(tmp_path):
    shutil.copytree(".", tmp_path / "copy", ignore=shutil.ignore_patterns(".*", "runs", "results", "*.egg-info"))
    build = [Path(sys.executable).with_name("uv"), "build", "--wheel", "-q", "-o", tmp_path, tmp_path / "copy"]
    subprocess.run(build, check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    shipped = {path.relative_to("configs") for path in Path("configs").rglob("*.yaml")}
    assert {
        path.relative_to(tmp_path / "site/ddb/configs") for path in tmp_path.glob("site/ddb/configs/**/*.yaml")
    } == shipped
    for name in ("slurm/ddb.sbatch", "slurm/attach", "ddb/py.typed", "ddb/report/report.html.j2"):
        assert (tmp_path / "site" / name).is_file(), name
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "ray_jobs.cli"]
    for arguments in (["run", "waterbirds", "--dry-run"], ["status", "configs/ablations/guidance.yaml", "seeds=[0]"]):
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "DDB_DATA": str(tmp_path)}
        ended = subprocess.run([*command, *arguments], cwd=tmp_path / "empty", env=environment, capture_output=True)
        assert ended.returncode == 0, ended.stderr.decode()
