import pytest

from ddb.data import load_dataset
from ddb.data.bffhq import BFFHQConfig
from ddb.errors import DDBError


def make(root, picture, train):
    for path in (
        f"{train}/align/0/1_0_0.png",
        f"{train}/align/1/2_1_1.png",
        f"{train}/conflict/0/3_0_1.png",
        f"{train}/conflict/1/4_1_0.png",
        "valid/5_0_0.png",
        "test/6_1_1.png",
        "test/7_1_0.png",
    ):
        picture(root / path)
    return root


@pytest.mark.parametrize("pct", ["0.5pct", "1pct", "2pct", "5pct", "train"])
def test_both_layouts_and_every_share(tmp_path, picture, pct):
    dataset = load_dataset(BFFHQConfig(root=make(tmp_path, picture, pct), pct=pct))
    assert dataset.classes == ("young", "old")
    assert dataset["train"].labels.tolist() == [0, 1, 0, 1]
    assert dataset["train"].aligned.tolist() == [True, True, False, False]
    assert dataset["test"].labels.tolist() == [1, 1]  # the target comes first, then the bias
    assert dataset["test"].aligned.tolist() == [True, False]  # no aligned image is dropped


def test_a_share_that_is_not_there_names_those_that_are(tmp_path, picture):
    make(tmp_path, picture, "2pct")
    with pytest.raises(DDBError, match=r"dataset\.pct: .*5pct/align is not there; .* has 2pct"):
        load_dataset(BFFHQConfig(root=tmp_path, pct="5pct"))
