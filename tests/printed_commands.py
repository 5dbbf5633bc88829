"""Every command that the documents print, and how a test runs it.

A new command in a document needs an entry in WAYS; `tests/test_printed_commands.py` fails without one, and with one
that no document prints any more. The words of an entry are those of the document, without the comment behind them. A
test may only append settings or options that make a command small; of several values of an option the last one counts.
"""

import re
from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = ("README.md", "slurm/README.md", "results/README.md", "CONTRIBUTING.md")
SHELL = ("", "sh", "bash")  # languages of a block that holds commands
PROGRAMS = ("ddb", "make", "pip", "python", "ray", "salloc", "sbatch", "scancel", "scontrol", "slurm/attach", "srun")

# The smallest experiment: every `ddb run` of the same data shares what it computes with the others.
SIZES = (
    "dataset.image_size=8 cdpm.channels=[16,16] cdpm.layers_per_block=1 cdpm.steps=20 "
    "cdpm.batch_size=8 cdpm.warmup_steps=2 sampling.images_per_class=3 sampling.sampler_steps=8 "
    "resources.sampling_batch=32 amplifier.steps=4 training.steps=4 memorisation=false"
)
SMALL = f"seeds=[0] {SIZES}"
# A benchmark: one row that needs no amplifier, and not the paper's network, whose weights would be downloaded.
ROW = (
    "'methods={erm: {}}' seeds=[0] memorisation=false training.network=small_cnn training.pretrained=none "
    "training.image_size=8 training.steps=4 training.batch_size=4 training.evaluate_every=null resources.cpus_per_run=1"
)


@dataclass(frozen=True)
class Way:
    """How a printed command is run, or why it is not."""

    test: str = ""  # file::function
    appended: str = ""  # what that test puts behind the printed words
    exit_code: int = 0
    says: str = ""  # what its output must contain
    makes: str = ""  # a file of the store that it must have made
    not_here: str = ""  # the reason, where there is no test


CLONE = "tests/test_printed_commands.py::test_it_does_what_the_document_says"
JOB_SERVER = "tests/ray_jobs/test_submitted.py::test_a_printed_command_runs_as_a_submitted_job"
FIRST_JOB = "tests/slurm/test_printed_commands.py::test_the_first_job_in_five_minutes"
BY_HAND = "tests/slurm/test_printed_commands.py::test_a_job_by_hand"
WARNED = "tests/slurm/test_jobs.py::test_sigusr1_requeues_and_the_cdpm_is_that_of_an_uninterrupted_run"
TERMINAL = "tests/slurm/test_printed_commands.py::test_an_interactive_allocation"
ARRAY = "tests/slurm/test_sharing.py::test_three_tasks_of_an_array_compute_every_stage_once_and_one_is_requeued_alone"
REQUEUED = "tests/slurm/test_preemption.py::test_preempted_with_a_grace_time_and_requeued_by_hand"
GPU_NODES = "tests/slurm/test_printed_commands.py::test_four_nodes_with_gpus"

DIGITS, GUIDANCE = "configs/colored_digits.yaml", "configs/ablations/guidance.yaml"
FIVE = f"{GUIDANCE} 'vary.sampling.guidance=[0, 1, 3, 7, 15]'"
WATERBIRDS, BAR = "configs/benchmarks/waterbirds.yaml", "configs/benchmarks/bar_small.yaml"
RECIPE_1 = "configs/tables/recipe_1.yaml base=waterbirds"
SWEEP = "configs/sweeps/colored_digits.yaml"
FIRST = f"ddb submit {DIGITS} --nodes 2 --time 30"
FOUR = f"ddb submit {RECIPE_1} --nodes 4 --gpus-per-node 8"
SITE = f"{FOUR} -- --partition=gpu --account=vision"
RAY_JOB = "ray job submit --working-dir . -- python -m ray_jobs."
TWO_GUIDANCES = f"'vary.sampling.guidance=[0, 1]' {SMALL}"
SMALL_SWEEP = (
    f"{SIZES} sweep.trials=2 sweep.rungs=[0.5,1] 'sweep.space={{sampling.images_per_class: {{choices: [2, 3]}}}}'"
)
DONE = "18 of 18 stages are done"
PACS = "needs the images of pacs_biased; tests/ddb/features/test_on_features.py has small ones"

# In this order where one test runs several: what one computes, the next ones find.
WAYS = {
    # A new clone.
    "git clone <this project> && cd ddb-on-ray": Way(not_here="no address; all tests start from a copy of the files"),
    "make setup": Way(not_here="downloads gigabytes; .ci/run does it in a fresh clone before all tests"),
    "make test": Way(not_here="runs these tests; .ci/run does it in a fresh clone"),
    "source .venv/bin/activate": Way(CLONE, "&& command -v ddb", says="/.venv/bin/ddb"),
    "make demo": Way(CLONE, f'SETTINGS="{SMALL}"', says="runs/demo.png"),
    "ddb doctor": Way(CLONE),
    f"ddb run {DIGITS}": Way(CLONE, SMALL, says="ddb_end_to_end_joint"),
    f"ddb run {DIGITS} seeds=[0] --local": Way(CLONE, SMALL, says="1/1 seeds"),
    f"ddb run {DIGITS} sampling.guidance=3 --dry-run": Way(CLONE, SMALL, says="6 cells; 18 stages"),
    f"ddb table {DIGITS} --format latex": Way(CLONE, SMALL, says="\\bottomrule"),
    f"ddb table {DIGITS} --against erm": Way(CLONE, SMALL, says="Difference to erm in points"),
    f"ddb table {DIGITS} --against group_dro": Way(CLONE, SMALL, says="Difference to group_dro (oracle) in points"),
    f"ddb status {DIGITS}": Way(CLONE, SMALL, says=DONE),
    "ddb status colored_digits --watch": Way(CLONE, SMALL, says=DONE),
    "ddb logs colored_digits --follow": Way(CLONE, says="[18/18]"),
    "ddb ls": Way(CLONE, says="| colored_digits | finished | 18/18 stages |"),
    "ddb configs list": Way(CLONE, says="| ablations/guidance | ablation |"),
    f"ddb rehearse {DIGITS}": Way(CLONE, SMALL, says="the whole experiment on"),
    f"ddb table {DIGITS}": Way(CLONE, SMALL, says="1/1 seeds"),
    "ddb explain RESULT": Way(not_here="the name stands for a key; tests/ddb/test_explain.py explains results"),
    "ddb run CONFIG --dry-run": Way(CLONE, SMALL, says="6 cells; 18 stages"),
    "python -m ray_jobs.cli": Way(CLONE, f"table {DIGITS} {SMALL}", says="1/1 seeds"),
    f"ddb export {DIGITS} results/colored_digits": Way(CLONE, SMALL, says="results/colored_digits/figure.pdf"),
    "ddb data describe colored_digits": Way(CLONE, says="contact sheet: colored_digits.png"),
    # Tables, ablations, searches.
    "ddb run configs/tables/recipe_1.yaml": Way(CLONE, SMALL, says="jtt_ddb"),
    "ddb run configs/tables/recipe_2.yaml base=waterbirds": Way(CLONE, ROW, says="worst group"),
    f"ddb run {GUIDANCE}": Way(CLONE, TWO_GUIDANCES, says="ddb_end_to_end"),
    f"ddb run {GUIDANCE} 'vary.sampling.guidance=[0, 1, 7]' seeds=[0] --dry-run": Way(CLONE, SMALL, says="7 cells"),
    f"ddb run {FIVE}": Way(CLONE, TWO_GUIDANCES, says="ddb_end_to_end"),
    f"ddb table {FIVE} --against 'ddb_two_step sampling.guidance=1'": Way(
        CLONE, TWO_GUIDANCES, says="Difference to ddb_two_step sampling.guidance=1"
    ),
    f"ddb table {FIVE} --against 'ddb_end_to_end sampling.guidance=1'": Way(
        CLONE, TWO_GUIDANCES, says="Difference to ddb_end_to_end sampling.guidance=1"
    ),
    f"ddb report {GUIDANCE}": Way(CLONE, TWO_GUIDANCES, says="report.html"),
    f"ddb sweep {SWEEP}": Way(CLONE, SMALL_SWEEP, says="best.yaml"),
    "ddb run configs/<file>.yaml": Way(CLONE, TWO_GUIDANCES),
    "ddb export configs/<file>.yaml results/colored_digits/<name>": Way(
        CLONE, TWO_GUIDANCES, says="results/colored_digits/new/table.md"
    ),
    "ddb report configs/<file>.yaml": Way(CLONE, TWO_GUIDANCES, says="report.html"),
    # Benchmarks, of which the test has small ones, and own images.
    "ddb data list": Way(CLONE, says="data/waterbirds"),
    "ddb data fetch waterbirds": Way(not_here="downloads a gigabyte; tests/ddb/data/test_fetch.py has a server"),
    "ddb data check waterbirds": Way(CLONE, exit_code=1, says="published"),  # it is not all there
    f"ddb run {WATERBIRDS} --dry-run": Way(CLONE, ROW, says="to compute"),
    f"ddb run {WATERBIRDS} preset=fast": Way(CLONE, ROW, says="preset=fast: cdpm.steps"),
    "ddb run --data my_images": Way(CLONE, SIZES, says="runs/my_images.yaml"),
    "ddb audit my_images": Way(CLONE, says="audit.html"),
    "ddb audit my_images --space pixels": Way(CLONE, SIZES, says="audit.html"),
    "ddb debias my_images": Way(CLONE, says="/classifier"),
    "ddb predict runs/debias/my_images/classifier new_images": Way(
        not_here="new_images are the reader's; tests/ddb/models/test_models.py predicts with models of all kinds"
    ),
    "ddb export-model colored_digits --method ddb_end_to_end --output my_model --format onnx --format pt2": Way(
        not_here="of the whole experiment, without settings; tests/ddb/models/test_models.py exports small ones"
    ),
    "pip install 'ddb-on-ray[onnx]'": Way(not_here="downloads; it is among the packages that make setup installs"),
    "ddb run configs/features/pacs_biased.yaml": Way(CLONE, "seeds=[0] --dry-run", says="features"),
    "ddb run configs/features/bar.yaml": Way(CLONE, "seeds=[0] --dry-run", says="features"),
    "ddb export configs/features/pacs_biased.yaml results/features/pacs_biased": Way(not_here=PACS),
    "ddb run configs/features/pacs_biased_pixels.yaml": Way(CLONE, "seeds=[0] --dry-run", says="features"),
    "ddb export configs/features/pacs_biased_pixels.yaml results/features/pacs_biased_pixels": Way(not_here=PACS),
    "python results/features/flips_study.py": Way(not_here=PACS),
    "ddb run configs/ablations/feature_layer.yaml --local --only amplifier": Way(not_here=PACS),
    "ddb run configs/ablations/signal_source.yaml": Way(
        CLONE, f"{SMALL} 'vary.amplifier.space=[pixels]'", says="amplifier"
    ),
    "ddb export configs/ablations/signal_source.yaml results/features/signal_source": Way(
        CLONE, f"{SMALL} 'vary.amplifier.space=[pixels]'", says="records.jsonl"
    ),
    "ddb run configs/ablations/signal_source.yaml base=features/pacs_biased dataset.image_size=16": Way(not_here=PACS),
    "ddb export configs/ablations/signal_source.yaml results/features/signal_source_pacs_biased "
    "base=features/pacs_biased dataset.image_size=16": Way(not_here=PACS),
    "pip install 'ddb-on-ray[lite]'": Way(not_here="downloads; it is among the packages that make setup installs"),
    "python results/features/safeguard_study.py": Way(CLONE, "--seeds 1 --ratios 0.05", says="safeguard"),
    f"ddb run {BAR}": Way(CLONE, ROW, says="erm"),
    f"ddb export {BAR} results/bar_small": Way(CLONE, ROW, says="results/bar_small/table.md"),
    # Measurements.
    "python results/ray_train/study.py": Way(CLONE, f"--rounds 1 {SMALL} --steps 60 cdpm.steps=60", says="ray / plain"),
    "python results/samplers/study.py": Way(CLONE, says="| ancestral | 1000 |"),
    "python results/speed/study.py --output results/speed/ratios.json": Way(CLONE, says="all layers"),
    "python results/gpu/study.py --output results/gpu/speed.json": Way(CLONE, says="sampling, 16 px"),
    "python results/audit/study.py": Way(CLONE, "--draws 2", says="simulated.md"),
    "python results/store/study.py --stages 1000 --rounds 3": Way(CLONE, "--stages 30 --rounds 1", says="ddb table"),
    "python results/store/study.py --stages 20000 --rounds 1": Way(
        CLONE, "--stages 30 --command status", says="ddb status"
    ),
    # On a Ray that is there already.
    f"{RAY_JOB}train_cdpm {DIGITS} --store /shared/runs": Way(JOB_SERVER, SMALL, makes="cdpm/*/record.json"),
    f"{RAY_JOB}sweep {SWEEP} --store /shared/runs": Way(JOB_SERVER, SMALL_SWEEP, makes="sweeps/*/best.yaml"),
    "pip install 'ray[default]'": Way(not_here="downloads; it is among the packages that make setup installs"),
    # SLURM jobs.
    f"{FIRST} --dry-run": Way(FIRST_JOB, SMALL, says="sbatch --parsable"),
    FIRST: Way(FIRST_JOB, SMALL, says="is queued"),
    "slurm/attach JOBID ray status": Way(FIRST_JOB, says="Total Usage:"),
    "scancel --signal=USR1 JOBID": Way(WARNED),
    f"sbatch --nodes=2 slurm/ddb.sbatch run {DIGITS}": Way(BY_HAND, SMALL, says="ddb_two_step"),
    f"sbatch --nodes=2 --cpus-per-task=1 slurm/ddb.sbatch run {DIGITS}": Way(BY_HAND, SMALL, says="ddb_two_step"),
    f"sbatch --nodes=2 slurm/ddb.sbatch run {RECIPE_1}": Way(BY_HAND, f"{ROW} --dry-run -v", says="name: waterbirds"),
    f"sbatch --nodes=2 --time=30 slurm/ddb.sbatch rehearse {DIGITS}": Way(BY_HAND, SMALL, says="left: the experiment"),
    f"sbatch slurm/ddb.sbatch sweep {SWEEP}": Way(BY_HAND, "--dry-run", says="trials: 20"),
    "slurm/attach JOBID": Way(
        not_here="a shell at a terminal; tests/slurm/test_attach.py runs commands by the same way"
    ),
    f"salloc --nodes=2 --cpus-per-task=8 --time=60 slurm/ddb.sbatch run {DIGITS}": Way(
        TERMINAL, SMALL, says="ddb_two_step"
    ),
    # These tests run the same words with an array or a job that is smaller.
    "sbatch --array=0-9 slurm/ddb.sbatch run configs/tables/recipe_1.yaml": Way(ARRAY),
    "scontrol requeue JOBID": Way(REQUEUED),
    f"{FOUR} --time 12:00:00 --dry-run": Way(GPU_NODES, ROW, says="--gpus-per-node=8"),
    f"{FOUR} --time 12:00:00": Way(GPU_NODES, ROW, says="is queued"),
    f"ddb status {RECIPE_1}": Way(GPU_NODES, ROW),
    "ddb submit audit my_images --time 30": Way(not_here="tests/ray_jobs/test_cli.py looks at its sbatch command"),
    SITE: Way(not_here="partition and account of one site; tests/ray_jobs/test_cli_submit.py passes such options on"),
    "srun --ntasks-per-node=1 tar -xzf /tmp/env.tar.gz -C /tmp/env": Way(not_here="a hint for a script of one's own"),
}

STANDS_FOR = {"CONFIG": DIGITS, "<file>": "ablations/guidance", "<name>": "new"}


def line(command: str, **names: str) -> str:
    """What a test enters: the printed words, names such as JOBID put in, with what makes it small behind them."""
    words = f"{command} {WAYS[command].appended}"
    for name, value in (STANDS_FOR | names).items():
        words = words.replace(name, value)
    return words


def run_by(test: str) -> dict[str, Way]:
    """The commands that a test must run, in order."""
    return {command: way for command, way in WAYS.items() if way.test == test}


def printed(document: Path) -> list[str]:
    """The commands of a Markdown file: in code blocks, fenced or indented, and in the text, with their arguments.

    In the text, two words such as `ddb status` only name what a program can do; three words are a command to enter,
    unless "..." stands for its end.
    """
    text, commands = document.read_text(encoding="utf-8"), []
    for block in _blocks(text):
        for line in re.sub(r" *\\\n *", " ", block).splitlines():
            commands.append(re.sub(r"(^| +)#.*", "", line).strip())
    spans = (" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text))
    commands += [
        span for span in spans if span.split()[0] in PROGRAMS and len(span.split()) > 2 and not span.endswith("...")
    ]
    return [command for command in commands if command]


def _blocks(text: str) -> list[str]:
    """The contents of the blocks that hold commands: fenced ones, and paragraphs that are indented by four spaces."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    paragraphs = [each.strip("\n") for each in fenced.sub("", text).split("\n\n")]
    indented = [each for each in paragraphs if each and all(line.startswith("    ") for line in each.splitlines())]
    return [content for language, content in fenced.findall(text) if language in SHELL] + indented
