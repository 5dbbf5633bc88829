import numpy as np
import pytest

from ddb.data import BENCHMARKS, group_names, groups, load_dataset
from ddb.data.waterbirds import WaterbirdsConfig
from ddb.errors import DDBError

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
    # The numbers are those of the table and not their ranks: where no image lies on land, water is still water.
    dataset = load([row for row in ROWS if row[3] == 1])
    assert {value for split in dataset.splits.values() for value in split.bias[:, 0]} == {1}
    assert counted(dataset["train"]) == [0, 1, 3, 0]


@pytest.mark.parametrize(("column", "row"), [("y", ("x", 2, 0, 1)), ("place", ("x", 1, 0, 2))])
def test_a_number_that_waterbirds_does_not_have_is_an_error(load, column, row):
    with pytest.raises(DDBError, match=rf"metadata\.csv.*{column}"):
        load([*ROWS, row])


def test_the_real_table_is_found_below_ddb_data(real):
    place = real("waterbirds/waterbird_complete95_forest2water2")
    dataset = load_dataset(WaterbirdsConfig())
    assert dataset["train"].root == place
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4795, "val": 1199, "test": 5794}
    assert {name: tuple(counted(split)) for name, split in dataset.splits.items()} == BENCHMARKS["waterbirds"].published
    assert WaterbirdsConfig().bias_labels is True
