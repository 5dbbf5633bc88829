import os
from pathlib import Path

import numpy as np
import pytest

from ddb.data import group_names, groups, load_dataset
from ddb.data.images import read_array
from ddb.data.waterbirds import WaterbirdsConfig, published
from ddb.errors import DDBError

PLACE = Path(os.environ.get("DDB_DATA") or "/nowhere") / "waterbirds" / "waterbird_complete95_forest2water2"
real = pytest.mark.skipif(not (PLACE / "metadata.csv").is_file(), reason="needs Waterbirds below DDB_DATA")

HEADER = "img_id,img_filename,y,split,place,place_filename"
ROWS = [  # species, y, split, place: each group in each split, landbirds mostly on land
    *[("040.Landbird", 0, 0, 0)] * 4, ("040.Landbird", 0, 0, 1),
    *[("001.Black_footed_Albatross", 1, 0, 1)] * 3, ("001.Black_footed_Albatross", 1, 0, 0),
    ("040.Landbird", 0, 1, 0), ("040.Landbird", 0, 1, 1), ("001.Black_footed_Albatross", 1, 1, 0),
    ("001.Black_footed_Albatross", 1, 1, 1),
    ("040.Landbird", 0, 2, 0), ("040.Landbird", 0, 2, 1), ("001.Black_footed_Albatross", 1, 2, 0),
    ("001.Black_footed_Albatross", 1, 2, 1), ("001.Black_footed_Albatross", 1, 2, 1),
]  # fmt: skip


def table(rows):
    """metadata.csv with the official columns; image 7 is `<species>/image_0007.jpg`."""
    lines = [
        f"{number},{species}/image_{number:04d}.jpg,{y},{split},{place},/f/forest_broadleaf/{number:08d}.jpg"
        for number, (species, y, split, place) in enumerate(rows, 1)
    ]
    return "\n".join([HEADER, *lines, ""])


@pytest.fixture
def load(tmp_path):
    def read(rows):
        (tmp_path / "metadata.csv").write_text(table(rows))
        return load_dataset(WaterbirdsConfig(root=tmp_path))

    return read


def counted(split):
    return np.bincount(groups(split), minlength=4).tolist()


def test_groups_are_class_by_place(load):
    dataset = load(ROWS)
    assert dataset.name == "waterbirds" and dataset.classes == ("landbird", "waterbird")
    assert dataset.bias_attributes == {"place": ("land", "water")}
    # aligned landbirds, conflicting landbirds, aligned waterbirds, conflicting waterbirds
    assert {name: counted(split) for name, split in dataset.splits.items()} == {
        "train": [4, 1, 3, 1],
        "val": [1, 1, 1, 1],
        "test": [1, 1, 2, 1],
    }
    names = group_names(dataset.classes, tuple(dataset.bias_attributes))
    assert names == ["landbird/aligned", "landbird/conflicting", "waterbird/aligned", "waterbird/conflicting"]


def test_each_row_keeps_what_the_table_says_of_its_file(load, tmp_path):
    found = {}
    for name, split in load(ROWS).splits.items():
        assert split.root == tmp_path and split.paths == sorted(split.paths) and split.images is None
        for path, label, bias, aligned in zip(split.paths, split.labels, split.bias, split.aligned, strict=True):
            found[path] = (name, label, bias.tolist(), aligned)
    for number, (species, y, split, place) in enumerate(ROWS, 1):
        expected = (("train", "val", "test")[split], y, [place], y == place)
        assert found.pop(f"{species}/image_{number:04d}.jpg") == expected
    assert not found


def test_alignment_is_the_place_and_not_the_commonest_value(load):
    """A training split that is balanced or turned around changes nothing: a waterbird belongs on water."""
    turned = [(species, y, split, 1 - place if split == 0 else place) for species, y, split, place in ROWS]
    assert counted(load(turned)["train"]) == [1, 4, 1, 3]
    balanced = [ROWS[0], ROWS[4], ROWS[5], ROWS[8], *ROWS[9:]]
    assert counted(load(balanced)["train"]) == [1, 1, 1, 1]


def test_labels_are_the_numbers_of_the_table_and_not_their_ranks(load):
    """Where no image lies on land, water is still water."""
    dataset = load([row for row in ROWS if row[3] == 1])
    assert {value for split in dataset.splits.values() for value in split.bias[:, 0]} == {1}
    assert counted(dataset["train"]) == [0, 1, 3, 0]


@pytest.mark.parametrize(("column", "row"), [("y", ("x", 2, 0, 1)), ("place", ("x", 1, 0, 2))])
def test_a_number_that_waterbirds_does_not_have_is_an_error(load, column, row):
    with pytest.raises(DDBError, match=rf"metadata\.csv.*{column}"):
        load([*ROWS, row])


@pytest.mark.parametrize("split", [0, 1, 2])
def test_a_split_without_images_is_named(load, split):
    with pytest.raises(DDBError, match=f"no {('train', 'val', 'test')[split]} images"):
        load([row for row in ROWS if row[2] != split])


def test_a_column_that_is_not_there_is_named(tmp_path):
    (tmp_path / "metadata.csv").write_text(table(ROWS).replace(",place,", ",background,"))
    with pytest.raises(DDBError, match=r"metadata\.csv: no column 'place'; it has img_id, img_filename, y, split, b"):
        load_dataset(WaterbirdsConfig(root=tmp_path))


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DDBError, match=r"metadata\.csv: No such file"):
        load_dataset(WaterbirdsConfig(root=tmp_path))


def test_bias_labels_are_known():
    assert WaterbirdsConfig().bias_labels is True


@real
def test_the_official_table_has_the_published_groups_in_every_split():
    dataset = load_dataset(WaterbirdsConfig(root=PLACE))
    found = {}
    for name, split in dataset.splits.items():
        cells = zip(split.labels.tolist(), split.bias[:, 0].tolist(), strict=True)
        found[name] = np.bincount([2 * y + place for y, place in cells], minlength=4).tolist()
    assert found == {  # y, place: 00, 01, 10, 11
        "train": [3498, 184, 56, 1057],
        "val": [467, 466, 133, 133],
        "test": [2255, 2255, 642, 642],
    }
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4795, "val": 1199, "test": 5794}
    assert {name: tuple(counted(split)) for name, split in dataset.splits.items()} == published(WaterbirdsConfig())


@real
def test_the_real_images_that_are_here_are_birds_of_the_table():
    dataset = load_dataset(WaterbirdsConfig(root=PLACE))
    here = {path.relative_to(PLACE).as_posix() for path in PLACE.glob("*/*.jpg")}
    listed = {path for split in dataset.splits.values() for path in split.paths}
    assert here and here <= listed
    for split in dataset.splits.values():  # both species are waterbirds
        assert all(label == 1 for path, label in zip(split.paths, split.labels, strict=True) if path in here)
    array = read_array(PLACE / min(here), 32)
    assert array.shape == (32, 32, 3) and array.std() > 5


@real
def test_it_is_found_below_ddb_data(monkeypatch):
    monkeypatch.setenv("DDB_DATA", str(PLACE.parent.parent))
    assert load_dataset(WaterbirdsConfig())["train"].root == PLACE
