import pytest

from ddb.data import load_dataset
from ddb.data.align_conflict import AlignConflictConfig
from ddb.errors import DDBError


@pytest.fixture
def tree(tmp_path, picture):
    """Classes 2 and 10 (by number): targets 0 and 1."""
    for path in (
        "train/align/2/a_0_0.png",
        "train/align/10/b_1_1.png",
        "train/conflict/2/c_0_1.png",  # class 10 has no conflicting image
        "valid/d_1_0.png",
        "test/align/2/e_0_0.png",
        "test/conflict/10/f_1_0.png",
    ):
        picture(tmp_path / path)
    (tmp_path / "train/align/2/notes.txt").touch()
    (tmp_path / "train/align/2/.hidden_0_0.png").touch()
    return tmp_path


def test_folders_and_flat_splits_are_read_alike(tree):
    dataset = load_dataset(AlignConflictConfig(root=tree, attribute="colour"))
    assert dataset.classes == ("2", "10") and dataset.bias_attributes == {"colour": ("2", "10")}
    train = dataset["train"]
    assert train.paths == ["train/align/10/b_1_1.png", "train/align/2/a_0_0.png", "train/conflict/2/c_0_1.png"]
    assert train.labels.tolist() == [1, 0, 0] and train.bias.tolist() == [[1], [0], [1]]
    assert train.aligned.tolist() == [True, True, False]
    assert dataset["val"].aligned.tolist() == [False] and dataset["test"].aligned.tolist() == [True, False]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("train/align/2/x_0_1.png", r"x_0_1\.png: its name .* contradicts its folder"),
        ("train/conflict/10/x_0_1.png", r"x_0_1\.png: its name .* contradicts its folder"),
        ("valid/plain.png", r"plain\.png: its name must end in _<target>_<bias>, numbers below 2"),
        ("valid/x_2_0.png", r"x_2_0\.png: its name must end"),
    ],
)
def test_a_name_that_cannot_be_right_is_refused(tree, picture, path, message):
    picture(tree / path)
    with pytest.raises(DDBError, match=message):
        load_dataset(AlignConflictConfig(root=tree))


def test_a_missing_folder_is_named(tree):
    with pytest.raises(DDBError, match="validation: No such file"):
        load_dataset(AlignConflictConfig(root=tree, val="validation"))


def test_classes_are_named_by_their_folders_whatever_these_are_called(tmp_path, put):
    classes = ("a b", "dog's", "grün")  # in sorted order 0, 1, 2
    put(*(f"train/align/{name}/{i} <script>_{i}_{i}.png" for i, name in enumerate(classes)))
    put("train/conflict/grün/x_y_2_0.jpg", "valid/z_0_1.png", "test/z_1_1.jpeg")
    dataset = load_dataset(AlignConflictConfig(root=tmp_path))
    assert dataset.classes == classes
    assert dict(zip(dataset["train"].paths, dataset["train"].bias[:, 0].tolist(), strict=True)) == {
        "train/align/a b/0 <script>_0_0.png": 0,
        "train/align/dog's/1 <script>_1_1.png": 1,
        "train/align/grün/2 <script>_2_2.png": 2,
        "train/conflict/grün/x_y_2_0.jpg": 0,
    }


def test_numbers_beyond_ascii_are_names(tmp_path, put):
    put("train/align/3/a_0_0.png", "train/align/²/b_1_1.png", "train/conflict/3/c_0_1.png", "valid/d_0_0.png")
    put("test/e_1_0.png")
    assert load_dataset(AlignConflictConfig(root=tmp_path)).classes == ("3", "²")


def test_align_without_classes_is_named(tmp_path):
    (tmp_path / "train/align").mkdir(parents=True)
    with pytest.raises(DDBError, match="train/align: no class folders"):
        load_dataset(AlignConflictConfig(root=tmp_path))


@pytest.mark.parametrize("name", ["train/align", "test"])
def test_a_folder_that_is_not_there_is_named(tree, name):
    (tree / name).rename(tree / "moved")
    with pytest.raises(DDBError, match=f"{name}: No such file"):
        load_dataset(AlignConflictConfig(root=tree))


def test_a_split_without_images_is_named(tree):
    (tree / "valid/d_1_0.png").unlink()
    with pytest.raises(DDBError, match="no val images"):
        load_dataset(AlignConflictConfig(root=tree))


def test_a_class_that_only_conflict_has_is_not_dropped_silently(tree, put):
    put("train/conflict/11/x_1_0.png")
    with pytest.raises(DDBError, match="train/conflict/11"):
        load_dataset(AlignConflictConfig(root=tree))
