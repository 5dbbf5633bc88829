import pytest

from ddb.data import load_dataset
from ddb.data.bffhq import BFFHQConfig, published
from ddb.errors import DDBError
from ddb.settings import build


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


def test_without_any_share_it_says_so(tmp_path):
    with pytest.raises(DDBError, match=r"dataset\.pct: .*0\.5pct/align is not there; .* has none"):
        load_dataset(BFFHQConfig(root=tmp_path))


def test_three_classes_are_not_bffhq(tmp_path, picture):
    picture(make(tmp_path, picture, "0.5pct") / "0.5pct/align/2/8_2_2.png")
    with pytest.raises(DDBError, match=r"0\.5pct/align: BFFHQ has two classes, here are 0, 1, 2"):
        load_dataset(BFFHQConfig(root=tmp_path))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("0.5pct/conflict/0/9_0_0.png", r"9_0_0\.png: its name .* contradicts its folder"),
        ("test/9.png", r"test/9\.png: its name must end in"),
        ("valid/9_0_2.png", r"9_0_2\.png: its name must end in"),
    ],
)
def test_a_name_that_cannot_be_right_is_refused(tmp_path, picture, path, message):
    picture(make(tmp_path, picture, "0.5pct") / path)
    with pytest.raises(DDBError, match=message):
        load_dataset(BFFHQConfig(root=tmp_path))


@pytest.mark.parametrize("name", ["valid", "test"])
def test_a_missing_split_is_named(tmp_path, picture, name):
    make(tmp_path, picture, "0.5pct")
    (tmp_path / name).rename(tmp_path / "moved")
    with pytest.raises(DDBError, match=f"{name}: No such file"):
        load_dataset(BFFHQConfig(root=tmp_path))


def test_without_a_conflict_folder_it_is_not_bffhq(tmp_path, picture):
    make(tmp_path, picture, "0.5pct")
    (tmp_path / "0.5pct/conflict").rename(tmp_path / "moved")
    with pytest.raises(DDBError, match=r"0\.5pct/conflict"):
        load_dataset(BFFHQConfig(root=tmp_path))


def test_published_counts_and_the_names_of_shares():
    assert published(BFFHQConfig()) == {"train": 19_200, "val": 1_000, "test": 1_000}
    assert published(BFFHQConfig(pct="2pct")) == {"val": 1_000, "test": 1_000}
    with pytest.raises(DDBError, match=r"^dataset\.pct: .*\(got '3pct'\)$"):
        build(BFFHQConfig, {"pct": "3pct"}, "dataset")
