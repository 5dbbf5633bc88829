import csv

import numpy as np
import pytest

from ddb.data import load_dataset
from ddb.data.imagenet9 import WNIDS, ImageNet9Config
from ddb.errors import DDBError

ALL = [wnid for wnids in WNIDS.values() for wnid in wnids]


@pytest.fixture
def made(tmp_path, picture):
    for wnid in ALL:
        picture(tmp_path / f"train/{wnid}/{wnid}_1.JPEG")
        picture(tmp_path / f"val/{wnid}/ILSVRC2012_val_{wnid}.JPEG")
    picture(tmp_path / f"imagenet-a/{WNIDS['crab'][2]}/x.jpg")
    picture(tmp_path / "imagenet-a/n09999999/other.jpg")  # a class of ImageNet-A that is none of the 42
    return tmp_path


def test_the_classes_are_those_of_the_published_validation_list(real):
    with open(real("imagenet9") / "9class_imagenet_val.csv", newline="") as file:
        listed = {(row["category"], row["path"].split("/")[0]) for row in csv.DictReader(file)}
    assert listed == {(name, wnid) for name, wnids in WNIDS.items() for wnid in wnids}


def test_imagenet_a_may_have_another_name_but_must_be_there(made):
    (made / "imagenet-a").rename(made / "A")
    assert load_dataset(ImageNet9Config(root=made, test="A"))["test"].paths == ["A/n01980166/x.jpg"]
    with pytest.raises(DDBError, match="imagenet-a"):
        load_dataset(ImageNet9Config(root=made))


def test_every_image_has_the_super_class_of_its_wnid(made, put):
    put("train/n02219486/b.JPEG", "val/n02085620/b.JPEG")
    dataset = load_dataset(ImageNet9Config(root=made))
    assert dataset.classes == ("dog", "cat", "frog", "turtle", "bird", "monkey", "fish", "crab", "insect")
    assert dataset["test"].labels.tolist() == [7] and dataset["train"].aligned is None
    for name in ("train", "val"):
        for path, label in zip(dataset[name].paths, dataset[name].labels, strict=True):
            assert path.split("/")[1] in WNIDS[dataset.classes[label]]
    # five wnids each, but three of frog and four of crab; one more insect in train, one more dog in val
    assert np.bincount(dataset["train"].labels).tolist() == [5, 5, 3, 5, 5, 5, 5, 4, 6]
    assert np.bincount(dataset["val"].labels).tolist() == [6, 5, 3, 5, 5, 5, 5, 4, 5]


@pytest.mark.parametrize("folder", [f"train/{ALL[0]}", "val/n01978287"])
def test_a_missing_class_is_named(made, folder):
    (made / folder).rename(made / "moved")
    with pytest.raises(DDBError, match=f"{folder}: no such folder"):
        load_dataset(ImageNet9Config(root=made))
