import numpy as np
import pytest

from ddb.data import BENCHMARKS, group_names, groups, load_dataset
from ddb.data.urbancars import BALANCED, TRAIN, UrbanCarsConfig
from ddb.errors import DDBError


@pytest.fixture
def made(tmp_path, picture):
    for place in (TRAIN, f"{BALANCED}/val", f"{BALANCED}/test"):
        for o in ("urban", "country"):
            for b in ("urban", "country"):
                for c in ("urban", "country"):
                    folder = tmp_path / place / f"obj-{o}_bg-{b}_co_occur_obj-{c}"
                    picture(folder / "000.jpg")
                    picture(folder / "000_mask.png")
    return tmp_path


def test_two_bias_attributes_make_eight_groups_and_masks_are_no_images(made):
    dataset = load_dataset(UrbanCarsConfig(root=made))
    assert dataset.classes == ("urban", "country") and list(dataset.bias_attributes) == ["bg", "co_occur_obj"]
    number = {"urban": 0, "country": 1}
    for split in dataset.splits.values():
        assert len(split) == 8
        for path, label, bias, aligned in zip(split.paths, split.labels, split.bias, split.aligned, strict=True):
            words = path.split("/")[-2].replace("_", "-").split("-")
            values = [number[word] for word in words if word in number]
            assert [label, *bias] == values and aligned == (len(set(values)) == 1)
    train = dataset["train"]
    assert np.bincount(groups(train)).tolist() == [1] * 8
    names = group_names(dataset.classes, tuple(dataset.bias_attributes))
    found = {path.split("/")[-2]: names[group] for path, group in zip(train.paths, groups(train), strict=True)}
    assert found["obj-urban_bg-urban_co_occur_obj-urban"] == "urban/aligned"
    assert found["obj-country_bg-urban_co_occur_obj-country"] == "country/conflicting in bg"
    assert found["obj-country_bg-country_co_occur_obj-urban"] == "country/conflicting in co_occur_obj"
    assert found["obj-urban_bg-country_co_occur_obj-country"] == "urban/conflicting in bg+co_occur_obj"


def test_a_strange_folder_and_an_empty_split_are_named(made):
    (made / BALANCED / "test").rename(made / "moved")
    (made / BALANCED / "test").mkdir()
    with pytest.raises(DDBError, match="no test images"):
        load_dataset(UrbanCarsConfig(root=made))
    (made / TRAIN / "obj-rural_bg-urban_co_occur_obj-urban").mkdir()
    with pytest.raises(DDBError, match="obj-rural_bg-urban_co_occur_obj-urban: must be named"):
        load_dataset(UrbanCarsConfig(root=made))


def test_published_counts_add_up():
    published = BENCHMARKS["urbancars"].published
    assert [sum(published[name]) for name in ("train", "val", "test")] == [8_000, 1_000, 1_000]
    assert published["train"][:4] == (3610, 190, 190, 10) and UrbanCarsConfig().bias_labels is True
