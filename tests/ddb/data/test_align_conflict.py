import pytest

from ddb.data import load_dataset
from ddb.data.align_conflict import AlignConflictConfig
from ddb.errors import DDBError


@pytest.fixture
def tree(tmp_path, put):
    """Classes 2 and 10 (by number): targets 0 and 1."""
    # Class 10 has no conflicting image to train on.
    put("train/align/2/a_0_0.png", "train/align/10/b_1_1.png", "train/conflict/2/c_9_0_1.png")
    put("valid/d_1_0.png", "test/align/2/e_0_0.png", "test/conflict/10/f_1_0.png")
    (tmp_path / "train/align/2/notes.txt").touch()
    (tmp_path / "train/align/2/.hidden_0_0.png").touch()
    return tmp_path


def test_folders_and_flat_splits_are_read_alike(tree):
    dataset = load_dataset(AlignConflictConfig(root=tree, attribute="colour"))
    assert dataset.classes == ("2", "10") and dataset.bias_attributes == {"colour": ("2", "10")}
    train = dataset["train"]
    assert train.paths == ["train/align/10/b_1_1.png", "train/align/2/a_0_0.png", "train/conflict/2/c_9_0_1.png"]
    assert train.labels.tolist() == [1, 0, 0] and train.bias.tolist() == [[1], [0], [1]]
    assert train.aligned.tolist() == [True, True, False]
    assert dataset["val"].aligned.tolist() == [False] and dataset["test"].aligned.tolist() == [True, False]


def test_class_folders_of_a_split_are_read_as_colored_mnist_is_handed_out(tree, picture):
    (tree / "valid/d_1_0.png").unlink()
    for path in ("valid/2/g_0_1.png", "valid/10/h_1_1.png"):
        picture(tree / path)
    split = load_dataset(AlignConflictConfig(root=tree))["val"]
    assert split.labels.tolist() == [1, 0] and split.aligned.tolist() == [True, False]
    picture(tree / "valid/stray_1_1.png")
    assert any("left out: 1 image" in line for line in load_dataset(AlignConflictConfig(root=tree)).reading)
    (tree / "valid/stray_1_1.png").rename(tree / "valid/2/stray_1_1.png")
    with pytest.raises(DDBError, match=r"valid/2/stray_1_1\.png: its name .* contradicts its folder"):
        load_dataset(AlignConflictConfig(root=tree))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("train/align/2/x_0_1.png", r"x_0_1\.png: its name .* contradicts its folder"),
        ("train/conflict/10/x_0_1.png", r"x_0_1\.png: its name .* contradicts its folder"),
        ("valid/plain.png", r"plain\.png: its name must end in _<target>_<bias>, numbers below 2"),
        ("valid/x_2_0.png", r"x_2_0\.png: its name must end"),
        ("train/conflict/11/x_1_0.png", "train/conflict/11: not a class"),
    ],
)
def test_a_wrong_file_or_folder_name_is_refused(tree, picture, path, message):
    picture(tree / path)
    with pytest.raises(DDBError, match=message):
        load_dataset(AlignConflictConfig(root=tree))


@pytest.mark.parametrize("name", ["train/align", "train/conflict", "test"])
def test_a_missing_folder_is_named(tree, name):
    (tree / name).rename(tree / "moved")
    with pytest.raises(DDBError, match=f"{name}: No such file"):
        load_dataset(AlignConflictConfig(root=tree))


def test_a_train_folder_without_classes_is_named(tree):
    (tree / "empty/align").mkdir(parents=True)
    with pytest.raises(DDBError, match="empty/align: no class folders"):
        load_dataset(AlignConflictConfig(root=tree, train="empty"))
