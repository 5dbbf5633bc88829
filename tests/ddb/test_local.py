import json

import pytest

from ddb import local
from ddb.config_file import load
from ddb.diffusion.synthetic import read
from ddb.experiment import plan
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


def test_a_whole_experiment_in_one_process(tmp_path, monkeypatch, capsys):
    """Every stage of the plan is there under the key that a cluster would use; a second time nothing is computed."""
    command = ["local", CONFIG, *SMALL, "--store", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    local.main()
    stages, store = plan(load(CONFIG, SMALL)).stages(), Store(tmp_path)
    assert {"data", "cdpm", "synthetic", "amplifier", "classifier", "evaluation", "alignment"} <= {
        stage.name for stage in stages
    }
    assert all(store.has(stage) for stage in stages)
    drawn = next(stage for stage in stages if stage.name == "synthetic")
    images = read(store.path(drawn))  # 30 in batches of 7, the last of them not full
    assert [(images.labels == digit).sum() for digit in range(10)] == [3] * 10
    assert images.paths[:4] == ["synthetic/0/0", "synthetic/0/1", "synthetic/0/2", "synthetic/1/0"]
    assert json.loads((store.path(drawn) / "record.json").read_text())["key"] == drawn.key
    capsys.readouterr()
    local.main()
    assert capsys.readouterr().out == f"{len(stages)} stages in {tmp_path}, 0 of them computed now\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([CONFIG, "cdpm.stepz=4"], r"error: cdpm\.stepz"),
        (["configs/nothing.yaml"], r"error: .*configs/nothing\.yaml: No such file"),
        ([CONFIG, "--only", "target2"], r"error: --only: no stage 'target2' .* it has data, amplifier, cdpm"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, words, message):
    monkeypatch.setattr("sys.argv", ["local", *words, "--store", str(tmp_path)])
    with pytest.raises(SystemExit, match=message) as ended:
        local.main()
    assert "\n" not in str(ended.value)
