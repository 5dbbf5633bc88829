"""Somebody without any privilege, as a cluster knows them: a login shell, a private home, umask 077, a clone of the
project in a folder with a space, and an environment of their own in it.

    with OrdinaryUser(directory, slurm) as user:
        user.shell("ddb submit small.yaml --nodes 2")
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.slurm.local_slurm import LocalSlurm

NAME = "ddb-test-user"
# SLURM's configuration and a Python's libraries are in the environment, as after `module load slurm python`.
PROFILE = """\
umask 077
export SLURM_CONF={configuration}
export LD_LIBRARY_PATH={python}/lib
cd "$HOME/{folder}" && . .venv/bin/activate
"""
# As pip writes a command whose interpreter has a space in its path.
COMMAND = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys
from {module} import main
sys.exit(main())
"""


class OrdinaryUser:
    """Use it as a context: on leaving, the user's processes, home and account are gone."""

    def __init__(self, directory: Path, slurm: LocalSlurm, folder: str = "my project"):
        self.directory, self.slurm, self.folder = directory, slurm, folder
        self.home = directory / "home"
        self.project = self.home / folder

    def __enter__(self) -> "OrdinaryUser":
        self._leave()  # of a test that was killed
        _call("useradd", "--no-create-home", f"--home-dir={self.home}", "--shell=/bin/bash", NAME)
        self.project.mkdir(parents=True)
        tracked = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout
        _call("xargs", "-0", "cp", "--parents", "-t", str(self.project), input=tracked)
        profile = PROFILE.format(
            configuration=self.slurm.configuration, folder=self.folder, python=self.directory / "python"
        )
        (self.home / ".profile").write_text(profile)
        _call("chown", "-R", f"{NAME}:", str(self.home))
        self._make_environment()  # only afterwards: its files are links to ours
        self.home.chmod(0o700)
        return self

    def __exit__(self, *error) -> None:
        self._leave()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _leave(self) -> None:
        subprocess.run(["pkill", "-KILL", "-u", NAME], capture_output=True)
        subprocess.run(["userdel", NAME], capture_output=True)

    def _make_environment(self) -> None:
        """What `make setup` makes, without a second installation: packages are linked where they are, one by one.

        The base Python is linked as well, since it may lie where only its owner may look.
        """
        python = self.directory / "python"
        _link(Path(sys.base_prefix), python)
        environment = self.project / ".venv"
        _call(str(python / "bin" / Path(sys.executable).resolve().name), "-m", "venv", "--without-pip", environment)
        site = Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        shutil.rmtree(environment / site)
        _link(Path(sys.prefix) / site, environment / site)
        for path in (environment / site).glob("__editable__*"):
            path.unlink()
        (environment / site / "project.pth").write_text(f"{self.project}\n")
        for name, module in {"ddb": "ray_jobs.cli", "ray": "ray.scripts.scripts"}.items():
            command = environment / "bin" / name
            command.write_text(COMMAND.format(python=environment / "bin" / "python", module=module))
            command.chmod(0o755)

    def shell(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess:
        """What a login shell in the project's folder, with its environment active, makes of a command line."""
        return subprocess.run(["su", "-", NAME, "-c", command], capture_output=True, text=True, timeout=timeout)

    def write(self, path: str, text: str) -> None:
        """A file of theirs in the project's folder."""
        (self.project / path).write_text(text)
        shutil.chown(self.project / path, NAME)


def _call(*command: object, **options: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, **options)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}: {done.stderr}"


def _link(source: Path, target: Path) -> None:
    """A copy of a folder whose files are links where the file system allows them."""
    if os.stat(source).st_dev == os.stat(target.parent).st_dev:
        _call("cp", "-a", "--link", source, target)
    else:
        _call("cp", "-a", source, target)
