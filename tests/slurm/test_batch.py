"""Batch scripts as text: a whole golden script, the lines that a site wrote, and values that are refused."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from slurm.batch import Request, check, render, seconds, warning
from slurm.errors import LaunchError

TEMPLATE = Path("slurm/ddb.sbatch").read_text()
PATHS = (Path("/home/me/ddb"), Path("/scratch/my runs"), Path("/home/me/ddb/.venv/bin/python"), {})
REQUEST = Request(("run", "configs/colored_digits.yaml"), *PATHS)
LARGE = Request(
    ("run", "configs/benchmarks/waterbirds.yaml", "seeds=[0, 1]"),
    *PATHS,
    nodes=4,
    gpus_per_node="a100:8",
    cpus_per_task=64,
    time="2-12",
    partition="gpu,gpu-long",
    account="def-me_gpu",
    qos="long",
)


def test_golden_script():
    check(LARGE, TEMPLATE)
    script = render(TEMPLATE, LARGE)
    assert script == (Path(__file__).parent / "golden" / "four_nodes.sbatch").read_text()
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).stderr == ""


def test_the_job_gets_the_store_and_the_command_unchanged(tmp_path):
    command = ("run", "my file.yaml", "vary.sampling.guidance=[0, 1]", "x='$(touch y)'", 'a="b"', "*", "c\nd", "e\\f")
    script = """#!/bin/bash
DDB_STORE=/elsewhere
bash -c 'printf "%s\\0" "$DDB_STORE" "$@"' \\
  name \\
  "$@"
"""
    rendered = render(script, replace(REQUEST, command=command, store=Path("/scratch/my $HOME")))
    printed = subprocess.run(["bash"], input=rendered, text=True, capture_output=True, cwd=tmp_path)
    assert printed.stderr == "" and printed.stdout.split("\0")[:-1] == ["/scratch/my $HOME", *command]
    assert not list(tmp_path.iterdir())


def test_requested_options_replace_lines_and_the_other_lines_of_a_site_stay():
    script = """\
#!/bin/bash -l
#SBATCH --constraint=a100 -t 30
#SBATCH -p old  # of the lab
##SBATCH --account=me

module load cuda
exec "$P" -m x "$@"  # go
"""
    options = {"partition": "new", "account": "mine", "time": "60"}
    lines = render(script, replace(REQUEST, **options)).splitlines()
    added = [line for line in lines if line.startswith(("#SBATCH --chdir=", "#SBATCH --output=", "export DDB_"))]
    assert len(added) == 4
    assert [line for line in lines if line not in added] == [
        "#!/bin/bash -l",
        "#SBATCH --constraint=a100 -t 30",
        "#SBATCH --partition=new",
        "#SBATCH --time=60",  # sbatch takes the last one
        "#SBATCH --account=mine",
        "",
        "module load cuda",
        'exec "$P" -m x run configs/colored_digits.yaml  # go',
    ]


def test_time_limits_and_warnings_are_read_as_slurm_reads_them():
    limits = {"30": 1800, "4:01": 300, "04:00:00": 14400, "2-12": 216000, "1-02:30": 95400, "1-02:30:30": 95460}
    assert {text: seconds(text) for text in limits} == limits
    assert {seconds(text) for text in ("", "1:2:3:4", "1-2:3:4:5", "-5", "1-", "4h", "٣", "30\n", "1.5")} == {None}
    assert warning(TEMPLATE) == 120
    assert warning("#SBATCH --signal=USR1\n") == 60
    assert warning("##SBATCH --signal=B:USR1@120\n") == 0


def test_a_path_that_would_end_its_line_is_refused():
    for changes in ({"store": Path("/runs\n#SBATCH --nodes=9")}, {"folder": Path('/a"b')}):
        with pytest.raises(LaunchError, match=r"(--store|the current folder): a path with a quote"):
            check(replace(REQUEST, **changes), TEMPLATE)
