import pytest

from ddb.data import load_dataset
from ddb.data.bffhq import BFFHQConfig, published
from ddb.errors import DDBError


def make(root, picture, train):
    for name in ("align/0/1_0_0", "align/1/2_1_1", "conflict/0/3_0_1", "conflict/1/4_1_0"):
        picture(root / train / f"{name}.png")
    for name in ("valid/5_0_0", "test/6_1_1", "test/7_1_0"):
        picture(root / f"{name}.png")
    return root


@pytest.mark.parametrize("pct", ["0.5pct", "train"])
def test_both_layouts(tmp_path, picture, pct):
    dataset = load_dataset(BFFHQConfig(root=make(tmp_path, picture, pct), pct=pct))
    assert dataset.classes == ("young", "old")
    assert dataset["train"].labels.tolist() == [0, 1, 0, 1]
    assert dataset["train"].aligned.tolist() == [True, True, False, False]
    assert dataset["test"].labels.tolist() == [1, 1]  # the target comes first, then the bias
    assert dataset["test"].aligned.tolist() == [True, False]  # no aligned image is dropped


def test_the_error_for_a_missing_share_lists_those_that_exist(tmp_path, picture):
    with pytest.raises(DDBError, match=r"dataset\.pct: .*0\.5pct/align is not there; .* has none"):
        load_dataset(BFFHQConfig(root=tmp_path))
    make(tmp_path, picture, "2pct")
    with pytest.raises(DDBError, match=r"dataset\.pct: .*5pct/align is not there; .* has 2pct"):
        load_dataset(BFFHQConfig(root=tmp_path, pct="5pct"))


def test_three_classes_are_not_bffhq(tmp_path, picture):
    picture(make(tmp_path, picture, "0.5pct") / "0.5pct/align/2/8_2_2.png")
    with pytest.raises(DDBError, match=r"0\.5pct/align: BFFHQ has two classes, here are 0, 1, 2"):
        load_dataset(BFFHQConfig(root=tmp_path))


def test_published_counts():
    assert published(BFFHQConfig()) == {"train": 19_200, "val": 1_000, "test": 1_000}
    assert published(BFFHQConfig(pct="2pct")) == {"val": 1_000, "test": 1_000}
