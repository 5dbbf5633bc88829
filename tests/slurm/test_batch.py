"""Batch scripts as text: whole golden ones, what a site wrote, and what is refused.

python -m tests.slurm.test_batch        # writes the golden texts anew, after a change of slurm/ddb.sbatch
"""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from slurm.batch import Request, check, difference, render, seconds, value_of, warning
from slurm.errors import LaunchError

TEMPLATE = Path("slurm/ddb.sbatch")
GOLDEN = Path(__file__).parent / "golden"
PLACES = (Path("/home/me/ddb"), Path("/scratch/me/runs"), Path("/home/me/ddb/.venv/bin/python"), {})
REQUEST = Request(("run", "configs/colored_digits.yaml"), *PLACES)
LARGE = Request(
    ("run", "configs/benchmarks/waterbirds.yaml", "seeds=[0, 1]"),
    *PLACES,
    nodes=4,
    gpus_per_node="8",
    cpus_per_task=64,
    time="2-12",
    partition="gpu",
    account="vision",
    qos="long",
)
WANTED = {
    "one_node": (replace(REQUEST, nodes=1, time="30"), None),
    "four_nodes": (LARGE, None),
    "chained": (replace(REQUEST, nodes=2, gpus_per_node="a100:4", chain=3), "4711"),
}


def _directives(script):
    return [line for line in script.splitlines() if line.startswith("#SBATCH")]


@pytest.mark.parametrize("name", WANTED)
def test_golden_scripts(name):
    script = render(TEMPLATE.read_text(), *WANTED[name])
    assert script == (GOLDEN / f"{name}.sbatch").read_text()
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).stderr == ""


def test_the_command_arrives_as_it_was_given(tmp_path):
    command = ("run", "my file.yaml", "vary.sampling.guidance=[0, 1]", "x='$(touch y)'", 'a="b"', "*", "c\nd", "e\\f")
    script = '#!/bin/bash\nprintf "%s\\0" "$@"\n'
    rendered = render(script, replace(REQUEST, command=command))
    told = subprocess.run(["bash"], input=rendered, text=True, capture_output=True, cwd=tmp_path)
    assert told.stderr == "" and told.stdout.split("\0")[:-1] == list(command)
    assert not list(tmp_path.iterdir())


def test_the_store_is_exported_even_before_a_command_over_several_lines():
    script = '#!/bin/bash\nDDB_STORE=/elsewhere\nbash -c \'echo "$DDB_STORE"\' \\\n  name \\\n  "$@"\n'
    rendered = render(script, replace(REQUEST, store=Path("/scratch/my $HOME")))
    assert subprocess.run(["bash"], input=rendered, text=True, capture_output=True).stdout == "/scratch/my $HOME\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("#SBATCH --partition=old", ["#SBATCH --partition=new"]),
        ("#SBATCH --partition old  # of the lab", ["#SBATCH --partition=new"]),
        ("#SBATCH -p old", ["#SBATCH --partition=new"]),
        ('#SBATCH --partition="old"', ["#SBATCH --partition=new"]),
        ("##SBATCH --partition=old", ["#SBATCH --partition=new"]),
        ("#SBATCH --mem=0", ["#SBATCH --mem=0", "#SBATCH --partition=new"]),
        ("# SBATCH --partition=old", ["#SBATCH --partition=new"]),
        ("#SBATCH -p old -n 4", ["#SBATCH -p old -n 4", "#SBATCH --partition=new"]),
        ("#SBATCH --requeue --partition=old", ["#SBATCH --requeue --partition=old", "#SBATCH --partition=new"]),
        ("##SBATCH --partition=a\n#SBATCH -p b -n 4", ["#SBATCH -p b -n 4", "#SBATCH --partition=new"]),
        ("#SBATCH -p a\n#SBATCH -p b", ["#SBATCH -p a", "#SBATCH --partition=new"]),
        ("#SBATCH -p a\n##SBATCH -p b", ["#SBATCH --partition=new"]),
        ("echo\n#SBATCH --partition=too_late", ["#SBATCH --partition=new", "#SBATCH --partition=too_late"]),
    ],
)
def test_the_last_word_on_an_option_is_what_was_asked_for(line, expected):
    script = render(f'#!/bin/bash\n{line}\nddb "$@"\n', replace(REQUEST, partition="new"))
    assert [each for each in _directives(script) if "--chdir" not in each and "--output" not in each] == expected


def test_what_a_site_wrote_stays():
    kept = ["#!/bin/bash -l", "#SBATCH --constraint=a100", "#SBATCH --time=1:00:00", "", "module load cuda"]
    script = render("\n".join([*kept, 'exec "$P" -m x "$@"  # go\n']), REQUEST)
    assert [line for line in script.splitlines() if line in kept] == kept
    assert script.endswith('exec "$P" -m x run configs/colored_digits.yaml  # go\n')


def test_a_chain_is_never_requeued_and_says_how_its_jobs_differ():
    for line in ("#SBATCH --requeue", "##SBATCH --requeue", "#SBATCH --no-requeue", "#SBATCH --mem=0"):
        chained = render(f'#!/bin/bash\n{line}\nddb "$@"\n', replace(REQUEST, chain=2))
        assert [each for each in _directives(chained) if "requeue" in each] == ["#SBATCH --no-requeue"]
    assert "afterany" in difference(replace(REQUEST, chain=2)) and difference(REQUEST) == ""
    later = render(TEMPLATE.read_text(), replace(REQUEST, chain=2), "12").splitlines()
    first = render(TEMPLATE.read_text(), replace(REQUEST, chain=2)).splitlines()
    assert [line for line in later if line not in first] == ["#SBATCH --dependency=afterany:12"]


def test_folders_with_spaces_are_quoted_for_slurm():
    script = render(TEMPLATE.read_text(), replace(REQUEST, folder=Path("/home/my dir"), store=Path("/runs #2")))
    assert '#SBATCH --chdir="/home/my dir"' in _directives(script)
    assert '#SBATCH --output="/runs #2/slurm/%j.log"' in _directives(script)
    assert value_of(script, "output") == "/runs #2/slurm/%j.log"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("30", 1800),
        ("4:00", 240),
        ("4:01", 300),
        ("04:00:00", 14400),
        ("1-0", 86400),
        ("2-12", 216000),
        ("1-02:30", 95400),
        ("1-02:30:30", 95460),
        *(
            (wrong, None)
            for wrong in ("", "x", "1:2:3:4", "1-2:3:4:5", "-5", "1-", "4h", "٣", "30\n", " 30", "1.5", "NONE")
        ),
    ],
)
def test_time_limits_are_read_as_slurm_does(time, expected):
    assert seconds(time) == expected


def test_how_long_before_its_end_a_job_is_warned():
    assert warning(TEMPLATE.read_text()) == 120
    assert warning("#SBATCH --signal=USR1\n") == 60
    assert warning("##SBATCH --signal=B:USR1@120\n") == 0
    assert warning("#!/bin/bash\nsleep 1\n#SBATCH --signal=USR1\n") == 0  # sbatch no longer reads there


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": 0}, "--nodes: must be at least 1 (got 0)"),
        ({"cpus_per_task": -1}, "--cpus-per-task: must be at least 1"),
        ({"chain": 0}, "--chain: must be at least 1"),
        ({"gpus_per_node": "-1"}, "--gpus-per-node: must be a number, or type"),
        ({"gpus_per_node": "4\n#SBATCH --nodes=9"}, "--gpus-per-node: must"),
        ({"partition": "gpu\n#SBATCH --nodes=9"}, "--partition: must be letters"),
        ({"account": 'a" b'}, "--account: must be letters"),
        ({"qos": ""}, "--qos: must be letters"),
        ({"partition": "-x"}, "--partition: must be letters"),
        ({"time": "4h"}, "--time: must be minutes, minutes:seconds"),
        ({"time": "2"}, "--time: 2 is 120 s, of which the last 120 s"),
        ({"time": "0"}, "--time: 0 is 0 s"),
        ({"store": Path("/runs\n#SBATCH --nodes=9")}, "--store: a path with a quote"),
        ({"store": Path("/50%")}, "--store: a path with"),
        ({"folder": Path('/a"b')}, "the current folder: a path with"),
    ],
)
def test_bad_values_are_refused_with_the_name_of_the_option(changes, message):
    with pytest.raises(LaunchError) as caught:
        check(replace(REQUEST, **changes), TEMPLATE.read_text())
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_good_values_are_not_refused():
    good = replace(LARGE, gpus_per_node="0", time="3", partition="gpu,gpu-long", account="def-me_gpu")
    check(good, TEMPLATE.read_text())
    lines = render(TEMPLATE.read_text(), good).splitlines()
    assert {"#SBATCH --partition=gpu,gpu-long", "#SBATCH --account=def-me_gpu", "#SBATCH --time=3"} <= set(lines)


def test_a_script_that_warns_nobody_needs_no_time_for_the_warning():
    silent = '#!/bin/bash\n"$@"\n'
    check(replace(REQUEST, time="1"), silent)
    assert "#SBATCH --time=1" in render(silent, replace(REQUEST, time="1"))
    with pytest.raises(LaunchError, match="--time"):
        check(replace(REQUEST, time="1"), TEMPLATE.read_text())


def test_a_script_without_a_place_for_the_command_is_refused():
    with pytest.raises(LaunchError, match="--script: has no line with"):
        check(REQUEST, '#!/bin/bash\n# "$@"\nsleep 1\n')


def test_variables_that_would_beat_the_script_are_named_only_where_something_was_asked_for():
    assert REQUEST.variables() == {"SBATCH_OUTPUT"}
    hidden = replace(REQUEST, partition="gpu", time="30", nodes=2, chain=2).variables()
    assert hidden == {"SBATCH_OUTPUT", "SBATCH_PARTITION", "SBATCH_TIMELIMIT", "SBATCH_REQUEUE"}


if __name__ == "__main__":
    for name, (request, after) in WANTED.items():
        (GOLDEN / f"{name}.sbatch").write_text(render(TEMPLATE.read_text(), request, after))
