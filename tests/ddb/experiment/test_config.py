import pytest

from ddb.errors import DDBError
from ddb.experiment.config import check, methods

MINIMAL = {"methods": {"erm": None, "ddb_two_step": {"gamma": 2}}}


def test_methods_start_from_the_training_section_and_may_override_others():
    values = {
        "training": {"steps": 7},
        "methods": {"erm": {}, "real": {"method": "ddb_two_step", "steps": 9, "amplifier": {"source": "real"}}},
    }
    erm, real = methods(check(values))
    assert (erm.settings.steps, real.settings.steps) == (7, 9)
    assert (real.label, real.method.name, real.amplifier.source) == ("real", "ddb_two_step", "real")
    assert erm.amplifier.source == "synthetic"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samplin": {}}, "samplin: unknown setting; did you mean 'sampling'?"),
        ({"cdpm": {"chanels": []}}, "cdpm.chanels: unknown setting; did you mean 'channels'?"),
        ({"cdpm": {"steps": "many"}}, "cdpm.steps: must be a whole number"),
        ({"cdpm": {"engine": "ddp", "zero_stage": 1}}, "cdpm: zero_stage needs engine: deepspeed"),
        ({"sampling": {"guidance": -0.5}}, "sampling.guidance: must be at least 0"),
        ({"methods": {"ermm": {}}}, "methods.ermm: method: 'ermm' is unknown; did you mean 'erm'?"),
        ({"methods": {"erm": {"gamma": 1}}}, "methods.erm.gamma: unknown setting"),
        ({"methods": {"erm": {"sampling": {"guidence": 1}}}}, "methods.erm.sampling.guidence: unknown setting"),
        ({"methods": {}}, "methods: must not be empty"),
        ({"training": {"stepz": 1}}, "training.stepz: unknown setting; did you mean 'steps'?"),
        ({"dataset": {"name": "colored_digit"}}, "dataset.name: 'colored_digit' is unknown; did you mean"),
        ({"seeds": [1, 1]}, "seeds: must be different numbers"),
        ({"dataset": {"conflict_ration": 1}}, "dataset.conflict_ration: unknown setting; did you mean 'conflict_rat"),
        ({"dataset": []}, "dataset: must be a section of settings"),
        ({"dataset": {"name": "bar"}, "methods": {"group_dro": {}}}, "methods.group_dro: its method needs bias labels"),
        (
            {"dataset": {"name": "folder", "root": "x"}, "training": {"selection": "val_worst_group"}},
            "methods.erm: selection val_worst_group needs bias labels, and folder has none",
        ),
        ({"training": {"network": "resnet18"}}, "methods.erm.image_size: resnet18 needs at least 32 pixels, not 16"),
        ({"training": {"image_size": 32}}, "methods.erm.image_size: colored_digits has no files to read"),
        ({"training": {"pretrained": "imagenet"}}, "training: pretrained: there are no weights of small_cnn"),
        ({"training": {"weights": "imagenet"}}, "training.weights: renamed to pretrained"),
        ({"resources": {"cell_cpus": 2}}, "resources.cell_cpus: renamed to cpus_per_run"),
        ({"training": {"network": "small_cn"}}, "training.network: unknown value; did you mean 'small_cnn'?"),
        (
            {"resources": {"cdpm_workers": "fast"}},
            "resources.cdpm_workers: must be a whole number or 'auto' (got 'fast')",
        ),
        ({"resources": {"cdpm_workers": 0}}, "resources.cdpm_workers: must be at least 1 or 'auto' (got 0)"),
        (
            {"methods": {"ddb_end_to_end": {"temperature": "fited"}}},
            "methods.ddb_end_to_end.temperature: must be a number or 'fitted' (got 'fited')",
        ),
        ({"resources": {"cdpm_workers": 3}}, "cdpm.batch_size: 64 is not divisible by 3 workers"),
        ({"cdpm": {"channels": [16] * 6}}, "cdpm.channels: 6 resolutions need images divisible by 32 pixels"),
        ({"amplifier": {"images_per_class": 101}}, "amplifier.images_per_class: 101 asked for in row"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_full_name(change, message):
    with pytest.raises(DDBError) as error:
        check(MINIMAL | change)
    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1


def test_every_mistake_has_a_line():
    with pytest.raises(DDBError) as error:
        check(MINIMAL | {"resources": {"cdpm_workers": "fast", "cpus_per_run": 0}, "cdpm": {"steps": "many"}})
    assert str(error.value).splitlines() == [
        "cdpm.steps: must be a whole number (got 'many')",
        "resources.cdpm_workers: must be a whole number or 'auto' (got 'fast')",
        "resources.cpus_per_run: must be at least 1 (got 0)",
    ]
