"""Shell completion as a user has it: keys typed into real shells, and what the completed command line then runs."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time

import pytest
from typer.testing import CliRunner

from ray_jobs.cli import app

COMMAND = [sys.executable, "-m", "ray_jobs.cli"]
STARTS = {
    "bash": ("bash --norc --noprofile -i", "ddb() { printf '%s|' \"$@\" >ran; mv ran line; }"),
    "zsh": (
        "zsh -f -i",
        "autoload -U compinit; compinit -u -d dump; ddb() { printf '%s|' \"$@\" >ran; mv ran line; }",
    ),
    "fish": ("fish --no-config -i", "function ddb; printf '%s|' $argv >ran; mv ran line; end"),
}
PROTOCOL = {"_DDB_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
TYPED = {  # \t is TAB; an x shows whether a space follows
    "ddb conf\tsh\tx": "configs|show|x|",
    "ddb run feat\tpacs_biased_\tx": "run|features/pacs_biased_pixels|x|",
    "ddb run mine\tx": "run|mine.yaml|x|",
    "ddb run fold\tx": "run|folder/x|",
    "ddb run colored_digits sampling.gui\t3": "run|colored_digits|sampling.guidance=3|",
    "ddb run colored_digits sampling.sampler=anc\tx": "run|colored_digits|sampling.sampler=ancestral|x|",
    "ddb sweep sweeps/colored_digits meth\t.\tgam\t2": "sweep|sweeps/colored_digits|methods.ddb_two_step.gamma=2|",
    "ddb run nonesuch samp\tx": "run|nonesuch|sampx|",
    "ddb run --on\tcdp\tx": "run|--only|cdpm|x|",
    "ddb data describe w\tx": "data|describe|waterbirds|x|",
}


class Terminal:
    """An interactive shell in a terminal, in which `ddb` writes its arguments into the file `line`."""

    def __init__(self, command, folder):
        self.place = folder / "line"
        self.child, self.end = pty.fork()
        if self.child == 0:
            os.chdir(folder)
            os.execvp(command[0], command)
        threading.Thread(target=self._discard, daemon=True).start()  # a full terminal blocks the shell

    def _discard(self):
        with contextlib.suppress(OSError):  # the shell has ended
            while os.read(self.end, 4096):
                pass

    def run(self, keys):
        """The arguments of the command that these keys and Enter run."""
        while termios.tcgetattr(self.end)[3] & termios.ICANON:  # until the shell edits a line
            time.sleep(0.02)
        self.place.unlink(missing_ok=True)
        os.write(self.end, f"{keys}\n".encode())
        while not self.place.exists():
            time.sleep(0.02)
        return self.place.read_text()

    def close(self):
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        os.close(self.end)


@pytest.mark.parametrize("shell", STARTS)
def test_a_shell_completes_names_settings_and_values(shell, tmp_path, monkeypatch):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    for name in ("bin", "folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine.yaml").write_text("base: colored_digits\n")
    (tmp_path / "bin" / "ddb").write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    (tmp_path / "bin" / "ddb").chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # the option then takes a name
    with (tmp_path / "script").open("wb") as script:
        subprocess.run([*COMMAND, "--show-completion", shell], stdout=script, check=True)
    start, define = STARTS[shell]
    with contextlib.closing(Terminal(start.split(), tmp_path)) as terminal:
        assert terminal.run(f"{define}; source ./script; ddb ready") == "ready|"
        assert {keys: terminal.run(keys) for keys in TYPED} == TYPED


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("run waterbirds preset=", ["preset=fast"]),  # of its base
        ("run ablations/guidance base=water", ["base=waterbirds"]),
        ("run --data folder dataset.val", ["dataset.val_share="]),
        ("run colored_digits vary.sampling.sampler", ["vary.sampling.sampler=", "vary.sampling.sampler_steps="]),
        ("run colored_digits memorisation=", ["memorisation=true", "memorisation=false"]),
        ("run colored_digits cdpm.noise_schedule=l", ["cdpm.noise_schedule=linear"]),
        ("submit bar resources.lost", ["resources.lost_node="]),
        ("sweep sweeps/colored_digits sweep.objective=val_w", ["sweep.objective=val_worst_group"]),
        ("data check bar variant=1", ["variant=1pct"]),
        ("data check folder/ val_s", ["val_share="]),
        ("configs copy ablations/guidance_", ["ablations/guidance_by_count"]),
    ],
)
def test_what_is_completed(line, completed):
    environment = PROTOCOL | {"_TYPER_COMPLETE_ARGS": f"ddb {line}"}
    result = CliRunner().invoke(app, [], prog_name="ddb", env=environment)
    assert result.output.splitlines() == completed


def test_completion_imports_neither_torch_nor_ray():
    """They take seconds."""
    code = (
        "import contextlib, sys\n"
        "from ray_jobs.cli import app\n"
        "with contextlib.suppress(SystemExit):\n"
        "    app(prog_name='ddb')\n"
        "print([name for name in ('torch', 'ray', 'pandas', 'sklearn') if name in sys.modules])\n"
    )
    environment = os.environ | PROTOCOL | {"_TYPER_COMPLETE_ARGS": "ddb run tables/recipe_1 methods.ddb_two_step.net"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["methods.ddb_two_step.network=", "[]"]
