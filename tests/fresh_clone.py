"""A fresh clone of the project, as a new user has it after `make setup`: the tracked files in a folder of their own,
and an environment in it. Nothing is installed again: packages are links to those with which the tests run.

    with FreshClone(directory) as clone:
        clone.shell("ddb status configs/colored_digits.yaml")
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

# As pip writes a command whose interpreter has a space in its path.
COMMAND = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys
from {module} import main
sys.exit(main())
"""


class FreshClone:
    """Use it as a context: on leaving, the folder is gone."""

    def __init__(self, directory: Path):
        self.project = directory / "ddb-on-ray"

    def __enter__(self) -> "FreshClone":
        copy_project(self.project)
        link_environment(self.project, Path(os.path.realpath(sys.executable)))
        (self.project / ".venv" / ".installed").touch()  # what `make setup` leaves for the next `make`
        return self

    def __exit__(self, *error) -> None:
        shutil.rmtree(self.project)

    def shell(self, command: str) -> subprocess.CompletedProcess:
        """Run a line in a login shell in the folder, with the caller's environment and .venv activated."""
        line = f"source .venv/bin/activate && {command}"
        return subprocess.run(["bash", "-lc", line], capture_output=True, text=True, cwd=self.project)


def copy_project(project: Path) -> None:
    """The tracked files of the working tree, copied to a new folder."""
    project.mkdir(parents=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout
    call("xargs", "-0", "cp", "--parents", "--no-dereference", "-t", project, input=tracked)


def link_environment(project: Path, python: Path) -> None:
    """`<project>/.venv` on a base interpreter of our version, with our packages and the commands `ddb` and `ray`."""
    environment = project / ".venv"
    call(python, "-m", "venv", "--without-pip", environment)
    site = Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    shutil.rmtree(environment / site)
    link(Path(sys.prefix) / site, environment / site)
    for path in (environment / site).glob("__editable__*"):
        path.unlink()
    (environment / site / "project.pth").write_text(f"{project}\n")
    for name, module in {"ddb": "ray_jobs.cli", "ray": "ray.scripts.scripts"}.items():
        command = environment / "bin" / name
        command.write_text(COMMAND.format(python=environment / "bin" / "python", module=module))
        command.chmod(0o755)


def link(source: Path, target: Path) -> None:
    """A copy of a folder whose files are links where the file system allows them."""
    linked = os.stat(source).st_dev == os.stat(target.parent).st_dev
    call("cp", "-a", *(["--link"] if linked else []), source, target)


def call(*command: object, **options: object) -> None:
    """Run a program; its complaint is the failure of the test."""
    done = subprocess.run([str(word) for word in command], capture_output=True, **options)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}: {done.stderr}"
