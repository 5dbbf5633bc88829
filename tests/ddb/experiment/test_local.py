import json
import subprocess
import sys

from ddb.diffusion.synthetic import read
from ddb.experiment.config_file import load
from ddb.experiment.graph import build_graph
from ddb.store import Store

CONFIG = "configs/colored_digits.yaml"
SMALL = [
    "seeds=[0]",
    "methods={erm:{},ddb_two_step:{}}",
    "dataset.image_size=8",
    "cdpm.channels=[16,16]",
    "cdpm.steps=4",
    "cdpm.batch_size=8",
    "cdpm.engine=ddp",
    "sampling.images_per_class=3",
    "sampling.sampler_steps=8",
    "resources.sampling_batch=7",
    "amplifier.steps=2",
    "training.steps=2",
    "memorisation=false",
]


PROGRAM = "import sys; sys.modules['ray'] = None; from ray_jobs.cli import main; main()"  # importing Ray would fail


def run(store, *more):
    command = [sys.executable, "-c", PROGRAM, "run", CONFIG, *SMALL, "--local", "--store", store, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_a_whole_experiment_in_one_process_where_there_is_no_ray(tmp_path):
    """Every stage of the graph is there under the key that a cluster would use; a second time nothing is computed."""
    first = run(tmp_path)
    assert first.returncode == 0, first.stderr
    stages, store = build_graph(load(CONFIG, SMALL)).stages(), Store(tmp_path)
    assert {"data", "cdpm", "synthetic", "amplifier", "classifier", "evaluation", "alignment"} <= {
        stage.name for stage in stages
    }
    assert all(store.has(stage) for stage in stages)
    drawn = next(stage for stage in stages if stage.name == "synthetic")
    assert "cdpm seed 0: started" in first.stderr and "1/1 seeds" in first.stdout
    images = read(store.path(drawn))  # 30 in batches of 7, the last of them not full
    assert [(images.labels == digit).sum() for digit in range(10)] == [3] * 10
    assert images.paths[:4] == ["synthetic/0/0", "synthetic/0/1", "synthetic/0/2", "synthetic/1/0"]
    assert json.loads((store.path(drawn) / "record.json").read_text())["key"] == drawn.key
    second = run(tmp_path)
    assert f"all {len(stages)} stages are in the store" in second.stderr and "started" not in second.stderr


def test_one_kind_of_stages_with_what_it_needs(tmp_path):
    assert run(tmp_path, "--only", "data").returncode == 0
    assert {path.name for path in tmp_path.glob("[a-z]*/") if path.is_dir()} == {"data", "logs"}
    wrong = run(tmp_path, "--only", "target")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: no stage 'target' in this experiment; it has data, ")
