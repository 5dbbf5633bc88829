"""Archives that hold no environment; what a job's processes would need is checked before anything starts."""

import os
import subprocess

import pytest

from slurm import environment_file
from slurm.errors import LaunchError
from slurm.local_environment import unpack


def archive(tmp_path, *names):
    """An archive of made files, as `tar` makes it of a folder."""
    folder = tmp_path / "made"
    (folder / "bin").mkdir(parents=True)
    for name in names:
        (folder / name).write_text("#!/elsewhere/bin/python\nprint()\n")
        (folder / name).chmod(0o755)
    subprocess.run(["tar", "-czf", tmp_path / "made.tar.gz", "-C", folder, "."], check=True)
    return {"DDB_ENVIRONMENT": str(tmp_path / "made.tar.gz")}


def test_scripts_start_the_interpreter_of_the_copy(tmp_path):
    assert unpack({}, tmp_path) is None and unpack({"DDB_ENVIRONMENT": ""}, tmp_path) is None
    assert not list(tmp_path.iterdir())
    python = unpack(archive(tmp_path, "bin/python", "bin/ray"), tmp_path)
    assert python == tmp_path / "environment" / "bin" / "python"
    assert python.with_name("ray").read_text() == f"#!{python}\nprint()\n"
    assert os.access(python.with_name("ray"), os.X_OK)


def test_an_archive_that_is_missing_broken_or_without_an_interpreter_is_named(tmp_path):
    with pytest.raises(LaunchError, match=r"DDB_ENVIRONMENT=/no/such\.tar: no such file on this node"):
        unpack({"DDB_ENVIRONMENT": "/no/such.tar"}, tmp_path)
    broken = tmp_path / "broken.tar"
    broken.write_text("not an archive")
    (tmp_path / "first").mkdir()
    with pytest.raises(LaunchError, match=rf"DDB_ENVIRONMENT={broken}: cannot be unpacked into .*: tar: "):
        unpack({"DDB_ENVIRONMENT": str(broken)}, tmp_path / "first")
    empty = archive(tmp_path, "bin/ray")
    (tmp_path / "node").mkdir()
    with pytest.raises(LaunchError, match=r"holds no bin/python that runs on this node; make it with: tar -czf"):
        unpack(empty, tmp_path / "node")


def test_the_environment_file_is_its_owners_and_a_shell_reads_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    python = tmp_path / "my venv" / "bin" / "python"
    given = {"PATH": "/usr/bin:/bin", "RAY_ADDRESS": "127.0.0.1:1", "DDB_STORE": "it's mine", "SECRET": "x"}
    environment_file.write(tmp_path, given | {"DDB_ODD%%": "()"}, python)
    path = tmp_path / "environment"
    assert path.stat().st_mode & 0o777 == 0o600 and "SECRET" not in path.read_text()
    shown = subprocess.run(["sh", "-c", f'. {path}; echo "$PATH|$RAY_ADDRESS|$DDB_STORE|$DDB_DATA"'],
                           capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert shown.strip() == f"{python.parent}:/usr/bin:/bin|127.0.0.1:1|{tmp_path}/it's mine|{tmp_path}/data"
