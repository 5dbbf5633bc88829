"""Defaults for a folder follow its images and the machine."""

import numpy as np
import pytest
from PIL import Image

from ddb.experiment.config import check
from ddb.experiment.defaults import configuration_for


def folder(root, side, number=10):
    for name in ("cat", "dog & <b>"):
        (root / name).mkdir(parents=True)
        for i in range(number):
            Image.fromarray(np.full((side, side + 7, 3), i % 256, np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize(("side", "gpu", "size"), [(20, False, 16), (40, False, 32), (300, False, 32), (300, True, 64)])
def test_the_resolution_fits_images_and_machine(tmp_path, side, gpu, size):
    values, reasons = configuration_for(folder(tmp_path / "mine", side), gpu)
    assert values["dataset"]["image_size"] == size
    assert f"{side} pixels is the usual shorter side" in reasons[0]
    config = check(values)
    assert config.dataset.root == tmp_path / "mine" and set(config.methods) == {"erm", "ddb_two_step", "ddb_end_to_end"}


def test_numbers_follow_the_number_of_images(tmp_path):
    values, _ = configuration_for(folder(tmp_path / "few", 16), False)
    assert (values["cdpm"]["steps"], values["sampling"]["images_per_class"]) == (900, 50)
    assert values["training"]["steps"] == 500
    values, reasons = configuration_for(folder(tmp_path / "more", 16, 1500), False)  # 2,100 train, 1,050 per class
    assert (values["cdpm"]["steps"], values["sampling"]["images_per_class"]) == (1300, 200)
    assert values["training"]["steps"] == 1000
    assert any("held out by us" in reason for reason in reasons)
