"""Somebody without any privilege, as a cluster knows them: a login shell, a private home, umask 077, a clone of the
project in a folder with a space, and an environment of their own in it.

    with user_of_a_cluster(Settings(nodes=2)) as user:
        user.shell("ddb submit small.yaml --nodes 2")
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fresh_clone import call, copy_project, link, link_environment
from tests.slurm.local_slurm import LocalSlurm, Settings, skip_without_slurm

NAME = "ddb-test-user"
# SLURM's configuration and a Python's libraries are in the environment, as after `module load slurm python`.
PROFILE = """\
umask 077
export SLURM_CONF={configuration}
export LD_LIBRARY_PATH={python}/lib
export RAY_worker_niceness=0
cd "$HOME/{folder}" && . .venv/bin/activate
"""


class OrdinaryUser:
    """Use it as a context: on leaving, the user's processes, home and account are gone."""

    def __init__(self, directory: Path, slurm: LocalSlurm, folder: str = "my project"):
        self.directory, self.slurm, self.folder = directory, slurm, folder
        self.home = directory / "home"
        self.project = self.home / folder

    def __enter__(self) -> "OrdinaryUser":
        self._leave()  # of a test that was killed
        call("useradd", "--no-create-home", f"--home-dir={self.home}", "--shell=/bin/bash", NAME)
        copy_project(self.project)
        profile = PROFILE.format(
            configuration=self.slurm.configuration, folder=self.folder, python=self.directory / "python"
        )
        (self.home / ".profile").write_text(profile)
        call("chown", "-R", f"{NAME}:", str(self.home))
        # Only afterwards: their files are links to ours. Our base Python may lie where only its owner may look.
        python = self.directory / "python"
        link(Path(sys.base_prefix), python)
        link_environment(self.project, python / "bin" / Path(sys.executable).resolve().name)
        self.home.chmod(0o700)
        return self

    def __exit__(self, *error) -> None:
        self._leave()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _leave(self) -> None:
        subprocess.run(["pkill", "-KILL", "-u", NAME], capture_output=True)
        subprocess.run(["userdel", NAME], capture_output=True)

    def shell(self, command: str) -> subprocess.CompletedProcess:
        """What a login shell in the project's folder, with its environment active, makes of a command line."""
        return subprocess.run(["su", "-", NAME, "-c", command], capture_output=True, text=True)

    def write_site_options(self, text: str) -> None:
        """Their file of options that `ddb submit` gives to sbatch."""
        path = self.home / ".config" / "ddb" / "sbatch"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        call("chown", "-R", f"{NAME}:", str(self.home / ".config"))


@contextlib.contextmanager
def user_of_a_cluster(settings: Settings) -> Iterator[OrdinaryUser]:
    """A SLURM of its own and its user; skips the test where there is no SLURM."""
    skip_without_slurm()
    directory = Path(tempfile.mkdtemp(prefix="ddb_cluster_"))  # pytest's own folders are closed to other users
    directory.chmod(0o755)
    (directory / "slurm").mkdir()
    (directory / "user").mkdir()
    with LocalSlurm(directory / "slurm", settings) as slurm, OrdinaryUser(directory / "user", slurm) as user:
        yield user
